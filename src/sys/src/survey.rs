//! What a name in a folder is, with all that an archive keeps of it. Reads only.
//!
//! Invariant: every call takes an open folder and one plain name, and follows no link.

use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{self, SFlag};

use crate::dir::{MODE_MASK, Node, Stamp};

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A socket.
    Socket,
    /// A pipe or device; the character device 0/0 is overlayfs' mark of a deleted file.
    Node(Node),
}

/// What stat(2) says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its kind.
    pub form: Form,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length, bytes.
    pub size: u64,
    /// Last change of the content.
    pub modified: Stamp,
    /// How many names it has.
    pub links: u64,
    /// File system and inode: the same for two names of one file.
    pub identity: (u64, u64),
}

fn of(found: &libc::stat) -> Facts {
    let (major, minor) = (stat::major(found.st_rdev), stat::minor(found.st_rdev));
    let (major, minor) = (u32::try_from(major).unwrap_or(0), u32::try_from(minor).unwrap_or(0));
    let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    let form = match kind {
        SFlag::S_IFDIR => Form::Folder,
        SFlag::S_IFLNK => Form::Link,
        SFlag::S_IFIFO => Form::Node(Node::Fifo),
        SFlag::S_IFSOCK => Form::Socket,
        SFlag::S_IFCHR => Form::Node(Node::Char { major, minor }),
        SFlag::S_IFBLK => Form::Node(Node::Block { major, minor }),
        _ => Form::File,
    };
    Facts {
        form,
        mode: found.st_mode & MODE_MASK,
        uid: found.st_uid,
        gid: found.st_gid,
        size: u64::try_from(found.st_size).unwrap_or(0),
        modified: Stamp {
            seconds: found.st_mtime,
            nanos: u32::try_from(found.st_mtime_nsec).unwrap_or(0),
        },
        links: found.st_nlink,
        identity: (found.st_dev, found.st_ino),
    }
}

/// What `name` in `folder` is, of the link itself when it is one.
///
/// # Errors
/// fstatat(2)'s; EINVAL for what is no plain name.
pub fn look(folder: impl AsFd, name: &[u8]) -> Result<Facts> {
    let name = crate::dir::plain(name)?;
    Ok(of(&stat::fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?))
}

/// What an open file, folder or handle (O_PATH) is.
///
/// # Errors
/// fstat(2)'s.
pub fn look_fd(fd: impl AsFd) -> Result<Facts> {
    Ok(of(&stat::fstat(fd)?))
}

/// All extended attributes of a name, sorted; of the link itself when it is one. Needs /proc.
///
/// # Errors
/// llistxattr(2)'s and lgetxattr(2)'s; a file system without attributes has none.
pub fn xattrs(folder: impl AsFd, name: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(crate::dir::plain(name)?);
    let path = CString::new(path).map_err(|_| Error::from(Errno::EINVAL))?;
    // SAFETY: NUL-terminated; no buffer, so that only a length comes back.
    let wanted = unsafe { libc::llistxattr(path.as_ptr(), std::ptr::null_mut(), 0) };
    let length = match Errno::result(wanted) {
        Ok(length) => usize::try_from(length).unwrap_or(0),
        Err(Errno::ENOTSUP) => 0,
        Err(errno) => return Err(errno.into()),
    };
    if length == 0 {
        return Ok(Vec::new());
    }
    let mut names = vec![0u8; length + 4096];
    // SAFETY: NUL-terminated; `names` has as many writable bytes as are passed.
    let got = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(Errno::result(got)?).unwrap_or(0));
    let mut all = Vec::new();
    for key in names.split(|b| *b == 0).filter(|key| !key.is_empty()) {
        let text = CString::new(key).map_err(|_| Error::from(Errno::EINVAL))?;
        let mut value = vec![0u8; 1 << 16];
        let room = value.len();
        // SAFETY: both are NUL-terminated; `value` has as many writable bytes as are passed.
        let got = unsafe {
            libc::lgetxattr(path.as_ptr(), text.as_ptr(), value.as_mut_ptr().cast(), room)
        };
        match Errno::result(got) {
            Ok(length) => {
                value.truncate(usize::try_from(length).unwrap_or(0));
                all.push((key.to_vec(), value));
            }
            // Gone meanwhile, or not readable by this call.
            Err(Errno::ENODATA | Errno::ENOTSUP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    all.sort();
    Ok(all)
}
