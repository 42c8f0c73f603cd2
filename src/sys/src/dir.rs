//! Making a file tree beneath a directory fd: what an extractor of hostile archives stands on.
//!
//! Invariants: [`open_beneath`] and [`open_folder`] never follow a symbolic or magic link, never
//! leave the folder of the fd they are given and never cross a mount (openat2(2), Linux 5.6). Every
//! other call takes an fd and one plain name; a name with a slash, `.`, `..` or nothing is refused
//! with EINVAL, so no call of this module resolves a path by itself.
//! Not here: what an archive means, and any decision about names, owners or attributes.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::dir::Entry;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, openat2, renameat2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{self, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{self, Gid, Uid, UnlinkatFlags};

/// Permission bits: set-id, sticky and rwx for three.
pub const MODE_MASK: u32 = 0o7777;

/// A time stamp: seconds since 1970 (may be negative) and nanoseconds (0 to 999,999,999).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Whole seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds past them.
    pub nanos: u32,
}

/// A file that is neither regular, folder nor link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A named pipe.
    Fifo,
    /// A character device.
    Char {
        /// Device class, below 4,096.
        major: u32,
        /// Device of the class, below 1,048,576.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Device class, below 4,096.
        major: u32,
        /// Device of the class, below 1,048,576.
        minor: u32,
    },
}

/// What kind of file a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A character device 0/0: overlayfs' mark of a deleted file.
    Whiteout,
    /// Anything else.
    Other,
}

/// Attributes that one folder can take over from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content.
    pub modified: Stamp,
}

pub(crate) fn plain(name: &[u8]) -> Result<&[u8]> {
    let bad = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/');
    if bad { Err(Errno::EINVAL.into()) } else { Ok(name) }
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits & MODE_MASK)
}

/// Gives the calling thread an umask of its own, 0, so that created files get the mode asked for.
///
/// The thread's working folder and root become its own too; other threads keep theirs.
///
/// # Errors
/// unshare(2)'s.
pub fn private_umask() -> Result<()> {
    unshare(CloneFlags::CLONE_FS)?;
    stat::umask(Mode::empty());
    Ok(())
}

/// Opens a folder of ours by path, for reading, not following a link in the last component.
///
/// # Errors
/// open(2)'s.
pub fn open_root(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    Ok(nix::fcntl::open(path, flags, Mode::empty())?)
}

fn beneath(root: BorrowedFd, path: &[u8], flags: OFlag, bits: u32) -> Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(mode(bits)).resolve(resolve);
    let path = if path.is_empty() { b"." } else { path };
    resolved(root, path, how)
}

fn resolved(root: BorrowedFd, path: &[u8], how: OpenHow) -> Result<OwnedFd> {
    loop {
        match openat2(root, path, how) {
            // A rename or mount elsewhere on the system during a walk over `..`: the kernel asks
            // that it be tried again.
            Err(Errno::EAGAIN) => {}
            other => return Ok(other?),
        }
    }
}

/// Opens a folder below `root` for reading (so that xattrs can be set on it). Empty = `root`.
///
/// # Errors
/// openat2(2)'s: ELOOP for a link on the way, ENOTDIR, ENOENT, EXDEV for leaving.
pub fn open_folder(root: impl AsFd, path: &[u8]) -> Result<OwnedFd> {
    beneath(root.as_fd(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0)
}

/// Opens the folder that an open one is in, which must not be of hostile making: it may have been
/// moved meanwhile.
///
/// # Errors
/// openat(2)'s.
pub fn parent(folder: impl AsFd) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::openat(folder, "..", flags, Mode::empty())?)
}

/// Whether an open was refused because a symbolic link stood on the way (ELOOP).
#[must_use]
pub fn met_a_link(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// Opens an existing file below `root` for reading without blocking on a pipe or device.
///
/// # Errors
/// As [`open_folder`].
pub fn open_beneath(root: impl AsFd, path: &[u8]) -> Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    Ok(File::from(beneath(root.as_fd(), path, flags, 0)?))
}

/// Opens a file by a path that may hold links, all of them resolved with `root` as `/`
/// (RESOLVE_IN_ROOT), for reading without blocking.
///
/// # Errors
/// openat2(2)'s.
pub fn open_in_root(root: impl AsFd, path: &[u8]) -> Result<File> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(resolve);
    Ok(File::from(resolved(root.as_fd(), path, how)?))
}

/// The same without opening what is there: a handle, for what is known of it.
///
/// # Errors
/// openat2(2)'s.
pub fn find_in_root(root: impl AsFd, path: &[u8]) -> Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
    resolved(root.as_fd(), path, how)
}

/// Makes a new regular file for writing; EEXIST when the name is taken, by a link too.
///
/// # Errors
/// openat(2)'s.
pub fn create_file(folder: impl AsFd, name: &[u8], bits: u32) -> Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    let fd = nix::fcntl::openat(folder, plain(name)?, flags | OFlag::O_CLOEXEC, mode(bits))?;
    Ok(File::from(fd))
}

/// Makes a folder.
///
/// # Errors
/// mkdirat(2)'s.
pub fn make_folder(folder: impl AsFd, name: &[u8], bits: u32) -> Result<()> {
    Ok(stat::mkdirat(folder, plain(name)?, mode(bits))?)
}

/// Makes a pipe or device.
///
/// # Errors
/// mknodat(2)'s; EINVAL for numbers beyond the kernel's 12 and 20 bits.
pub fn make_node(folder: impl AsFd, name: &[u8], node: Node, bits: u32) -> Result<()> {
    let (kind, major, minor) = match node {
        Node::Fifo => (SFlag::S_IFIFO, 0, 0),
        Node::Char { major, minor } => (SFlag::S_IFCHR, major, minor),
        Node::Block { major, minor } => (SFlag::S_IFBLK, major, minor),
    };
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(Errno::EINVAL.into());
    }
    let device = stat::makedev(u64::from(major), u64::from(minor));
    Ok(stat::mknodat(folder, plain(name)?, kind, mode(bits), device)?)
}

/// Makes overlayfs' mark of a deleted file, a character device 0/0
/// (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
///
/// # Errors
/// mknodat(2)'s.
pub fn make_whiteout(folder: impl AsFd, name: &[u8]) -> Result<()> {
    make_node(folder, name, Node::Char { major: 0, minor: 0 }, 0)
}

/// Makes a symbolic link; its text is not looked at.
///
/// # Errors
/// symlinkat(2)'s.
pub fn make_link(folder: impl AsFd, name: &[u8], text: &[u8]) -> Result<()> {
    Ok(unistd::symlinkat(text, folder, plain(name)?)?)
}

/// The text of a symbolic link.
///
/// # Errors
/// readlinkat(2)'s; EINVAL when it is no link.
pub fn read_link(folder: impl AsFd, name: &[u8]) -> Result<Vec<u8>> {
    Ok(OsString::into_vec(nix::fcntl::readlinkat(folder, plain(name)?)?))
}

/// Makes a hard link; the old name itself is linked when it is a symbolic link.
///
/// # Errors
/// linkat(2)'s.
pub fn hard_link(old_folder: impl AsFd, old: &[u8], folder: impl AsFd, name: &[u8]) -> Result<()> {
    Ok(unistd::linkat(old_folder, plain(old)?, folder, plain(name)?, AtFlags::empty())?)
}

/// What `name` is, not following a link.
///
/// # Errors
/// fstatat(2)'s.
pub fn kind(folder: impl AsFd, name: &[u8]) -> Result<Kind> {
    let found = stat::fstatat(folder, plain(name)?, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let bits = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    Ok(match bits {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Folder,
        SFlag::S_IFLNK => Kind::Link,
        SFlag::S_IFCHR if found.st_rdev == 0 => Kind::Whiteout,
        _ => Kind::Other,
    })
}

/// The attributes of an open file or folder.
///
/// # Errors
/// fstat(2)'s.
pub fn attributes(fd: impl AsFd) -> Result<Attributes> {
    let found = stat::fstat(fd)?;
    let nanos = u32::try_from(found.st_mtime_nsec).unwrap_or(0);
    Ok(Attributes {
        mode: found.st_mode & MODE_MASK,
        uid: found.st_uid,
        gid: found.st_gid,
        modified: Stamp { seconds: found.st_mtime, nanos },
    })
}

/// Sets owner and group of a name, of the link itself when it is one.
///
/// # Errors
/// fchownat(2)'s.
pub fn set_owner(folder: impl AsFd, name: &[u8], uid: u32, gid: u32) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    Ok(unistd::fchownat(folder, plain(name)?, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

/// Sets owner and group of an open file. Clears set-id bits: set the mode after it.
///
/// # Errors
/// fchown(2)'s.
pub fn set_owner_fd(fd: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    Ok(unistd::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Sets the permission bits of an open file.
///
/// # Errors
/// fchmod(2)'s.
pub fn set_mode_fd(fd: impl AsFd, bits: u32) -> Result<()> {
    Ok(stat::fchmod(fd, mode(bits))?)
}

/// Sets the permission bits of a name that is no symbolic link and that nobody else can rename
/// (the caller stands in a folder of its own: fchmodat(2) has no way not to follow before 6.6).
///
/// # Errors
/// fchmodat(2)'s.
pub fn set_mode(folder: impl AsFd, name: &[u8], bits: u32) -> Result<()> {
    let follow = stat::FchmodatFlags::FollowSymlink;
    Ok(stat::fchmodat(folder, plain(name)?, mode(bits), follow)?)
}

fn timespec(stamp: Stamp) -> TimeSpec {
    TimeSpec::new(stamp.seconds, i64::from(stamp.nanos))
}

/// Sets access and change time of an open file.
///
/// # Errors
/// futimens(3)'s.
pub fn set_times_fd(fd: impl AsFd, stamp: Stamp) -> Result<()> {
    let time = timespec(stamp);
    Ok(stat::futimens(fd, &time, &time)?)
}

/// Sets access and change time of a name, of the link itself when it is one.
///
/// # Errors
/// utimensat(2)'s.
pub fn set_times(folder: impl AsFd, name: &[u8], stamp: Stamp) -> Result<()> {
    let time = timespec(stamp);
    Ok(stat::utimensat(folder, plain(name)?, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

fn c_string(text: &[u8]) -> Result<CString> {
    CString::new(text).map_err(|e| Error::new(ErrorKind::InvalidInput, e))
}

/// Sets an extended attribute of an open file or folder (not opened O_PATH).
///
/// # Errors
/// fsetxattr(2)'s.
pub fn set_xattr_fd(fd: impl AsFd, key: &[u8], value: &[u8]) -> Result<()> {
    let key = c_string(key)?;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: `fd` is borrowed for the call, `key` is NUL-terminated and `value` points to as many
    // readable bytes as are passed; the kernel copies both and keeps no pointer.
    let done = unsafe { libc::fsetxattr(fd, key.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(done).map(drop).map_err(Error::from)
}

/// Sets an extended attribute of a name that cannot be opened (link, device, pipe). Needs /proc.
///
/// # Errors
/// lsetxattr(2)'s.
pub fn set_xattr(folder: impl AsFd, name: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(plain(name)?);
    let (path, key) = (c_string(&path)?, c_string(key)?);
    let (value, length) = (value.as_ptr().cast(), value.len());
    // SAFETY: both strings are NUL-terminated and live over the call, `value` points to `length`
    // readable bytes; the kernel copies and keeps no pointer. Only the fd of `folder`, borrowed for
    // the call, is passed through by the path; its last component is not followed.
    let done = unsafe { libc::lsetxattr(path.as_ptr(), key.as_ptr(), value, length, 0) };
    Errno::result(done).map(drop).map_err(Error::from)
}

/// An extended attribute of an open file; `None` when it has none by that name.
///
/// # Errors
/// fgetxattr(2)'s; ERANGE for values over 64 KiB, which Linux does not have.
pub fn xattr_fd(fd: impl AsFd, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let key = c_string(key)?;
    let mut value = vec![0u8; 1 << 16];
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: `key` is NUL-terminated, `value` has as many writable bytes as are passed.
    let got = unsafe { libc::fgetxattr(fd, key.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match Errno::result(got) {
        Ok(length) => {
            value.truncate(usize::try_from(length).unwrap_or(0));
            Ok(Some(value))
        }
        Err(Errno::ENODATA | Errno::ENOTSUP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The names of all extended attributes of an open file.
///
/// # Errors
/// flistxattr(2)'s.
pub fn xattr_names_fd(fd: impl AsFd) -> Result<Vec<Vec<u8>>> {
    let mut names = vec![0u8; 1 << 16];
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: `names` has as many writable bytes as are passed.
    let got = unsafe { libc::flistxattr(fd, names.as_mut_ptr().cast(), names.len()) };
    match Errno::result(got) {
        Ok(length) => names.truncate(usize::try_from(length).unwrap_or(0)),
        Err(Errno::ENOTSUP) => names.clear(),
        Err(e) => return Err(e.into()),
    }
    Ok(names.split(|b| *b == 0).filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Removes a name that is no folder.
///
/// # Errors
/// unlinkat(2)'s; EISDIR for a folder.
pub fn remove_file(folder: impl AsFd, name: &[u8]) -> Result<()> {
    Ok(unistd::unlinkat(folder, plain(name)?, UnlinkatFlags::NoRemoveDir)?)
}

/// Removes an empty folder.
///
/// # Errors
/// unlinkat(2)'s.
pub fn remove_folder(folder: impl AsFd, name: &[u8]) -> Result<()> {
    Ok(unistd::unlinkat(folder, plain(name)?, UnlinkatFlags::RemoveDir)?)
}

/// Renames beneath two folders; with `exclusive`, EEXIST when the new name is taken.
///
/// # Errors
/// renameat2(2)'s.
pub fn rename(
    old_folder: impl AsFd,
    old: &[u8],
    folder: impl AsFd,
    name: &[u8],
    exclusive: bool,
) -> Result<()> {
    let flags = if exclusive { RenameFlags::RENAME_NOREPLACE } else { RenameFlags::empty() };
    Ok(renameat2(old_folder, plain(old)?, folder, plain(name)?, flags)?)
}

/// The names in a folder, in no order, without `.` and `..`.
///
/// # Errors
/// getdents(2)'s.
pub fn names(folder: impl AsFd) -> Result<Vec<Vec<u8>>> {
    entries(folder.as_fd(), |_| true)
}

/// The names of the folders in a folder of a file system that tells (`d_type`), as [`names`].
///
/// # Errors
/// getdents(2)'s.
pub fn folders(folder: impl AsFd) -> Result<Vec<Vec<u8>>> {
    entries(folder.as_fd(), |entry| entry.file_type() == Some(nix::dir::Type::Directory))
}

fn entries(folder: BorrowedFd<'_>, wanted: fn(&Entry) -> bool) -> Result<Vec<Vec<u8>>> {
    let own = open_folder(folder, b"")?;
    let mut names = Vec::new();
    for entry in nix::dir::Dir::from_fd(own)?.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && wanted(&entry) {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Makes everything written so far to the file system of `fd` durable, in one go.
///
/// # Errors
/// syncfs(2)'s: also a write that failed earlier.
pub fn sync_file_system(fd: impl AsFd) -> Result<()> {
    Ok(unistd::syncfs(fd)?)
}

/// Begins to write back what a file holds so far, and does not wait for it. Durability is another
/// matter: see [`sync_file_system`].
///
/// # Errors
/// sync_file_range(2)'s; `ESPIPE` on what is no regular file.
pub fn begin_write_back(file: impl AsFd) -> Result<()> {
    // SAFETY: takes no pointers; the descriptor lives through the call.
    let done = unsafe {
        libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE)
    };
    Ok(Errno::result(done).map(drop)?)
}

#[cfg(test)]
mod tests;
