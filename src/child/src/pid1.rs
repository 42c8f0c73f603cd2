//! PID 1 of a pod whose members share their PID namespace: reaps orphans, holds the namespace.
//!
//! Runs after a raw clone: no allocation, no locks, no panics, system calls only. Before it waits
//! it leaves everything a member could reach through /proc/1 behind: its root becomes an empty
//! read-only tmpfs, its descriptors are closed, it is nobody without capabilities, cannot gain any,
//! and cannot be traced. Members cannot signal it away (pid_namespaces(7): PID 1 gets no signal it
//! has no handler for); it ends by SIGKILL, or by SIGTERM from an ancestor namespace.
//! It forwards nothing and starts nothing.

use core::ffi::{CStr, c_int, c_long};
use core::ptr::{null, null_mut};

/// uid and gid it runs as (nobody, nogroup).
const NOBODY: c_long = 65534;

/// Highest capability number the kernel could know; dropping a larger one fails harmlessly.
const LAST_CAPABILITY: c_long = 63;

/// Where set-up failed, by number; [`step_name`] has the words.
#[repr(i32)]
#[derive(Clone, Copy)]
enum Step {
    Session = 1,
    PrivateMounts,
    EmptyRoot,
    ChangeRoot,
    DropOldRoot,
    Privileges,
    Signals,
}

/// Words for a step number that [`run`] reported.
#[must_use]
pub fn step_name(step: i32) -> &'static str {
    match step {
        1 => "new session",
        2 => "private mounts",
        3 => "mount an empty root",
        4 => "change root",
        5 => "unmount the old root",
        6 => "drop privileges",
        7 => "block signals",
        _ => "unknown step",
    }
}

/// Sets itself up, reports on `report` and waits for ever. The report is two native-endian i32:
/// step and errno, both 0 when all went well.
///
/// # Safety
/// Only for the single thread of a process just cloned into new PID and mount namespaces; `report`
/// is the write end of a pipe of its parent.
pub unsafe fn run(report: c_int) -> ! {
    let failed = match set_up() {
        Ok(()) => [0, 0],
        Err(step) => [step as i32, errno()],
    };
    // SAFETY: `failed` is 8 readable bytes. Should the parent be gone nobody needs the report.
    unsafe { libc::syscall(libc::SYS_write, report, failed.as_ptr(), 8usize) };
    if failed[0] != 0 {
        exit(1);
    }
    // SAFETY: no descriptor is used after this.
    unsafe { libc::syscall(libc::SYS_close_range, 0u32, u32::MAX, 0u32) };
    wait_for_ever()
}

fn set_up() -> Result<(), Step> {
    // SAFETY: setsid takes no arguments.
    check(unsafe { libc::syscall(libc::SYS_setsid) }, Step::Session)?;
    empty_root()?;
    drop_privileges()?;
    block_signals()
}

/// pivot_root onto an empty tmpfs; MS_MOVE and chroot where the root is the initramfs, which cannot
/// be pivoted away from.
fn empty_root() -> Result<(), Step> {
    let private = libc::MS_REC | libc::MS_PRIVATE;
    check(mount(c"none", c"/", None, private, None), Step::PrivateMounts)?;
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let options = Some(c"size=4k,mode=0555");
    check(mount(c"podvisor-init", c"/proc", Some(c"tmpfs"), flags, options), Step::EmptyRoot)?;
    check(chdir(c"/proc"), Step::ChangeRoot)?;
    let here = c".".as_ptr();
    // SAFETY: both paths are NUL-terminated.
    if unsafe { libc::syscall(libc::SYS_pivot_root, here, here) } == 0 {
        // SAFETY: the path is NUL-terminated.
        let done = unsafe { libc::syscall(libc::SYS_umount2, here, libc::MNT_DETACH) };
        check(done, Step::DropOldRoot)?;
    } else {
        check(mount(c".", c"/", None, libc::MS_MOVE, None), Step::ChangeRoot)?;
        // SAFETY: the path is NUL-terminated.
        check(unsafe { libc::syscall(libc::SYS_chroot, here) }, Step::ChangeRoot)?;
    }
    check(chdir(c"/"), Step::ChangeRoot)
}

fn drop_privileges() -> Result<(), Step> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(|()| Step::Privileges)?;
    for capability in 0..=LAST_CAPABILITY {
        // A number the kernel does not know is refused, which is as good.
        let _ = prctl(libc::PR_CAPBSET_DROP, capability);
    }
    // SAFETY: an empty list; its pointer is not read.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, 0usize, null::<libc::gid_t>()) };
    check(groups, Step::Privileges)?;
    // The raw calls: libc's wrappers would signal threads that this process does not have.
    // SAFETY: integers only.
    let group = unsafe { libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY) };
    check(group, Step::Privileges)?;
    // SAFETY: integers only. Leaving uid 0 clears the permitted and effective capabilities.
    let user = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    check(user, Step::Privileges)?;
    prctl(libc::PR_SET_DUMPABLE, 0).map_err(|()| Step::Privileges)?;
    // Only a name for ps; a failure changes nothing.
    // SAFETY: a NUL-terminated name.
    unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, c"pod-init".as_ptr(), 0, 0, 0) };
    Ok(())
}

fn block_signals() -> Result<(), Step> {
    let all = u64::MAX;
    // SAFETY: the kernel's signal set is 8 bytes.
    let done = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            null_mut::<u64>(),
            8usize,
        )
    };
    check(done, Step::Signals)
}

fn wait_for_ever() -> ! {
    let wanted = (1u64 << (libc::SIGCHLD - 1)) | (1u64 << (libc::SIGTERM - 1));
    loop {
        reap();
        // SAFETY: siginfo_t is plain data for which all zeroes is valid.
        let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
        // SAFETY: an 8-byte set, a whole siginfo_t to fill, and no time-out.
        let signal = unsafe {
            libc::syscall(
                libc::SYS_rt_sigtimedwait,
                &raw const wanted,
                &raw mut info,
                null::<libc::timespec>(),
                8usize,
            )
        };
        // SAFETY: the kernel fills si_pid for kill(2); it is 0 for a sender outside this namespace.
        let from_outside = unsafe { info.si_pid() } == 0;
        if signal == c_long::from(libc::SIGTERM) && from_outside {
            exit(0);
        }
    }
}

fn reap() {
    loop {
        // SAFETY: null pointers for what is not wanted.
        let pid = unsafe {
            libc::syscall(
                libc::SYS_wait4,
                -1,
                null_mut::<c_int>(),
                libc::WNOHANG,
                null_mut::<libc::rusage>(),
            )
        };
        if pid <= 0 {
            return;
        }
    }
}

fn mount(
    source: &CStr,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> c_long {
    let pointer = |text: Option<&CStr>| text.map_or(null(), CStr::as_ptr);
    // SAFETY: each pointer is null or NUL-terminated and outlives the call.
    unsafe {
        libc::syscall(
            libc::SYS_mount,
            source.as_ptr(),
            target.as_ptr(),
            pointer(kind),
            flags,
            pointer(options),
        )
    }
}

fn chdir(path: &CStr) -> c_long {
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::syscall(libc::SYS_chdir, path.as_ptr()) }
}

fn prctl(option: c_int, value: c_long) -> Result<(), ()> {
    // SAFETY: the options used here take an integer and no pointer.
    let done = unsafe { libc::syscall(libc::SYS_prctl, option, value, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(()) }
}

fn check(result: c_long, step: Step) -> Result<(), Step> {
    if result < 0 { Err(step) } else { Ok(()) }
}

fn errno() -> i32 {
    // SAFETY: the location is valid for the life of the thread.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *location }
}

fn exit(code: c_int) -> ! {
    loop {
        // SAFETY: exit_group does not return.
        unsafe { libc::syscall(libc::SYS_exit_group, code) };
    }
}
