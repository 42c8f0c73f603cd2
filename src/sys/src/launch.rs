//! Starting a child that works through a [`Compiled`] program: one clone3, a pidfd, a socket.
//!
//! Everything that the child needs is in the file that it executes at once. The caller may have
//! threads: until then the child allocates nothing and takes no lock. Not here: what the operations
//! are.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use child::{FRAME_BYTES, Frame, Op, Strings};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::cpus::{self, Cpus};
use crate::errand::Errand;
use crate::seqpacket;

/// Longest wait for the end of a child that has been killed.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Bytes before the filter in the parent's last word: of [`ignored_signals`].
pub const WORD_HEADER_BYTES: usize = 8;

/// A compiled program, owned.
#[derive(Default)]
pub struct Compiled {
    /// Operations.
    pub ops: Vec<Op>,
    /// NUL-terminated strings.
    pub text: Vec<u8>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The command's arguments.
    pub argv: Strings,
    /// Its environment.
    pub envp: Strings,
    /// Paths to try for it.
    pub candidates: Strings,
    /// Bytes that the parent's last word may have.
    pub inbox_bytes: usize,
}

/// Where the child is born.
#[derive(Debug, Default)]
pub struct Birth<'a> {
    /// CLONE_NEW* flags.
    pub namespaces: u64,
    /// A cgroup v2 folder to be born into.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The CPUs that it may use at first, a bit each.
    pub cpus: Option<&'a [u8]>,
    /// The caller lives for this child alone, and nobody else is in its cgroup.
    pub alone: bool,
    /// Another CPU has time for it.
    pub apart: bool,
}

/// A child at work.
#[derive(Debug)]
pub struct Launched {
    /// Its pid here.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    report: OwnedFd,
}

/// Something the child told.
#[derive(Debug)]
pub enum Told {
    /// Operation `index` failed.
    Failed {
        /// Stage of the operation.
        stage: u32,
        /// Its index.
        index: u32,
        /// Why.
        errno: i32,
    },
    /// It waits at a point.
    Reached(u32),
    /// The master of its pty.
    Master(OwnedFd),
    /// The listener of its seccomp filter.
    Listener(OwnedFd),
    /// It goes on as a sibling with this pid.
    Forked(i32),
    /// The owners of this mount tree, which operation `index` binds, are to be mapped.
    Tree {
        /// The operation's index.
        index: u32,
        /// The detached tree.
        tree: OwnedFd,
    },
    /// The socket is closed: it has executed its command, or died.
    Closed,
}

/// Clones a child that works through `program` with `slots` as its descriptors.
///
/// # Errors
/// clone3(2)'s: EINVAL or EPERM for namespaces, EBUSY and ENOENT for the cgroup, EAGAIN, ENOMEM.
pub fn launch(program: &Compiled, slots: &[BorrowedFd<'_>], birth: &Birth<'_>) -> Result<Launched> {
    let (report, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let raw: Vec<RawFd> = slots.iter().map(AsRawFd::as_raw_fd).collect();
    let file = crate::program_file::of(program, &raw, theirs.as_raw_fd())?;
    let keep = [&raw[..], &[theirs.as_raw_fd()]].concat();
    let cpus = birth.cpus.map(Cpus::keep_to).transpose()?;
    let born = clone(&file, keep, birth);
    cpus.map_or(Ok(()), Cpus::leave)?;
    let (pid, pidfd) = born?;
    if birth.apart && birth.cpus.is_none() {
        cpus::part(pid);
    }
    Ok(Launched { pid, pidfd, report })
}

fn clone(file: &OwnedFd, keep: Vec<RawFd>, birth: &Birth<'_>) -> Result<(i32, OwnedFd)> {
    // Nobody is root in a user namespace that has no map yet.
    let user = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    let ambient = birth.namespaces & user != 0;
    let errand = Errand { file: file.as_fd(), name: c"podvisor-oci init", keep, ambient };
    errand.leave(birth.namespaces, birth.cgroup, birth.alone)
}

/// The signals that the caller ignores, and with it whoever it has started and has not reset them:
/// the first at the lowest bit.
#[must_use]
pub fn ignored_signals() -> u64 {
    // The kernel's struct sigaction: handler, flags, restorer, mask.
    let mut found = [0usize; 4];
    let mut ignores = |signal: u64| {
        let (none, size) = (std::ptr::null::<usize>(), size_of::<u64>());
        // The C library's call does not tell of the two that it has for itself.
        // SAFETY: the kernel fills the structure, and reads none.
        let asked = unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, none, found.as_mut_ptr(), size)
        };
        asked == 0 && found[0] == libc::SIG_IGN
    };
    (0..64).fold(0, |set, bit| set | u64::from(ignores(bit + 1)) << bit)
}

/// Gives a process a resource limit (soft, hard) that is higher than its own; where the kernel
/// refuses, it keeps its own.
pub fn raise_limit(pid: i32, resource: u32, (soft, hard): (u64, u64)) {
    let wanted = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let mut own = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills a whole rlimit.
    let asked = unsafe { libc::prlimit64(pid, resource, std::ptr::null(), &raw mut own) };
    if asked == 0 && hard > own.rlim_max {
        // SAFETY: the kernel reads a whole rlimit.
        let _ = unsafe { libc::prlimit64(pid, resource, &raw const wanted, std::ptr::null_mut()) };
    }
}

impl Launched {
    /// Waits for the next thing it tells.
    ///
    /// # Errors
    /// recvmsg(2)'s; `InvalidData` for what is no frame.
    pub fn next(&self) -> Result<Told> {
        read_frame(self.report.as_fd())
    }

    /// Lets it go on; `word` is what its last wait receives. When it is gone nothing is said:
    /// [`Launched::next`] has its reason.
    ///
    /// # Errors
    /// sendmsg(2)'s.
    pub fn say(&self, word: &[u8]) -> Result<()> {
        self.send(word, &[])
    }

    /// Gives it a descriptor that it waits for, as [`Launched::say`] a word.
    ///
    /// # Errors
    /// sendmsg(2)'s.
    pub fn hand(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.send(b"h", &[fd])
    }

    fn send(&self, word: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        match seqpacket::send(self.report.as_fd(), word, fds) {
            // The latter, once, when a word before this one is unread.
            Err(error)
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// Takes the sibling that the child went on as for the child, which is reaped.
    ///
    /// # Errors
    /// ESRCH when it is gone, ECHILD when it is none of the caller's children.
    pub fn follow(&mut self, pid: i32) -> Result<()> {
        let pidfd = crate::teardown::open_process(pid)?;
        crate::children::refuse_stranger(pidfd.as_fd())?;
        let former = std::mem::replace(&mut self.pidfd, pidfd);
        self.pid = pid;
        crate::foreground::reap(former.as_fd()).map(|_| ())
    }

    /// Kills it and waits for its end, but not for ever: what is frozen, or in a call that the
    /// kernel does not interrupt, ends when it can.
    pub fn destroy(&self) {
        end(self.pidfd.as_fd());
    }

    /// From now on [`Launched::next`] fails with `WouldBlock` after this long.
    ///
    /// # Errors
    /// setsockopt(2)'s.
    pub fn limit_waits(&self, ms: u64) -> Result<()> {
        seqpacket::set_recv_timeout_ms(self.report.as_fd(), Some(ms))
    }

    /// The signal that ended it, when one did; it stays to be reaped.
    #[must_use]
    pub fn killed_by(&self) -> Option<i32> {
        // SAFETY: an all-zero siginfo is a valid value, the one waitid documents for "nothing".
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = libc::id_t::try_from(self.pidfd.as_raw_fd()).ok()?;
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` is a whole siginfo that the kernel fills; the rest are integers.
        let got = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, flags) };
        let killed = matches!(info.si_code, libc::CLD_KILLED | libc::CLD_DUMPED);
        // SAFETY: waitid filled the SIGCHLD part of the union, or left it zero.
        let signal = unsafe { info.si_status() };
        (got == 0 && killed && signal > 0).then_some(signal)
    }
}

/// Kills a child of the caller's and reaps it, as [`Launched::destroy`] does.
pub fn end(process: BorrowedFd<'_>) {
    // One that is gone already is what is wanted; a child of ours can always be reaped.
    let _ = crate::children::signal(process, libc::SIGKILL);
    let ended = crate::teardown::wait_for_end(process, Instant::now() + END_WITHIN);
    if ended.unwrap_or(false) {
        let _ = crate::foreground::reap(process);
    }
}

/// Takes a frame from any socket that a child reports on.
///
/// # Errors
/// recvmsg(2)'s; `InvalidData` for what is no frame.
pub fn read_frame(socket: BorrowedFd<'_>) -> Result<Told> {
    let mut bytes = [0; FRAME_BYTES];
    let mut received = match seqpacket::recv(socket, &mut bytes) {
        // The peer closed with our word still unread. The kernel says so once, and before it hands
        // out what the peer had sent: the reason of its end.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            seqpacket::recv(socket, &mut bytes)?
        }
        other => other?,
    };
    if received.len == 0 {
        return Ok(Told::Closed);
    }
    let frame = Frame::parse(&bytes);
    let invalid = || Error::new(ErrorKind::InvalidData, "a frame that is none");
    let Frame { kind, stage, index, value } = frame;
    Ok(match kind {
        1 => Told::Failed { stage, index, errno: value },
        2 => Told::Reached(value.cast_unsigned()),
        3 => Told::Master(received.fds.pop().ok_or_else(invalid)?),
        4 => Told::Listener(received.fds.pop().ok_or_else(invalid)?),
        5 => Told::Forked(value),
        6 => Told::Tree { index, tree: received.fds.pop().ok_or_else(invalid)? },
        _ => return Err(invalid()),
    })
}

/// The same descriptor, or a copy of it with a number above stdio's, for a slot.
///
/// # Errors
/// EMFILE.
pub fn above_stdio(fd: OwnedFd) -> Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    let raw = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: the kernel made it just now.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::os::fd::AsFd;

    #[test]
    fn a_failure_is_heard_though_our_word_was_not() {
        let kind = SockType::SeqPacket;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let frame = Frame { kind: 1, stage: 2, index: 3, value: libc::EINVAL };
        seqpacket::send(theirs.as_fd(), &frame.bytes(), &[]).unwrap();
        seqpacket::send(ours.as_fd(), b"go", &[]).unwrap();
        drop(theirs);
        let told = read_frame(ours.as_fd()).unwrap();
        assert!(matches!(told, Told::Failed { stage: 2, index: 3, errno: libc::EINVAL }));
        assert!(matches!(read_frame(ours.as_fd()).unwrap(), Told::Closed));
    }

    #[test]
    fn who_is_gone_with_a_word_unread_is_asked_for_its_reason() {
        let kind = SockType::SeqPacket;
        let (report, theirs) =
            socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let pidfd = crate::teardown::open_process(pid).unwrap();
        let launched = Launched { pid, pidfd, report };
        launched.hand(launched.pidfd.as_fd()).unwrap();
        let frame = Frame { kind: 1, stage: 2, index: 3, value: libc::ENOENT };
        seqpacket::send(theirs.as_fd(), &frame.bytes(), &[]).unwrap();
        drop(theirs);
        launched.say(b"go").unwrap();
        launched.say(b"go").unwrap();
        let told = launched.next().unwrap();
        assert!(matches!(told, Told::Failed { stage: 2, index: 3, errno: libc::ENOENT }));
    }
}
