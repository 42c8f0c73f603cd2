//! What PID 1 does to the machine: mounts of the beginning and of the end, stdio, the last kill.
//!
//! Each call is idempotent. Policy (which mounts, in which order) is the caller's.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, FsType, TMPFS_MAGIC, statfs};

/// Magic number of ramfs (linux/magic.h).
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// A mount that a machine needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// File system type, which is its source's name as well.
    pub kind: &'static str,
    /// Where.
    pub target: &'static str,
    /// Options of the file system.
    pub options: &'static str,
    /// Programs there may be run; no file system here has devices or setuid programs but /dev.
    pub exec: bool,
    /// Device nodes there work.
    pub devices: bool,
}

/// Mounts `needed` unless something is mounted there; `true` when it did.
///
/// # Errors
/// Whatever mkdir or mount say: ENODEV when the kernel lacks the file system.
pub fn ensure(needed: &Needed) -> Result<bool> {
    let target = Path::new(needed.target);
    if is_mount_point(target) {
        return Ok(false);
    }
    fs::create_dir_all(target)?;
    let mut flags = MsFlags::MS_NOSUID;
    flags.set(MsFlags::MS_NOEXEC, !needed.exec);
    flags.set(MsFlags::MS_NODEV, !needed.devices);
    let options = Some(needed.options).filter(|options| !options.is_empty());
    mount(Some(needed.kind), target, Some(needed.kind), flags, options)?;
    Ok(true)
}

/// `target` and the folder above it are on different file systems.
#[must_use]
pub fn is_mount_point(target: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|data| data.dev());
    match (device(target), device(&target.join(".."))) {
        (Ok(own), Ok(above)) => own != above,
        _ => false,
    }
}

/// The root file system lives in memory: an initramfs, or what it switched to.
#[must_use]
pub fn root_is_in_memory() -> bool {
    let kind = statfs("/").map(|info| info.filesystem_type());
    kind.is_ok_and(|kind| kind == TMPFS_MAGIC || kind == RAMFS_MAGIC)
}

/// Opens /dev/console as descriptors 0 to 2 where the kernel gave none.
///
/// # Errors
/// Whatever open or dup2 say.
pub fn ensure_stdio() -> Result<()> {
    let has_stdio = fcntl(std::io::stdin(), FcntlArg::F_GETFD).is_ok()
        && fcntl(std::io::stdout(), FcntlArg::F_GETFD).is_ok()
        && fcntl(std::io::stderr(), FcntlArg::F_GETFD).is_ok();
    if has_stdio {
        return Ok(());
    }
    let console = open("/dev/console", OFlag::O_RDWR | OFlag::O_NOCTTY, Mode::empty())?;
    nix::unistd::dup2_stdin(&console)?;
    nix::unistd::dup2_stdout(&console)?;
    nix::unistd::dup2_stderr(&console)?;
    Ok(())
}

/// Writes to an existing file in one call, without allocating.
///
/// # Errors
/// Whatever open or write say.
pub fn write_once(path: &[u8], bytes: &[u8]) -> Result<()> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(&file, bytes)?;
    Ok(())
}

/// Lets this process and its descendants open so many files.
///
/// # Errors
/// EPERM without CAP_SYS_RESOURCE.
pub fn allow_files(count: u64) -> Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NOFILE, count, count)?)
}

/// The caller is in the first PID namespace: PID 1 there is PID 1 of the machine, not of a
/// container.
#[must_use]
pub fn is_whole_machine() -> bool {
    // PROC_PID_INIT_INO of linux/proc_ns.h.
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new("pid:[4026531836]"))
}

/// setgroups(2) is permitted to the caller.
#[must_use]
pub fn may_set_groups() -> bool {
    // More than any process may have: who may not is told that first, and nothing is ever set.
    let (count, none) = (libc::c_int::MAX, std::ptr::null::<libc::gid_t>());
    // SAFETY: the kernel refuses the count before it reads.
    let refused = unsafe { libc::syscall(libc::SYS_setgroups, count, none) };
    refused < 0 && Errno::last() == Errno::EINVAL
}

/// The path is in a cgroup2 tree.
#[must_use]
pub fn is_cgroup2(path: &Path) -> bool {
    statfs(path).is_ok_and(|info| info.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// The caller is in the first cgroup namespace: it is told of cgroups from the root of the tree on.
#[must_use]
pub fn is_first_cgroup_namespace() -> bool {
    // PROC_CGROUP_INIT_INO.
    let first = Path::new("cgroup:[4026531835]");
    fs::read_link("/proc/self/ns/cgroup").is_ok_and(|link| link == first)
}

/// Kills every process but the caller; for PID 1 that is the whole machine or PID namespace.
/// Refused for any other process.
///
/// # Errors
/// `PermissionDenied` when the caller is not PID 1; none left to kill is fine.
pub fn kill_everything() -> Result<()> {
    if std::process::id() != 1 {
        return Err(Error::from(ErrorKind::PermissionDenied));
    }
    // SAFETY: integers only.
    let done = unsafe { libc::kill(-1, libc::SIGKILL) };
    match Error::last_os_error() {
        _ if done == 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}

/// Unmounts what can be unmounted, last mounted first, and makes the root read-only. `buffer` takes
/// the list of mounts; mounts beyond its size stay. Refused for any process but PID 1 of the
/// machine: a file system made read-only is so for everybody, in other mount namespaces too.
///
/// # Errors
/// `PermissionDenied` when the caller is not that, or what remounting the root says.
pub fn unmount_everything(buffer: &mut [u8]) -> Result<()> {
    if std::process::id() != 1 || !is_whole_machine() {
        return Err(Error::from(ErrorKind::PermissionDenied));
    }
    let list = open("/proc/self/mountinfo", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut len = 0;
    loop {
        match nix::unistd::read(&list, &mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    for line in buffer[..len].rsplit(|&byte| byte == b'\n') {
        let point = line.split(|&byte| byte == b' ').nth(4).unwrap_or_default();
        // Busy ones, and those with an escaped name, stay; the sync has been done.
        if point != b"/" && point.first() == Some(&b'/') && !point.starts_with(b"/proc") {
            let _ = umount2(point, MntFlags::UMOUNT_NOFOLLOW);
        }
    }
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, nothing)?;
    Ok(())
}
