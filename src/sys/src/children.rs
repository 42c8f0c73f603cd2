//! The parent's side of many processes: signals as a descriptor, reaping, adopting by pidfd.
//!
//! Made for the two programs that inherit orphans (monitor and PID 1). Nothing here allocates after
//! [`Signals::block`]. Reaping takes *any* child: only for processes in which nobody else waits for
//! children in another thread.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};

/// A signal that [`Signals`] catches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caught {
    /// A child changed state.
    Child,
    /// SIGTERM.
    Terminate,
    /// SIGINT; from ctrl-alt-del for PID 1.
    Interrupt,
    /// SIGPWR: power is failing.
    Power,
    /// SIGHUP, or another of the set.
    Other,
}

/// Blocked signals, read from a descriptor instead.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks SIGCHLD, SIGTERM, SIGINT, SIGPWR, SIGHUP, SIGUSR1 and SIGUSR2 for this thread.
    /// Processes started later inherit that: whoever starts them unblocks them there.
    ///
    /// # Errors
    /// Whatever signalfd says.
    pub fn block() -> Result<Signals> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGPWR,
            Signal::SIGHUP,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
        ] {
            set.add(signal);
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { fd })
    }

    /// Takes the next signal; `None` when there is none.
    ///
    /// # Errors
    /// Whatever read says.
    pub fn next(&self) -> Result<Option<Caught>> {
        let Some(info) = self.fd.read_signal()? else { return Ok(None) };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        Ok(Some(match Signal::try_from(number) {
            Ok(Signal::SIGCHLD) => Caught::Child,
            Ok(Signal::SIGTERM) => Caught::Terminate,
            Ok(Signal::SIGINT) => Caught::Interrupt,
            Ok(Signal::SIGPWR) => Caught::Power,
            _ => Caught::Other,
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its pid, free for reuse from now on.
    pub pid: i32,
    /// How.
    pub status: Status,
}

/// An exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Exit code; 128+n when killed by signal n.
    pub code: i32,
    /// The signal that killed it.
    pub signal: Option<i32>,
}

impl Status {
    /// From a wait status of the kernel; `None` for a process that has not ended.
    #[must_use]
    pub fn from_raw(raw: i32) -> Option<Status> {
        if libc::WIFEXITED(raw) {
            Some(Status { code: libc::WEXITSTATUS(raw), signal: None })
        } else if libc::WIFSIGNALED(raw) {
            let signal = libc::WTERMSIG(raw);
            Some(Status { code: 128 + signal, signal: Some(signal) })
        } else {
            None
        }
    }
}

/// Reaps one child that has ended; `None` when there is none now.
///
/// # Errors
/// Never ECHILD: having no children is `None`.
pub fn reap() -> Result<Option<Ended>> {
    loop {
        let mut raw = 0;
        // Not nix's wrapper: it takes a death by a real-time signal for an error, and loses the
        // pid. SAFETY: `raw` is a whole int to fill.
        let pid = unsafe { libc::waitpid(-1, &raw mut raw, libc::WNOHANG) };
        if pid == 0 {
            return Ok(None);
        }
        if pid < 0 {
            match Errno::last() {
                Errno::ECHILD => return Ok(None),
                Errno::EINTR => continue,
                errno => return Err(errno.into()),
            }
        }
        if let Some(status) = Status::from_raw(raw) {
            return Ok(Some(Ended { pid, status }));
        }
    }
}

/// Waits until the process of a pidfd has ended, and reaps it if it is a child; `false` when it has
/// not ended within `timeout_ms`.
///
/// # Errors
/// Whatever poll says.
pub fn await_end(pidfd: BorrowedFd<'_>, timeout_ms: u16) -> Result<bool> {
    let mut wanted = [PollFd::new(pidfd, PollFlags::POLLIN)];
    if poll(&mut wanted, PollTimeout::from(timeout_ms))? == 0 {
        return Ok(false);
    }
    let number = pidfd.as_raw_fd().cast_unsigned();
    // SAFETY: a null pointer for the information that is not wanted. ECHILD: somebody else's child.
    unsafe { libc::waitid(libc::P_PIDFD, number, std::ptr::null_mut(), libc::WEXITED) };
    Ok(true)
}

/// Says whether a process is a child of this one, living or unreaped.
///
/// # Errors
/// ECHILD when it is not.
pub fn refuse_stranger(pidfd: BorrowedFd<'_>) -> Result<()> {
    let (number, flags) =
        (pidfd.as_raw_fd().cast_unsigned(), libc::WNOHANG | libc::WEXITED | libc::WNOWAIT);
    // SAFETY: a null pointer for the information that is not wanted.
    let done = unsafe { libc::waitid(libc::P_PIDFD, number, std::ptr::null_mut(), flags) };
    Errno::result(done).map(drop).map_err(Error::from)
}

/// The process has a child, living or unreaped.
#[must_use]
pub fn has_any() -> bool {
    let flags = libc::WNOHANG | libc::WEXITED | libc::WNOWAIT;
    // SAFETY: a null pointer for the information that is not wanted.
    let done = unsafe { libc::waitid(libc::P_ALL, 0, std::ptr::null_mut(), flags) };
    done == 0 || Errno::last() != Errno::ECHILD
}

/// Makes this process the parent of every orphan among its descendants (prctl(2)).
///
/// # Errors
/// Whatever prctl says.
pub fn become_subreaper() -> Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Leaves the caller's session and terminal. A process that leads a session or group already stays.
pub fn new_session() {
    // EPERM: it leads its group, which setsid was to bring about.
    let _ = nix::unistd::setsid();
}

/// Kills every process of the group that `leader` leads; one that is gone is fine. `leader` must be
/// an unreaped child, so that its number is not somebody else's.
///
/// # Errors
/// EPERM.
pub fn kill_group(leader: i32, signal: i32) -> Result<()> {
    // SAFETY: integers only.
    match unsafe { libc::kill(-leader, signal) } {
        0 => Ok(()),
        _ => match Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        },
    }
}

/// Start time of a process in clock ticks since boot (field 22 of /proc/pid/stat).
///
/// # Errors
/// `NotFound` when there is none of that pid.
pub fn start_time(pid: i32) -> Result<u64> {
    let stat = crate::kernel_file::read(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which may hold anything.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest);
    let field = after_name.and_then(|rest| rest.split_ascii_whitespace().nth(19));
    field
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("/proc/{pid}/stat: field 22")))
}

/// What tells a process from all others of a boot that have its pid, before or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// The inode of its pidfds, which no other process gets; since Linux 6.9.
    Inode(u64),
    /// As of [`start_time`].
    StartTime(u64),
}

/// Of a process that lives, or is not reaped yet.
///
/// # Errors
/// `NotFound` when there is none of that pid.
pub fn birth(pid: i32) -> Result<Birth> {
    let pidfd = open_any(pid)?.ok_or(ErrorKind::NotFound)?;
    inode(pidfd.as_fd())
        .map_or_else(|| start_time(pid).map(Birth::StartTime), |i| Ok(Birth::Inode(i)))
}

/// A pidfd of the process that had this pid at this start time; `None` when it is gone.
///
/// # Errors
/// EMFILE and the like.
pub fn open(pid: i32, started: u64) -> Result<Option<OwnedFd>> {
    open_born(pid, Birth::StartTime(started))
}

/// A pidfd of the process of this pid and birth; `None` when it is gone.
///
/// # Errors
/// EMFILE and the like.
pub fn open_born(pid: i32, birth: Birth) -> Result<Option<OwnedFd>> {
    let Some(pidfd) = open_any(pid)? else { return Ok(None) };
    // The pidfd pins the pid's meaning; only then does the birth prove whose it is.
    let same = match birth {
        Birth::Inode(known) => inode(pidfd.as_fd()) == Some(known),
        Birth::StartTime(known) => start_time(pid).is_ok_and(|found| found == known),
    };
    Ok(same.then_some(pidfd))
}

fn open_any(pid: i32) -> Result<Option<OwnedFd>> {
    // SAFETY: integers only.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if raw < 0 {
        return match Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            error => Err(error),
        };
    }
    let raw = RawFd::try_from(raw).map_err(Error::other)?;
    // SAFETY: the kernel made it just now.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) }))
}

/// PID_FS_MAGIC of linux/magic.h.
const PID_FS_MAGIC: FsType = FsType(0x5049_4446);

/// Inode of a pidfd; older kernels have one for all.
fn inode(pidfd: BorrowedFd<'_>) -> Option<u64> {
    let own = fstatfs(pidfd).ok()?.filesystem_type() == PID_FS_MAGIC;
    own.then(|| fstat(pidfd).ok().map(|found| found.st_ino)).flatten()
}

/// Sends a signal to the process of a pidfd; one that is gone is fine.
///
/// # Errors
/// EPERM, EINVAL.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: integers and a null pointer that stands for plain kill(2) semantics.
    let done =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    match Error::last_os_error() {
        _ if done == 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}

/// First version of `struct pidfd_info` that holds an exit code (linux/pidfd.h, 6.15).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;

nix::ioctl_readwrite!(
    /// PIDFD_GET_INFO of linux/pidfd.h.
    pidfd_get_info,
    0xFF,
    11,
    PidfdInfo
);

/// How the process of a pidfd ended, although it was somebody else's child; `None` while it lives,
/// before its parent has reaped it, and on kernels before 6.15.
#[must_use]
pub fn exit_status(pidfd: BorrowedFd<'_>) -> Option<Status> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the number holds the structure's size; the kernel writes no more than that.
    unsafe { pidfd_get_info(pidfd.as_raw_fd(), &raw mut info) }.ok()?;
    if info.mask & PIDFD_INFO_EXIT == 0 { None } else { Status::from_raw(info.exit_code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_with_a_reused_pid_is_not_opened() {
        let me = i32::try_from(std::process::id()).unwrap();
        let started = start_time(me).unwrap();
        assert!(open(me, started).unwrap().is_some());
        assert!(open(me, started + 1).unwrap().is_none());
        assert!(exit_status(open(me, started).unwrap().unwrap().as_fd()).is_none());
    }

    #[test]
    fn two_births_are_never_the_same() {
        let mut other = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let (me, pid) = (std::process::id().cast_signed(), other.id().cast_signed());
        let mine = birth(me).unwrap();
        assert_eq!(birth(me).unwrap(), mine);
        assert!(open_born(me, mine).unwrap().is_some());
        assert!(open_born(pid, mine).unwrap().is_none());
        assert!(open_born(pid, birth(pid).unwrap()).unwrap().is_some());
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(birth(pid).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn only_an_own_child_is_none_of_the_strangers() {
        let stranger = crate::teardown::open_process(std::process::id().cast_signed()).unwrap();
        let refused = refuse_stranger(stranger.as_fd()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ECHILD));
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let own = crate::teardown::open_process(child.id().cast_signed()).unwrap();
        refuse_stranger(own.as_fd()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn wait_statuses_become_shell_codes() {
        assert_eq!(Status::from_raw(3 << 8), Some(Status { code: 3, signal: None }));
        assert_eq!(Status::from_raw(9), Some(Status { code: 137, signal: Some(9) }));
        assert_eq!(Status::from_raw(0x7f), None);
    }
}
