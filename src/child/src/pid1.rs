//! PID 1 of a pod whose members share their PID namespace: reaps orphans, holds the namespace.
//!
//! No allocation, no locks, no panics, system calls only. Before it waits it leaves everything a
//! member could reach through /proc/1 behind: its root becomes an empty read-only tmpfs, its
//! descriptors are closed, it is nobody without capabilities, cannot gain any and cannot be
//! traced. Members cannot signal it away (pid_namespaces(7): PID 1 gets no signal it
//! has no handler for); it ends by SIGKILL, or by kill(2)'s SIGTERM from an ancestor namespace.
//! It forwards nothing and starts nothing.

use core::ffi::{CStr, c_int};

use crate::raw::{Done, exit, syscall, unit};

/// uid and gid it runs as (nobody, nogroup).
const NOBODY: u32 = 65534;

/// Highest capability number the kernel could know; dropping a larger one fails harmlessly.
const LAST_CAPABILITY: u32 = 63;

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

/// Bytes of the kernel's signal set.
const SIGNAL_SET_BYTES: usize = 8;

/// A step that failed, and why.
type Stepped = Result<(), (Step, c_int)>;

/// Words for a step number that it reported.
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

/// Sets itself up, reports on `report`, the write end of a pipe, and waits for ever. The report is
/// two native-endian i32: step and errno, both 0 when all went well.
pub(crate) fn run(report: c_int) -> ! {
    let failed = match set_up() {
        Ok(()) => [0, 0],
        Err((step, errno)) => [step as i32, errno],
    };
    // Should the parent be gone nobody needs the report.
    let _ = syscall!(libc::SYS_write, report, failed.as_ptr(), size_of_val(&failed));
    if failed != [0, 0] {
        exit(1);
    }
    remain()
}

/// Sets itself up and waits for ever: who is told of operations sees its socket closed then.
pub(crate) fn stay() -> Done {
    set_up().map_err(|(_, errno)| errno)?;
    remain()
}

/// Leaves all descriptors, and waits.
fn remain() -> ! {
    let _ = syscall!(libc::SYS_close_range, 0, u32::MAX, 0);
    wait_for_ever()
}

fn set_up() -> Stepped {
    at(Step::Session, unit(syscall!(libc::SYS_setsid)))?;
    empty_root()?;
    at(Step::Privileges, drop_privileges())?;
    let all = u64::MAX;
    let how = libc::SIG_SETMASK;
    let blocked = syscall!(libc::SYS_rt_sigprocmask, how, &raw const all, 0, SIGNAL_SET_BYTES);
    at(Step::Signals, unit(blocked))
}

fn at(step: Step, done: Done) -> Stepped {
    done.map_err(|errno| (step, errno))
}

/// pivot_root onto an empty tmpfs; MS_MOVE and chroot where the root is the initramfs, which cannot
/// be pivoted away from.
fn empty_root() -> Stepped {
    let private = libc::MS_REC | libc::MS_PRIVATE;
    at(Step::PrivateMounts, mount(c"none", c"/", None, private, None))?;
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let options = Some(c"size=4k,mode=0555");
    at(Step::EmptyRoot, mount(c"podvisor-init", c"/proc", Some(c"tmpfs"), flags, options))?;
    at(Step::ChangeRoot, chdir(c"/proc"))?;
    if syscall!(libc::SYS_pivot_root, c".", c".").is_ok() {
        at(Step::DropOldRoot, unit(syscall!(libc::SYS_umount2, c".", libc::MNT_DETACH)))?;
    } else {
        at(Step::ChangeRoot, mount(c".", c"/", None, libc::MS_MOVE, None))?;
        at(Step::ChangeRoot, unit(syscall!(libc::SYS_chroot, c".")))?;
    }
    at(Step::ChangeRoot, chdir(c"/"))
}

fn drop_privileges() -> Done {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    for capability in 0..=LAST_CAPABILITY {
        // A number the kernel does not know is refused, which is as good.
        let _ = prctl(libc::PR_CAPBSET_DROP, capability);
    }
    syscall!(libc::SYS_setgroups, 0, 0)?;
    syscall!(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY)?;
    // Leaving uid 0 clears the permitted and effective capabilities.
    syscall!(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY)?;
    prctl(libc::PR_SET_DUMPABLE, 0)?;
    // Only a name for ps; a failure changes nothing.
    let _ = syscall!(libc::SYS_prctl, libc::PR_SET_NAME, c"pod-init", 0, 0, 0);
    Ok(())
}

fn wait_for_ever() -> ! {
    let wanted = (1u64 << (libc::SIGCHLD - 1)) | (1u64 << (libc::SIGTERM - 1));
    loop {
        while syscall!(libc::SYS_wait4, -1, 0, libc::WNOHANG, 0).is_ok_and(|pid| pid > 0) {}
        // SAFETY: siginfo_t is plain data for which all zeroes is valid.
        let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
        let (set, size) = (&raw const wanted, SIGNAL_SET_BYTES);
        let signal = syscall!(libc::SYS_rt_sigtimedwait, set, &raw mut info, 0, size);
        // SAFETY: the kernel fills si_pid for kill(2); it is 0 for a sender outside this namespace.
        let sender = unsafe { info.si_pid() };
        // Of kill(2) alone: rt_sigqueueinfo(2) takes any other code, and any sender with it.
        let from_outside = info.si_code == libc::SI_USER && sender == 0;
        if signal == Ok(libc::SIGTERM as usize) && from_outside {
            exit(0);
        }
    }
}

fn mount(
    source: &CStr,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> Done {
    unit(syscall!(libc::SYS_mount, source, target, kind, flags, options))
}

fn chdir(path: &CStr) -> Done {
    unit(syscall!(libc::SYS_chdir, path))
}

fn prctl(option: c_int, value: u32) -> Done {
    unit(syscall!(libc::SYS_prctl, option, value, 0, 0, 0))
}
