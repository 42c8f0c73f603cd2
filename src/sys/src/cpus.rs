//! Which CPUs a process may use: for a time, or all.

use std::io::{Error, Result};

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread keeps to some CPUs until [`Cpus::leave`], and who is born meanwhile does.
pub(crate) struct Cpus {
    own: Vec<u8>,
}

impl Cpus {
    pub(crate) fn keep_to(mask: &[u8]) -> Result<Cpus> {
        // More than any kernel's mask has: 8192 CPUs.
        let mut own = vec![0u8; 1024];
        let (call, length) = (libc::SYS_sched_getaffinity, own.len());
        // SAFETY: the kernel fills at most `length` bytes of the buffer.
        let filled = unsafe { libc::syscall(call, 0, length, own.as_mut_ptr()) };
        own.truncate(usize::try_from(filled).map_err(|_| Error::last_os_error())?);
        Cpus::set(mask)?;
        Ok(Cpus { own })
    }

    pub(crate) fn leave(self) -> Result<()> {
        Cpus::set(&self.own)
    }

    fn set(mask: &[u8]) -> Result<()> {
        let (call, length) = (libc::SYS_sched_setaffinity, mask.len());
        // SAFETY: the kernel reads `length` bytes of the slice.
        let done = unsafe { libc::syscall(call, 0, length, mask.as_ptr()) };
        if done < 0 { Err(Error::last_os_error()) } else { Ok(()) }
    }
}

/// Lets a process use every CPU that its cgroup gives it: what its maker was kept to is not its
/// affair. Where the kernel refuses, it stays as it is.
pub fn use_all_cpus(pid: i32) {
    // More than any kernel has.
    let all = [u8::MAX; 1024];
    // SAFETY: the kernel reads as many bytes as the array has.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, all.len(), all.as_ptr()) };
}

/// Has a process that was just made begin on another CPU than the caller's, if it may use one: the
/// two work at the same time. Some kernels would rather keep the two together, and begin the new
/// one when the caller waits.
pub(crate) fn part(pid: i32) {
    place(pid, |own, here| {
        let mut others = *own;
        others.unset(here).map(|()| others)
    });
}

/// Brings a process to the caller's CPU, which is about to wait for it.
pub(crate) fn fetch(pid: i32) {
    place(pid, |_, here| {
        let mut one = CpuSet::new();
        one.set(here).map(|()| one)
    });
}

/// Moves a process once. Where it then goes is the kernel's affair: it may use all that the caller
/// may, as before. Nothing is done where there are more than 1024 CPUs.
fn place(pid: i32, to: impl Fn(&CpuSet, usize) -> nix::Result<CpuSet>) {
    let (Ok(own), Ok(here)) = (sched_getaffinity(Pid::from_raw(0)), sched_getcpu()) else {
        return;
    };
    let pid = Pid::from_raw(pid);
    if to(&own, here).and_then(|cpus| sched_setaffinity(pid, &cpus)).is_ok() {
        let _ = sched_setaffinity(pid, &own);
    }
}
