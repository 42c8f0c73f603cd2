//! Sending a clone off into a program: until its execve it is the caller's second self.
//!
//! One that is born where the caller is shares the caller's memory: no page table is copied, no
//! page written twice. One that is born into another cgroup has a copy: whoever the kernel kills
//! for want of memory takes all with it that share its memory, in whatever cgroup they are.
//!
//! The caller waits until the clone has left, but no longer than [`LEAVE_WITHIN`]: one that is born
//! into a frozen cgroup does not get that far. CLONE_VFORK would wait for ever; a pipe that closes
//! at the execve can be waited for.
//!
//! Where the caller lives for this clone alone and nobody else is in its cgroup, it shares the
//! memory there, too, and waits in clone3 (CLONE_VFORK): whom such a parent waits for, the kernel
//! does not choose to kill (oom_kill.c, in_vfork). That cgroup has been seen not to be frozen;
//! should it be in these few microseconds, a timer ends the caller, which nothing else could.
//! Without such a timer it has a copy.

use std::ffi::CStr;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use child::depart::{Departure, STACK_BYTES};
use nix::fcntl::OFlag;
use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::pipe2;

/// CLONE_INTO_CGROUP of linux/sched.h; libc's constant is cut to 32 bits and is 0.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Longest wait for the execve of a clone, which has nothing slow to do.
const LEAVE_WITHIN: Duration = Duration::from_secs(6);

/// Held while the pipe's end that the clone is to have is open here.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Longest wait for others to let go of the program.
const FREE_WITHIN: Duration = Duration::from_millis(500);

/// Longest wait for the end of one that has been killed.
const END_WITHIN: Duration = Duration::from_secs(2);

/// A program to execute in a new process.
pub(crate) struct Errand<'a> {
    /// The program, open for reading.
    pub(crate) file: BorrowedFd<'a>,
    /// Its name, for ps.
    pub(crate) name: &'static CStr,
    /// Descriptors that stay open.
    pub(crate) keep: Vec<RawFd>,
    /// Keeps its capabilities although it is nobody yet.
    pub(crate) ambient: bool,
}

/// What the clone needs of the caller's memory.
#[repr(C, align(16))]
struct Shared {
    stack: [u8; STACK_BYTES],
    departure: Departure,
    keep: Vec<RawFd>,
}

impl Errand<'_> {
    /// As [`Errand::try_leave`], again and again while another thread's child, between its fork and
    /// its execve, holds a copy of the descriptor by which the program was written.
    ///
    /// # Errors
    /// As of [`Errand::try_leave`].
    pub(crate) fn leave(
        &self,
        namespaces: u64,
        cgroup: Option<BorrowedFd<'_>>,
        alone: bool,
    ) -> Result<(i32, OwnedFd)> {
        let end = Instant::now() + FREE_WITHIN;
        loop {
            match self.try_leave(namespaces, cgroup, alone) {
                Err(error)
                    if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < end =>
                {
                    crate::teardown::until(Instant::now() + Duration::from_millis(1));
                }
                other => return other,
            }
        }
    }

    /// Clones with these CLONE_NEW* flags, into `cgroup`; its pid and pidfd.
    ///
    /// # Errors
    /// clone3(2)'s; execve(2)'s when it could not leave, and `TimedOut` when it does not run: it is
    /// killed then.
    fn try_leave(
        &self,
        namespaces: u64,
        cgroup: Option<BorrowedFd<'_>>,
        alone: bool,
    ) -> Result<(i32, OwnedFd)> {
        // A clone of another thread in between would have the pipe's other end, too.
        let alone_here = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
        let departure = Departure {
            file: self.file.as_raw_fd(),
            name: self.name,
            keep: std::ptr::null(),
            count: self.keep.len(),
            ambient: self.ambient,
            tell: tell.as_raw_fd(),
        };
        let keep = self.keep.clone();
        let mut shared = Box::new(Shared { stack: [0; STACK_BYTES], departure, keep });
        shared.departure.keep = shared.keep.as_ptr();
        let mut pidfd: RawFd = -1;
        // SAFETY: clone_args is plain data for which all zeroes is valid.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = namespaces | u64::from(libc::CLONE_PIDFD.cast_unsigned());
        args.pidfd = (&raw mut pidfd).addr() as u64;
        args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
        let mut end_of_all = None;
        if let Some(cgroup) = cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
        }
        // Nothing ends the first process of a PID namespace.
        if cgroup.is_some() && alone && std::process::id() != 1 {
            end_of_all = EndOfAll::within(LEAVE_WITHIN).ok();
        }
        if cgroup.is_none() || end_of_all.is_some() {
            args.flags |= u64::from(libc::CLONE_VM.cast_unsigned());
        }
        if end_of_all.is_some() {
            args.flags |= u64::from(libc::CLONE_VFORK.cast_unsigned());
        }
        args.stack = (&raw mut shared.stack).addr() as u64;
        args.stack_size = STACK_BYTES as u64;
        // SAFETY: all that the clone uses is in `shared`, which lives until it has left.
        let born = unsafe { child::depart::clone(&mut args, &shared.departure) };
        let pid = born.map_err(Error::from_raw_os_error)?;
        drop(end_of_all);
        drop(tell);
        drop(alone_here);
        // SAFETY: the kernel stored a fresh close-on-exec descriptor that nobody else knows.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        match await_leave(&told) {
            Ok(()) => Ok((pid, pidfd)),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                give_up(&pidfd, shared);
                Err(error)
            }
            Err(error) => {
                // Nothing is left to reap where the caller ignores SIGCHLD.
                let _ = crate::foreground::reap(pidfd.as_fd());
                Err(error)
            }
        }
    }
}

/// Ends the calling process for good at a time, unless it is dropped before: a signal that it could
/// take would not reach it while it waits for a clone.
struct EndOfAll {
    _timer: Timer,
}

impl EndOfAll {
    fn within(time: Duration) -> Result<EndOfAll> {
        let notify = SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 };
        let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(notify))?;
        timer
            .set(Expiration::OneShot(TimeSpec::from_duration(time)), TimerSetTimeFlags::empty())?;
        Ok(EndOfAll { _timer: timer })
    }
}

/// Waits until the pipe is closed, by the execve or by the clone's end.
///
/// # Errors
/// What the clone told; `TimedOut`.
fn await_leave(told: &OwnedFd) -> Result<()> {
    let end = Instant::now() + LEAVE_WITHIN;
    if !crate::teardown::readable(told.as_fd(), end)? {
        return Err(Error::from(ErrorKind::TimedOut));
    }
    let mut errno = [0; size_of::<i32>()];
    match nix::unistd::read(told, &mut errno)? {
        0 => Ok(()),
        _ => Err(Error::from_raw_os_error(i32::from_ne_bytes(errno))),
    }
}

/// Kills the clone. What is frozen dies when it may: until then its memory is not used again.
fn give_up(pidfd: &OwnedFd, shared: Box<Shared>) {
    // One that is gone already is what is wanted.
    let _ = crate::children::signal(pidfd.as_fd(), libc::SIGKILL);
    let ended = crate::teardown::wait_for_end(pidfd.as_fd(), Instant::now() + END_WITHIN);
    if ended.unwrap_or(false) {
        let _ = crate::foreground::reap(pidfd.as_fd());
    } else {
        Box::leak(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Names what the test below is to do in a process of its own.
    const IGNORING: &str = "ERRAND_IGNORES_SIGCHLD";

    #[test]
    fn a_caller_that_ignores_sigchld_is_told_why_a_program_did_not_start() {
        if std::env::var_os(IGNORING).is_none() {
            let name = "errand::tests::\
                a_caller_that_ignores_sigchld_is_told_why_a_program_did_not_start";
            let mut again = std::process::Command::new("env");
            again
                .arg("--ignore-signal=CHLD")
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", name])
                .env(IGNORING, "1");
            let told = again.output().unwrap();
            let text = String::from_utf8_lossy(&told.stdout);
            assert!(told.status.success() && text.contains("1 passed"), "{text}");
            return;
        }
        let file = std::fs::File::open("/etc/passwd").unwrap();
        let errand = Errand { file: file.as_fd(), name: c"none", keep: Vec::new(), ambient: false };
        let error = errand.try_leave(0, None, false).expect_err("no program");
        assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{error}");
    }

    #[test]
    fn a_program_that_somebody_holds_open_for_writing_is_waited_for() {
        let folder = scope::Folder::new("errand");
        let path = folder.join("true");
        std::fs::copy("/bin/true", &path).unwrap();
        let mut writer = std::fs::File::options().append(true).open(&path).unwrap();
        writer.flush().unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let errand = Errand { file: file.as_fd(), name: c"true", keep: Vec::new(), ambient: false };
        let busy = errand.try_leave(0, None, false).expect_err("busy").kind();
        assert_eq!(busy, ErrorKind::ExecutableFileBusy);
        let letting_go = std::thread::spawn(move || {
            crate::teardown::until(Instant::now() + Duration::from_millis(20));
            drop(writer);
        });
        let (_, pidfd) = errand.leave(0, None, false).unwrap();
        letting_go.join().unwrap();
        assert_eq!(crate::foreground::reap(pidfd.as_fd()).unwrap(), 0);
    }
}
