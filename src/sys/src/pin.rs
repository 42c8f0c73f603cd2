//! Namespaces that live without a process: bind mounts of nsfs files.
//!
//! [`create`] makes namespaces around the calling thread, lets the caller set them up from inside,
//! pins each and returns to where the thread was. The caller is single-threaded (namespaces belong
//! to threads). Not for user, PID or mount namespaces: the calling process cannot return from
//! those.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, fstatfs};

/// Magic number of nsfs (linux/magic.h).
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// A kind of namespace that can be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Network.
    Net,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host name.
    Uts,
    /// Process ids; only [`pin`] and [`unpin`] know what to do with it.
    Pid,
    /// Users; as with process ids.
    User,
}

impl Kind {
    /// Its file name in /proc/<pid>/ns.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Net => "net",
            Kind::Ipc => "ipc",
            Kind::Uts => "uts",
            Kind::Pid => "pid",
            Kind::User => "user",
        }
    }

    fn flag(self) -> CloneFlags {
        match self {
            Kind::Net => CloneFlags::CLONE_NEWNET,
            Kind::Ipc => CloneFlags::CLONE_NEWIPC,
            Kind::Uts => CloneFlags::CLONE_NEWUTS,
            Kind::Pid => CloneFlags::CLONE_NEWPID,
            Kind::User => CloneFlags::CLONE_NEWUSER,
        }
    }
}

/// Makes a new namespace of each kind, calls `inside` within all of them, pins them as
/// `folder/<name>` and returns to the old ones. On a failure nothing stays pinned.
///
/// # Errors
/// The failing step's; [`Lost`] inside the error when the thread could not return: it must end.
pub fn create(folder: &Path, kinds: &[Kind], inside: impl FnOnce() -> Result<()>) -> Result<()> {
    within(kinds, None, || {
        inside()?;
        pin_own(folder, kinds)
    })
}

/// Calls `inside` within the namespaces pinned as `folder/<name>` and returns to the old ones.
///
/// # Errors
/// As [`create`].
pub fn enter<T>(folder: &Path, kinds: &[Kind], inside: impl FnOnce() -> Result<T>) -> Result<T> {
    within(kinds, Some(folder), inside)
}

/// The thread is in other namespaces than it was, and cannot return.
#[derive(Debug)]
pub struct Lost(Error);

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot return to the former namespaces: {}", self.0)
    }
}

impl std::error::Error for Lost {}

fn within<T>(kinds: &[Kind], from: Option<&Path>, inside: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut back = Vec::with_capacity(kinds.len());
    for kind in kinds {
        back.push((open_namespace(&own(*kind))?, *kind));
    }
    let entered = match from {
        None => {
            let all = kinds.iter().fold(CloneFlags::empty(), |all, kind| all | kind.flag());
            unshare(all).map_err(Error::from)
        }
        Some(folder) => kinds.iter().try_for_each(|kind| {
            let namespace = open_namespace(&folder.join(kind.name()))?;
            Ok(setns(namespace.as_fd(), kind.flag())?)
        }),
    };
    let result = entered.and_then(|()| inside());
    for (namespace, kind) in back {
        if let Err(errno) = setns(namespace.as_fd(), kind.flag()) {
            return Err(Error::other(Lost(errno.into())));
        }
    }
    result
}

fn pin_own(folder: &Path, kinds: &[Kind]) -> Result<()> {
    for (done, kind) in kinds.iter().enumerate() {
        if let Err(error) = pin(&own(*kind), &folder.join(kind.name())) {
            for kind in &kinds[..done] {
                // The first failure is the one to tell.
                let _ = unpin(&folder.join(kind.name()));
            }
            return Err(error);
        }
    }
    Ok(())
}

fn own(kind: Kind) -> PathBuf {
    Path::new("/proc/self/ns").join(kind.name())
}

fn open_namespace(path: &Path) -> Result<File> {
    Ok(File::from(open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?))
}

/// Bind-mounts the namespace file `source` onto `target`, which is made if it is missing.
///
/// # Errors
/// Whatever open or mount say.
pub fn pin(source: &Path, target: &Path) -> Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    open(target, flags, Mode::empty())?;
    let nothing = None::<&Path>;
    mount(Some(source), target, nothing, MsFlags::MS_BIND, nothing)?;
    Ok(())
}

/// Unmounts the pin `target` and removes its file; one that is missing is fine.
///
/// # Errors
/// Whatever umount or unlink say.
pub fn unpin(target: &Path) -> Result<()> {
    while is_pinned(target) {
        umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    }
    match std::fs::remove_file(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A namespace is pinned at `target`.
#[must_use]
pub fn is_pinned(target: &Path) -> bool {
    open_namespace(target)
        .and_then(|file| Ok(fstatfs(&file)?.filesystem_type() == NSFS_MAGIC))
        .unwrap_or(false)
}

/// Sets the host name of the caller's UTS namespace.
///
/// # Errors
/// EINVAL when it is longer than 64 bytes, EPERM.
pub fn set_hostname(name: &str) -> Result<()> {
    Ok(nix::unistd::sethostname(name)?)
}
