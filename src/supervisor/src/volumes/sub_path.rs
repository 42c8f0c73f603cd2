//! subPath: a part of a volume, pinned so that whoever owns the volume cannot exchange it.
//!
//! The part is opened with the volume as root (openat2), so that links in it lead nowhere else.
//! What was opened, not its path, is bound into the pod's folder: that is what the runtime mounts.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::{VolumeError, failed};

/// Action of opening or making the part.
pub(super) const OPEN: &str = "open subPath";

/// One subPath.
pub(super) struct Place<'a> {
    pub(super) volume: &'a str,
    /// Root of the volume.
    pub(super) root: &'a Path,
    /// Relative, without `..`.
    pub(super) sub_path: &'a str,
}

impl Place<'_> {
    /// Binds it at `at`; a folder is made in the volume when nothing is there. A bind of a former
    /// start is taken away first: its container has a mount of its own.
    pub(super) fn bind(&self, at: &Path) -> Result<(), VolumeError> {
        let whole = self.root.join(self.sub_path);
        let file = self.open().map_err(failed(self.volume, OPEN, &whole))?;
        let is_folder =
            file.metadata().map_err(failed(self.volume, "look at subPath", &whole))?.is_dir();
        sys::volume::unmount(at).map_err(failed(self.volume, "unmount", at))?;
        make_target(at, is_folder).map_err(failed(self.volume, "make", at))?;
        sys::volume::bind(file.as_fd(), at).map_err(failed(self.volume, "bind subPath", &whole))
    }

    fn open(&self) -> io::Result<File> {
        // By path: the root is ours or the administrator's.
        let root = File::open(self.root)?;
        let path = self.sub_path.as_bytes();
        match sys::dir::open_in_root(&root, path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make(&root)?;
                sys::dir::open_in_root(&root, path)
            }
            other => other,
        }
    }

    /// Makes the folders that are missing, with the mode of the volume's root. Stops at a link.
    fn make(&self, root: &File) -> io::Result<()> {
        let like = sys::dir::attributes(root)?;
        let mut folder = OwnedFd::from(root.try_clone()?);
        for name in self.sub_path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            let name = name.as_bytes();
            folder = match sys::dir::open_folder(&folder, name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match sys::dir::make_folder(&folder, name, 0o700) {
                        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                            return Err(error);
                        }
                        _ => {}
                    }
                    // By the opened folder: the name may be a link by now.
                    let made = sys::dir::open_folder(&folder, name)?;
                    sys::dir::set_owner_fd(&made, like.uid, like.gid)?;
                    sys::dir::set_mode_fd(&made, like.mode)?;
                    made
                }
                other => other?,
            };
        }
        Ok(())
    }
}

/// An empty file or folder to mount on; what stood there before was ours.
fn make_target(at: &Path, folder: bool) -> io::Result<()> {
    if let Some(above) = at.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(above)?;
    }
    match fs::symlink_metadata(at) {
        Ok(there) if there.is_dir() == folder => return Ok(()),
        Ok(there) if there.is_dir() => fs::remove_dir(at)?,
        Ok(_) => fs::remove_file(at)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if folder {
        DirBuilder::new().mode(0o700).create(at)
    } else {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(at).map(drop)
    }
}
