//! Netlink: sockets, batches of requests, dumps and nfnetlink transactions (netlink(7),
//! linux/netlink.h, linux/netfilter/nfnetlink.h).
//!
//! Invariants: every request has its own sequence number and is matched to its answer by it; only
//! messages of the kernel are read; a refusal carries the kernel's own words (extended ACK) when it
//! gives any. The kernel works a batch off while it is being sent, so an answer is there at once or
//! never: waiting is bounded.
//! Not here: what the messages mean (crate `net`). The framing is our own, because the dozen kinds
//! of message in use are a page of code and a codec crate is forty.

mod message;
mod namespace;

pub use message::{Attributes, Message, Reply, attributes, be16, be32, native32, text};
pub use namespace::in_namespace;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use message::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP};

/// Bytes read at once; a kernel's dump fills up to 32 KiB.
const RECEIVE_BYTES: usize = 64 * 1024;
/// A send buffer that the default limit of every kernel allows.
const SEND_BYTES: usize = 128 * 1024;
/// How often a dump that changed under the reader is begun again.
const DUMP_TRIES: usize = 16;
/// Longest wait for an answer, in seconds.
const ANSWER_SECONDS: i64 = 10;

/// nfnetlink's brackets round a transaction (linux/netfilter/nfnetlink.h).
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
/// The subsystem nf_tables, as the bracket names it.
const NFNL_SUBSYS_NFTABLES: u8 = 10;

/// The kernel's refusal of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which message of the batch, from 0.
    pub index: usize,
    /// The errno.
    pub errno: i32,
    /// The kernel's own words.
    pub message: Option<String>,
}

/// What can go wrong on a netlink socket.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    Io(io::Error),
    /// The kernel refused a message.
    Refused(Refused),
    /// A dump changed under the reader every time.
    Unsteady,
    /// The kernel did not answer a message (its number in the batch).
    Unanswered(usize),
}

impl Error {
    /// The errno beneath, if there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Io(error) => error.raw_os_error(),
            Error::Refused(refused) => Some(refused.errno),
            Error::Unsteady | Error::Unanswered(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::Refused(Refused { errno, message, .. }) => {
                let errno = io::Error::from_raw_os_error(*errno);
                match message {
                    Some(message) => write!(f, "{message}: {errno}"),
                    None => errno.fmt(f),
                }
            }
            Error::Unsteady => f.write_str("the kernel's list changed at every attempt to read it"),
            Error::Unanswered(index) => write!(f, "the kernel did not answer request {index}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        Error::Io(errno.into())
    }
}

/// What became of one request of a batch: the messages sent back, or the refusal.
pub type Answer = Result<Vec<Reply>, Refused>;

/// A netlink socket to the kernel of one network namespace.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    send_bytes: usize,
    buffer: Vec<u8>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// Links, addresses and routes of the calling thread's namespace.
    ///
    /// # Errors
    /// Whatever socket(2) says.
    pub fn route() -> Result<Socket, Error> {
        Socket::open(SockProtocol::NetlinkRoute)
    }

    /// Netfilter of the calling thread's namespace.
    ///
    /// # Errors
    /// EPROTONOSUPPORT from a kernel without nfnetlink.
    pub fn netfilter() -> Result<Socket, Error> {
        Socket::open(SockProtocol::NetlinkNetFilter)
    }

    /// Links, addresses and routes of another namespace.
    ///
    /// # Errors
    /// EINVAL when `netns` is no network namespace.
    pub fn route_in(netns: BorrowedFd<'_>) -> Result<Socket, Error> {
        in_namespace(netns, Socket::route).map_err(Error::Io)?
    }

    fn open(protocol: SockProtocol) -> Result<Socket, Error> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_SECONDS, 0))?;
        // Words instead of bare numbers, refusals without a copy of the request, and dumps that
        // honour their filters. Kernels without these (before 4.12, 4.3, 4.20) do without.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK, libc::NETLINK_GET_STRICT_CHK] {
            let _ = switch_on(&fd, option);
        }
        Ok(Socket { fd, sequence: 1, send_bytes: SEND_BYTES, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// Sends a batch in one call and returns an answer for each message, in order. The kernel works
    /// off every message, also those after a refused one.
    ///
    /// # Errors
    /// When the socket itself fails; a refusal is in the answers.
    pub fn batch(&mut self, messages: &[Message]) -> Result<Vec<Answer>, Error> {
        let first = self.send(messages, NLM_F_ACK)?;
        let mut answers: Vec<Answer> = messages.iter().map(|_| Ok(Vec::new())).collect();
        let mut open = messages.len();
        while open > 0 {
            let received = match self.receive(MsgFlags::empty()) {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Error::Unanswered(messages.len() - open));
                }
                received => received?,
            };
            for reply in received {
                let index = reply.sequence.wrapping_sub(first) as usize;
                let Some(answer) = answers.get_mut(index) else { continue };
                match reply.kind {
                    NLMSG_ERROR => {
                        open -= 1;
                        if let Some(refused) = reply.refusal(index) {
                            *answer = Err(refused);
                        }
                    }
                    NLMSG_NOOP => {}
                    _ => {
                        if let Ok(replies) = answer {
                            replies.push(reply);
                        }
                    }
                }
            }
        }
        Ok(answers)
    }

    /// As [`Socket::batch`]; the first refusal is the error.
    ///
    /// # Errors
    /// [`Error::Refused`] with the message's number.
    pub fn batch_all(&mut self, messages: &[Message]) -> Result<Vec<Vec<Reply>>, Error> {
        self.batch(messages)?.into_iter().map(|answer| answer.map_err(Error::Refused)).collect()
    }

    /// One request; its answers.
    ///
    /// # Errors
    /// As [`Socket::batch_all`].
    pub fn request(&mut self, message: Message) -> Result<Vec<Reply>, Error> {
        Ok(self.batch_all(&[message])?.pop().unwrap_or_default())
    }

    /// Everything that a dump lists, begun again when the list changed meanwhile.
    ///
    /// # Errors
    /// [`Error::Unsteady`] after too many attempts.
    pub fn dump(&mut self, message: &Message) -> Result<Vec<Reply>, Error> {
        for _ in 0..DUMP_TRIES {
            if let Some(replies) = self.dump_once(message)? {
                return Ok(replies);
            }
        }
        Err(Error::Unsteady)
    }

    /// `None`: what was read is not one consistent list.
    fn dump_once(&mut self, message: &Message) -> Result<Option<Vec<Reply>>, Error> {
        let sequence = self.send(std::slice::from_ref(message), NLM_F_DUMP)?;
        let mut replies = Vec::new();
        let mut steady = true;
        loop {
            let received = match self.receive(MsgFlags::empty()) {
                // The kernel dropped a part; the rest of it is told by its sequence number.
                Err(Error::Io(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    return Ok(None);
                }
                received => received?,
            };
            for reply in received.into_iter().filter(|reply| reply.sequence == sequence) {
                steady &= reply.flags & NLM_F_DUMP_INTR == 0;
                match reply.kind {
                    // DONE carries an errno where the dump failed half-way.
                    NLMSG_DONE | NLMSG_ERROR => {
                        return match reply.refusal(0) {
                            Some(refused) if refused.errno == libc::EINTR => Ok(None),
                            Some(refused) => Err(Error::Refused(refused)),
                            None => Ok(steady.then_some(replies)),
                        };
                    }
                    NLMSG_NOOP => {}
                    _ => replies.push(reply),
                }
            }
        }
    }

    /// Sends nf_tables messages as one transaction: all of them take effect, or none.
    ///
    /// # Errors
    /// The first refusal; EOPNOTSUPP on a kernel without nf_tables.
    pub fn transaction(&mut self, messages: &[Message]) -> Result<(), Error> {
        let bracket = |kind| {
            let subsystem = u16::from(NFNL_SUBSYS_NFTABLES).to_be_bytes();
            Message::new(kind, 0, &[0, 0, subsystem[0], subsystem[1]], Attributes::new())
        };
        let mut all = Vec::with_capacity(messages.len() + 2);
        all.push(bracket(NFNL_MSG_BATCH_BEGIN));
        all.extend(messages.iter().map(|message| message.clone().with_flags(NLM_F_ACK)));
        all.push(bracket(NFNL_MSG_BATCH_END));
        let first = self.send(&all, 0)?;
        // Everything has been worked off; a fatal error ends the list of answers early, so only
        // "nothing more to read" is a sure end.
        let mut accepted = 0;
        let mut refused: Option<Refused> = None;
        loop {
            let received = match self.receive(MsgFlags::MSG_DONTWAIT) {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                received => received?,
            };
            for reply in received.into_iter().filter(|reply| reply.kind == NLMSG_ERROR) {
                // The bracket is number 0 of the batch and counts as the first message.
                let index = (reply.sequence.wrapping_sub(first) as usize).saturating_sub(1);
                match reply.refusal(index) {
                    None => accepted += 1,
                    Some(found) => refused = refused.or(Some(found)),
                }
            }
        }
        match refused {
            Some(refused) => Err(Error::Refused(refused)),
            None if accepted < messages.len() => Err(Error::Unanswered(accepted)),
            None => Ok(()),
        }
    }

    /// Sends messages in one datagram with consecutive numbers; returns the first one's.
    fn send(&mut self, messages: &[Message], flags: u16) -> Result<u32, Error> {
        let first = self.sequence;
        let mut bytes = Vec::new();
        for message in messages {
            message.write(&mut bytes, self.sequence, flags);
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.make_room(bytes.len())?;
        let kernel = NetlinkAddr::new(0, 0);
        let sent = sendto(self.fd.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
        if sent == bytes.len() { Ok(first) } else { Err(Errno::EMSGSIZE.into()) }
    }

    /// Grows the buffers for a large batch (a datagram must fit as a whole) and its answers.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes * 2 > self.send_bytes {
            setsockopt(&self.fd, sockopt::SndBufForce, &(bytes * 2))?;
            setsockopt(&self.fd, sockopt::RcvBufForce, &(bytes * 2))?;
            self.send_bytes = bytes * 2;
        }
        Ok(())
    }

    /// One datagram of the kernel, taken apart.
    fn receive(&mut self, flags: MsgFlags) -> Result<Vec<Reply>, Error> {
        loop {
            let fd = self.fd.as_raw_fd();
            let flags = flags | MsgFlags::MSG_TRUNC;
            match read_datagram(fd, &mut self.buffer, flags) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                // Anybody may send to a netlink socket; the kernel is port 0.
                Ok((_, port)) if port != 0 => {}
                Ok((length, _)) => {
                    let bytes = self.buffer.get(..length).ok_or(Errno::EMSGSIZE)?;
                    return Ok(message::split(bytes));
                }
            }
        }
    }
}

/// Length of the datagram and its sender's port.
fn read_datagram(fd: i32, buffer: &mut [u8], flags: MsgFlags) -> Result<(usize, u32), Errno> {
    let mut iov = [io::IoSliceMut::new(buffer)];
    let got = nix::sys::socket::recvmsg::<NetlinkAddr>(fd, &mut iov, None, flags)?;
    Ok((got.bytes, got.address.map_or(0, |address| address.pid())))
}

fn switch_on(fd: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
    // SAFETY: the pointer and size are those of a live c_int, which setsockopt only reads.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
