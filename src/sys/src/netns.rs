//! A network namespace that is made while the caller does something else.
//!
//! The kernel takes longer for one than for all other namespaces of a container together, 0.3 ms
//! of 2.5, and until the container mounts sysfs, or has sysctls written, nothing needs it. So it is
//! made on another CPU meanwhile, by a clone that shares the caller's memory and descriptors and
//! ends with that, or with the thread that began it. It touches nothing of the C library's, whose
//! handlers of signals it must not run: all that can be blocked are.
//! Not here: what that clone does, which is `child::netns`.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use child::depart::STACK_BYTES;
use child::netns::Made;
use nix::sys::signal::{SigSet, SigmaskHow};

/// Longest wait for the kernel, which may be taking thousands of namespaces down.
const MADE_WITHIN: Duration = Duration::from_secs(60);

/// Longest wait for one that is not wanted any more, before it is killed.
const UNWANTED_WITHIN: Duration = Duration::from_secs(1);

/// Longest wait for the end of a maker that has been killed.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Nothing has been made.
const NOTHING: i32 = i32::MIN;

/// What the clone needs of the caller's memory.
#[repr(C, align(16))]
struct Shared {
    stack: [u8; STACK_BYTES],
    made: Made,
}

/// Why there is none.
#[derive(Debug)]
pub struct Failure {
    /// What could not be done.
    pub step: &'static str,
    /// Why.
    pub error: Error,
}

/// A network namespace in the making; whoever drops it does not want it any more.
pub struct Netns {
    /// Freed once the maker has ended, and left to one that does not end.
    shared: Option<NonNull<Shared>>,
    maker: OwnedFd,
    pid: i32,
}

impl Netns {
    /// Begins; the same thread finishes. Needs /proc.
    ///
    /// # Errors
    /// clone3(2)'s.
    pub fn begin() -> Result<Netns> {
        let made = Made {
            parent: std::process::id(),
            steps: AtomicU32::new(0),
            result: AtomicI32::new(NOTHING),
        };
        let shared = Box::leak(Box::new(Shared { stack: [0; STACK_BYTES], made }));
        let mut pidfd: RawFd = -1;
        // SAFETY: clone_args is plain data for which all zeroes is valid.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_PIDFD;
        args.flags = u64::from(flags.cast_unsigned());
        args.pidfd = (&raw mut pidfd).addr() as u64;
        args.stack = (&raw mut shared.stack).addr() as u64;
        args.stack_size = STACK_BYTES as u64;
        let made = &raw const shared.made;
        let shared = NonNull::from(shared);
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
        // SAFETY: stack and result are in `shared`, which is kept until the clone has ended.
        let born = unsafe { child::netns::clone(&mut args, made) };
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
        let pid = match born {
            Ok(pid) => pid,
            Err(errno) => {
                // SAFETY: it was leaked just now, and no clone has it.
                drop(unsafe { Box::from_raw(shared.as_ptr()) });
                return Err(Error::from_raw_os_error(errno));
            }
        };
        crate::cpus::part(pid);
        // SAFETY: the kernel stored a fresh close-on-exec descriptor that nobody else knows.
        let maker = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Netns { shared: Some(shared), maker, pid })
    }

    /// Whether another CPU had time for it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        // SAFETY: it was leaked for the clone, and is freed by `take` alone.
        let shared = self.shared.map(|shared| unsafe { shared.as_ref() });
        shared.is_some_and(|shared| shared.made.steps.load(Ordering::Acquire) > 0)
    }

    /// Waits for it: a namespace whose loopback link is up, which lives as long as the descriptor,
    /// and whoever has joined it by that.
    ///
    /// # Errors
    /// [`Failure`]: of unshare(2) EPERM, ENOSPC beyond user.max_net_namespaces, ENOMEM; of the link
    /// EPERM; `TimedOut`.
    pub fn finish(mut self) -> std::result::Result<OwnedFd, Failure> {
        self.hurry();
        let (steps, made) = self.take(MADE_WITHIN);
        let step = match steps {
            0 | 1 => "make a network namespace",
            2 => "set link lo up",
            _ => "open the network namespace",
        };
        made.map_err(|error| Failure { step, error })
    }

    /// Gets one that has not begun onto this CPU, whose time the caller is about to give away.
    fn hurry(&self) {
        if !self.has_begun() {
            crate::cpus::fetch(self.pid);
        }
    }

    /// How many steps were done, and what was made.
    fn take(&mut self, within: Duration) -> (u32, Result<OwnedFd>) {
        let Some(shared) = self.shared.take() else { return (0, Err(ErrorKind::NotFound.into())) };
        let ended = crate::teardown::wait_for_end(self.maker.as_fd(), Instant::now() + within);
        if !matches!(ended, Ok(true)) {
            return (0, Err(ended.err().unwrap_or_else(|| ErrorKind::TimedOut.into())));
        }
        // Its end has been seen.
        let _ = crate::foreground::reap(self.maker.as_fd());
        // SAFETY: it was leaked for the clone, which has ended, and nobody else has it.
        let shared = unsafe { Box::from_raw(shared.as_ptr()) };
        let made = match shared.made.result.load(Ordering::Acquire) {
            NOTHING => Err(Error::other("who was to make the network namespace was killed")),
            errno @ ..0 => Err(Error::from_raw_os_error(-errno)),
            // SAFETY: the clone opened it in the descriptors that it shared, for this place alone.
            made => Ok(unsafe { OwnedFd::from_raw_fd(made) }),
        };
        (shared.made.steps.load(Ordering::Acquire), made)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if self.shared.is_none() {
            return;
        }
        // Killed at once it would leave what it has open among the descriptors that it shares; what
        // is not done in time is in unshare(2) still, and has nothing open.
        self.hurry();
        let near = Instant::now() + UNWANTED_WITHIN;
        if !matches!(crate::teardown::wait_for_end(self.maker.as_fd(), near), Ok(true)) {
            let _ = crate::children::signal(self.maker.as_fd(), libc::SIGKILL);
        }
        // Whoever does not want it any more has a failure of its own to tell.
        let _ = self.take(END_WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, setns};
    use std::os::fd::AsRawFd;

    fn descriptors() -> Vec<String> {
        let mut all: Vec<String> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .map(|path| path.display().to_string())
            .filter(|path| ["net:", "socket:", "pidfd"].iter().any(|kind| path.contains(kind)))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_namespace_is_made_meanwhile_with_its_loopback_up() {
        // Where no other test has descriptors in this process.
        let test = "netns::tests::a_namespace_is_made_meanwhile_with_its_loopback_up";
        let Some(_scope) = scope::enter(test) else { return };
        let name = |path: &str| std::fs::read_link(path).unwrap();
        let before = descriptors();
        let netns = Netns::begin().unwrap().finish().unwrap();
        let made = name(&format!("/proc/self/fd/{}", netns.as_raw_fd()));
        assert_ne!(made, name("/proc/self/ns/net"));
        let addresses = std::thread::spawn(move || {
            setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
            std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap()
        });
        assert!(addresses.join().unwrap().starts_with("00000000000000000000000000000001 "));
        // Red when it is killed at once: with its socket open, now and then.
        for _ in 0..200 {
            drop(Netns::begin().unwrap());
        }
        assert_eq!(descriptors(), before);
    }
}
