//! Mount trees, namespace files and small files that the parent opens for a child.

use std::ffi::CString;
use std::fs::File;
use std::io::{Error, Result, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fstat};

use crate::overlay::{done, owned};
use crate::seqpacket;

/// What of a place becomes a clone; by default the mount alone, behind any link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// With what is mounted below.
    pub recursive: bool,
    /// A link at the end of the path is taken itself.
    pub link: bool,
}

/// A detached clone of the mount tree at `path`.
///
/// # Errors
/// open_tree(2)'s: ENOENT, EACCES, EPERM.
pub fn clone(path: &Path, shape: Shape) -> Result<OwnedFd> {
    const OPEN_TREE_CLONE: u32 = 1;
    const AT_RECURSIVE: u32 = 0x8000;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let recursive = if shape.recursive { AT_RECURSIVE } else { 0 };
    let link = if shape.link { libc::AT_SYMLINK_NOFOLLOW.cast_unsigned() } else { 0 };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned() | recursive | link;
    // SAFETY: a NUL-terminated path that outlives the call; the rest are integers.
    let raw = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    if raw < 0 {
        return Err(Error::last_os_error());
    }
    let raw = RawFd::try_from(raw).map_err(Error::other)?;
    // SAFETY: the kernel made it just now.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A new, empty tmpfs, mounted nowhere.
///
/// # Errors
/// fsopen(2)'s, fsconfig(2)'s, fsmount(2)'s: EPERM.
pub fn tmpfs() -> Result<OwnedFd> {
    const CREATE: u32 = 6;
    let kind = c"tmpfs";
    // SAFETY: a NUL-terminated string that outlives the call; the rest is an integer.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1) })?;
    let (fd, nothing) = (context.as_raw_fd(), std::ptr::null::<libc::c_char>());
    // SAFETY: this command takes neither key nor value.
    done(unsafe { libc::syscall(libc::SYS_fsconfig, fd, CREATE, nothing, nothing, 0) })?;
    // SAFETY: integers only.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, fd, 1, 0) })
}

/// Makes a detached tree show its files' owners as the user namespace `users` maps them; the mounts
/// below its root too when `recursive`.
///
/// # Errors
/// mount_setattr(2)'s: EINVAL for a file system that cannot, EPERM for one already mapped.
pub fn map_ids(tree: BorrowedFd<'_>, users: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(users.as_raw_fd().cast_unsigned()),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    set_attributes(tree, &attributes, flags)
}

/// mount_setattr(2) on a tree's handle.
pub(crate) fn set_attributes(
    tree: BorrowedFd<'_>,
    attributes: &libc::mount_attr,
    flags: libc::c_int,
) -> Result<()> {
    let (fd, path, size) = (tree.as_raw_fd(), c"".as_ptr(), size_of::<libc::mount_attr>());
    let (call, attributes) = (libc::SYS_mount_setattr, &raw const *attributes);
    // SAFETY: an empty string and a whole structure, which outlive the call.
    let done = unsafe { libc::syscall(call, fd, path, flags, attributes, size) };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Whether a mount forbids writing, set-user-ID, devices or execution.
///
/// # Errors
/// fstatvfs(3)'s.
pub fn is_restricted(tree: BorrowedFd<'_>) -> Result<bool> {
    use nix::sys::statvfs::{FsFlags, fstatvfs};
    let any = FsFlags::ST_RDONLY | FsFlags::ST_NOSUID | FsFlags::ST_NODEV | FsFlags::ST_NOEXEC;
    Ok(fstatvfs(tree)?.flags().intersects(any))
}

/// A folder's handle (O_PATH).
///
/// # Errors
/// open(2)'s.
pub fn folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// A handle (O_PATH) of what stands at a path; a link is not followed.
///
/// # Errors
/// open(2)'s.
pub fn handle(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// A namespace file.
///
/// # Errors
/// open(2)'s.
pub fn namespace(path: &Path) -> Result<OwnedFd> {
    Ok(open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// What kind of namespace a file is, as CLONE_NEW* flag (NS_GET_NSTYPE).
///
/// # Errors
/// ENOTTY when it is none.
pub fn namespace_kind(file: BorrowedFd<'_>) -> Result<u32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: this request takes no argument.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE as _) };
    if kind < 0 { Err(Error::last_os_error()) } else { Ok(kind.cast_unsigned()) }
}

/// The user namespace that owns a namespace (NS_GET_USERNS).
///
/// # Errors
/// EPERM when it is beyond the caller's own.
pub fn namespace_owner(file: BorrowedFd<'_>) -> Result<OwnedFd> {
    related(file, 0xb701)
}

/// The user namespace that a user namespace was made in (NS_GET_PARENT).
///
/// # Errors
/// EPERM when it is beyond the caller's own.
pub fn namespace_parent(file: BorrowedFd<'_>) -> Result<OwnedFd> {
    related(file, 0xb702)
}

fn related(file: BorrowedFd<'_>, request: libc::c_ulong) -> Result<OwnedFd> {
    // SAFETY: both requests take no argument.
    let fd = unsafe { libc::ioctl(file.as_raw_fd(), request as _) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the kernel made a close-on-exec descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether two descriptors are of one file.
///
/// # Errors
/// fstat(2)'s.
pub fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// A nameless file in memory with this content, to be read from its start.
///
/// # Errors
/// memfd_create(2)'s, write(2)'s.
pub fn memory_file(content: &[u8]) -> Result<File> {
    let mut file = File::from(memfd_create("podvisor", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// The socket that a created container waits at: one message lets it go. It blocks.
///
/// # Errors
/// bind(2)'s and listen(2)'s.
pub fn listen_for_start(path: &Path) -> Result<OwnedFd> {
    let listener = seqpacket::listen(path, 8)?;
    // SAFETY: integers only; the socket is ours alone.
    let done = unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_SETFL, 0) };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(listener) }
}

/// Sends a descriptor with `message` over the stream socket at `path`, as runc does a pty's master.
///
/// # Errors
/// connect(2)'s, sendmsg(2)'s.
pub fn send_fd(socket: BorrowedFd<'_>, message: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    seqpacket::send(socket, message, &[fd])
}

/// Connects to a stream socket, waiting so long at most when its backlog is full. Neither does
/// anything that is sent then take longer.
///
/// # Errors
/// connect(2)'s: EAGAIN when time is up.
pub fn connect_stream_within(path: &Path, within: std::time::Duration) -> Result<OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt};
    use nix::sys::time::TimeValLike;
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // Nothing at all would be no limit.
    let micros = i64::try_from(within.as_micros()).unwrap_or(i64::MAX).max(1);
    let limit = nix::sys::time::TimeVal::microseconds(micros);
    setsockopt(&socket, nix::sys::socket::sockopt::SendTimeout, &limit)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// CLONE_NEW* flags by the specification's names of namespaces; 0 for none.
#[must_use]
pub fn namespace_flag(name: &str) -> u32 {
    let flag = match name {
        "mount" => libc::CLONE_NEWNS,
        "pid" => libc::CLONE_NEWPID,
        "network" => libc::CLONE_NEWNET,
        "ipc" => libc::CLONE_NEWIPC,
        "uts" => libc::CLONE_NEWUTS,
        "user" => libc::CLONE_NEWUSER,
        "cgroup" => libc::CLONE_NEWCGROUP,
        "time" => libc::CLONE_NEWTIME,
        _ => 0,
    };
    flag.cast_unsigned()
}

/// Whether a path is the root of a mount (statx's STATX_ATTR_MOUNT_ROOT).
///
/// # Errors
/// statx(2)'s.
pub fn is_mount_root(path: &Path) -> Result<bool> {
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statx is plain data for which all zeroes is valid.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    let (here, path, out) = (libc::AT_FDCWD, path.as_ptr(), &raw mut found);
    // Not libc's wrapper: the standard library names it weakly, and link-time optimisation makes
    // one weak, unresolved symbol of both in a static program.
    // SAFETY: a NUL-terminated path and a whole structure to fill.
    let done = unsafe { libc::syscall(libc::SYS_statx, here, path, flags, 0, out) };
    if done < 0 {
        return Err(Error::last_os_error());
    }
    Ok(found.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0)
}
