//! SOCK_SEQPACKET unix sockets: whole messages, file descriptors beside them, the peer's identity.
//!
//! Every descriptor made or received here is close-on-exec. A message that does not fit its buffer
//! or carries too many descriptors is reported, never cut silently. It knows nothing of what a
//! message means.

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, accept4, bind, connect as nix_connect, getsockopt, listen as nix_listen, recvmsg,
    sendmsg, setsockopt, socket, socketpair, sockopt,
};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::sys::time::TimeVal;

/// Most descriptors that [`recv`] takes beside one message.
pub const MAX_FDS: usize = 8;

/// Bytes asked for the send buffer. The kernel doubles it and charges its own overhead to it, so
/// that a message of 256 KiB fits even where net.core.wmem_max has its default.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Who is at the other end, as of connect(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process id in our namespace, 0 if it has none here.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
}

/// What one [`recv`] brought.
#[derive(Debug)]
pub struct Received {
    /// Bytes written into the buffer; 0 is the end of the stream.
    pub len: usize,
    /// The message was longer than the buffer, or brought more than [`MAX_FDS`] descriptors.
    pub truncated: bool,
    /// Descriptors beside the message.
    pub fds: Vec<OwnedFd>,
}

/// Listens at `path`, mode 0600, non-blocking. A file that stands there is the caller's to remove.
///
/// # Errors
/// Whatever socket, bind, chmod or listen say.
pub fn listen(path: &Path, backlog: i32) -> Result<OwnedFd> {
    let fd = new_socket(SockFlag::SOCK_NONBLOCK)?;
    with_address(path, |address| bind(fd.as_raw_fd(), address))?;
    // Nobody can connect before listen(2), so the mode is in force before the first client.
    fchmodat(
        nix::fcntl::AT_FDCWD,
        path,
        Mode::from_bits_truncate(0o600),
        FchmodatFlags::FollowSymlink,
    )?;
    nix_listen(&fd, Backlog::new(backlog)?)?;
    Ok(fd)
}

/// Connects to the listener at `path`; the socket blocks, and so does the call while the
/// listener's backlog is full, for `within_ms` at most.
///
/// # Errors
/// ENOENT or ECONNREFUSED when nobody listens, EAGAIN when the backlog stays full.
pub fn connect(path: &Path, within_ms: Option<u64>) -> Result<OwnedFd> {
    let fd = new_socket(SockFlag::empty())?;
    setsockopt(&fd, sockopt::SendTimeout, &duration(within_ms))?;
    with_address(path, |address| nix_connect(fd.as_raw_fd(), address))?;
    Ok(fd)
}

/// Connects to the listener at `path`; the socket does not block, the call neither.
///
/// # Errors
/// ENOENT or ECONNREFUSED when nobody listens, EAGAIN when its backlog is full.
pub fn connect_now(path: &Path) -> Result<OwnedFd> {
    let fd = new_socket(SockFlag::SOCK_NONBLOCK)?;
    with_address(path, |address| nix_connect(fd.as_raw_fd(), address))?;
    Ok(fd)
}

/// Two ends, connected to each other; the second stays open in programs that are started next.
///
/// # Errors
/// EMFILE, ENFILE.
pub fn pair_to_hand_down() -> Result<(OwnedFd, OwnedFd)> {
    let kind = SockType::SeqPacket;
    let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
    setsockopt(&ours, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    Ok((ours, hand_down(theirs.as_fd())?))
}

/// A copy above stdio that stays open in programs that are started next.
///
/// # Errors
/// EMFILE.
pub fn hand_down(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let raw = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD(3))?;
    // SAFETY: the kernel made it just now.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Takes one waiting connection, non-blocking; `None` when there is none.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM: the connection still waits.
pub fn accept(listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
        Ok(raw) => {
            let fd = adopt(raw);
            setsockopt(&fd, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
            Ok(Some(fd))
        }
        Err(Errno::EAGAIN | Errno::ECONNABORTED | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The peer's credentials.
///
/// # Errors
/// Whatever getsockopt(SO_PEERCRED) says.
pub fn peer(socket: BorrowedFd<'_>) -> Result<Peer> {
    let credentials = getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok(Peer { pid: credentials.pid(), uid: credentials.uid() })
}

/// The caller's own effective user id, to compare a [`Peer`] with.
#[must_use]
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Sends one message with descriptors; on a full non-blocking socket EAGAIN, nothing sent.
///
/// # Errors
/// EPIPE when the peer is gone (no SIGPIPE), EMSGSIZE when `message` is too long.
pub fn send(socket: BorrowedFd<'_>, message: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let parts = [IoSlice::new(message)];
    loop {
        let sent = sendmsg::<()>(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None);
        match sent {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Length of the next message in bytes without taking it; 0 is the end of the stream.
///
/// # Errors
/// EAGAIN when a non-blocking socket has none.
pub fn next_len(socket: BorrowedFd<'_>) -> Result<usize> {
    let mut nothing = [0u8; 1];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    loop {
        match nix::sys::socket::recv(socket.as_raw_fd(), &mut nothing, flags) {
            Ok(len) => return Ok(len),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A message, or the end of the stream, can be taken now.
///
/// # Errors
/// Whatever recv says.
pub fn is_readable(socket: BorrowedFd<'_>) -> Result<bool> {
    let mut nothing = [0u8; 1];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match nix::sys::socket::recv(socket.as_raw_fd(), &mut nothing, flags) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes one message and its descriptors.
///
/// # Errors
/// EAGAIN when a non-blocking socket has none, or a receive time-out passed.
pub fn recv(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received> {
    loop {
        match recv_once(socket, buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Bounds every later blocking [`recv`]; `None` waits without bound.
///
/// # Errors
/// Whatever setsockopt says.
pub fn set_recv_timeout_ms(socket: BorrowedFd<'_>, timeout_ms: Option<u64>) -> Result<()> {
    Ok(setsockopt(&socket, sockopt::ReceiveTimeout, &duration(timeout_ms))?)
}

/// As socket options have it: 0 is no bound.
fn duration(ms: Option<u64>) -> TimeVal {
    let ms = ms.map_or(0, |ms| i64::try_from(ms.max(1)).unwrap_or(i64::MAX));
    TimeVal::new(ms / 1000, (ms % 1000) * 1000)
}

fn recv_once(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received> {
    let mut control = cmsg_space!([RawFd; MAX_FDS]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut fds = Vec::new();
    for item in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = item {
            fds.extend(raw.into_iter().map(adopt));
        }
    }
    let cut = MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC;
    Ok(Received { len: message.bytes, truncated: message.flags.intersects(cut), fds })
}

fn new_socket(flags: SockFlag) -> Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    setsockopt(&fd, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    Ok(fd)
}

/// Calls `act` with the address of `path`, by way of its folder's descriptor when the path is
/// longer than a socket address holds (108 bytes).
fn with_address(path: &Path, act: impl Fn(&UnixAddr) -> nix::Result<()>) -> Result<()> {
    match UnixAddr::new(path) {
        Ok(address) => Ok(act(&address)?),
        Err(Errno::ENAMETOOLONG) => {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(Error::from(ErrorKind::InvalidInput));
            };
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let folder = open(folder, flags, Mode::empty())?;
            let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
            Ok(act(&UnixAddr::new(&short)?)?)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn adopt(raw: RawFd) -> OwnedFd {
    // SAFETY: `raw` came from accept4 or SCM_RIGHTS in this module just now; nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_descriptor_arrive_whole_even_over_a_long_path() {
        let folder = scope::Folder::new(&"x".repeat(100));
        let path = folder.join("s.sock");
        let listener = listen(&path, 4).unwrap();
        assert!(accept(listener.as_fd()).unwrap().is_none());
        let client = connect(&path, None).unwrap();
        let server = accept(listener.as_fd()).unwrap().unwrap();
        let big = vec![7u8; 256 * 1024];
        send(client.as_fd(), &big, &[client.as_fd()]).unwrap();
        assert_eq!(next_len(server.as_fd()).unwrap(), big.len());
        let mut buffer = vec![0u8; big.len()];
        let got = recv(server.as_fd(), &mut buffer).unwrap();
        assert_eq!((got.len, got.truncated, got.fds.len()), (big.len(), false, 1));
        assert_eq!(buffer, big);
        assert_eq!(peer(server.as_fd()).unwrap().pid, i32::try_from(std::process::id()).unwrap());
        send(client.as_fd(), &big, &[]).unwrap();
        assert!(recv(server.as_fd(), &mut buffer[..9]).unwrap().truncated);
        drop(got);
        drop(client);
        assert_eq!(recv(server.as_fd(), &mut buffer).unwrap().len, 0);
    }
}
