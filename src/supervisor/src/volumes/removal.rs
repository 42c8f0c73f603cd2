//! Removing a pod's volumes: unmount what was mounted, then delete what lies in its own folders.
//!
//! Deleting goes by opened folders, follows no link and crosses no mount, so that what a bind shows
//! is safe even where it could not be unmounted. Folders are lifted to the top before they are
//! emptied: a container that nests them 100,000 deep costs neither stack nor file descriptors.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sys::dir::{self, Kind};

use super::{Keep, Roots, SHM, SUBPATHS, VOLUMES, VolumeError};

/// Most problems that are told.
const PROBLEMS_MAX: usize = 10;

/// Removes what [`super::prepare`] and [`super::mounts`] made, but for what is to be kept; what is
/// not there is fine.
///
/// # Errors
/// [`VolumeError::Remove`] with all that failed; the rest is gone.
pub(crate) fn remove(roots: &Roots<'_>, keep: Keep) -> Result<(), VolumeError> {
    let pod_dir = roots.pod_dir;
    let mut work = Work::default();
    let subpaths = pod_dir.join(SUBPATHS);
    for container in work.entries(&subpaths) {
        for bound in work.entries(&container) {
            work.unmount(&bound);
        }
    }
    let shm = pod_dir.join(SHM);
    work.unmount(&shm);
    let mut folders = vec![subpaths, shm];
    if keep != Keep::All {
        let volumes = pod_dir.join(VOLUMES);
        for volume in work.entries(&volumes) {
            work.unmount(&volume);
        }
        folders.push(volumes);
    }
    if keep == Keep::Nothing {
        folders.push(roots.disk_dir.to_path_buf());
    }
    for folder in folders {
        work.delete(&folder);
    }
    if work.problems.is_empty() {
        return Ok(());
    }
    Err(VolumeError::Remove { problems: work.problems })
}

/// Removes a pod's folder with all in it but the volumes that [`remove`] has kept.
///
/// # Errors
/// The first entry that cannot be removed.
pub(crate) fn remove_folder(pod_dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(pod_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut kept = false;
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == VOLUMES {
            kept = true;
        } else if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    if kept { Ok(()) } else { fs::remove_dir(pod_dir) }
}

/// Whether [`remove_folder`] has been there: of the pod's folder nothing is left but volumes.
pub(crate) fn is_cleared(pod_dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(pod_dir) else { return true };
    entries.flatten().all(|entry| entry.file_name() == VOLUMES)
}

#[derive(Default)]
struct Work {
    problems: Vec<String>,
    /// Number of the last folder lifted to the top.
    lifted: u64,
}

impl Work {
    fn note(&mut self, what: &str, path: &Path, error: &io::Error) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(format!("{what} {}: {error}", path.display()));
        }
    }

    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        let listed = fs::read_dir(folder)
            .and_then(|all| all.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
        match listed {
            Ok(paths) => paths,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.note("list", folder, &error);
                Vec::new()
            }
        }
    }

    fn unmount(&mut self, path: &Path) {
        if let Err(error) = sys::volume::unmount(path) {
            self.note("unmount", path, &error);
        }
    }

    fn delete(&mut self, folder: &Path) {
        let emptied = match dir::open_root(folder) {
            Ok(top) => self.empty(&top, folder),
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.note("open", folder, &error),
        };
        // What keeps it from being empty has been told.
        if emptied && let Err(error) = fs::remove_dir(folder) {
            self.note("remove", folder, &error);
        }
    }

    /// Deletes all below `top`; whether nothing is left.
    fn empty(&mut self, top: &OwnedFd, path: &Path) -> bool {
        let mut stuck: Vec<Vec<u8>> = Vec::new();
        loop {
            let names = match dir::names(top) {
                Ok(names) => names,
                Err(error) => {
                    self.note("list", path, &error);
                    return false;
                }
            };
            let left: Vec<Vec<u8>> =
                names.into_iter().filter(|name| !stuck.contains(name)).collect();
            if left.is_empty() {
                return stuck.is_empty();
            }
            for name in left {
                let shown = path.join(String::from_utf8_lossy(&name).as_ref());
                if !self.delete_entry(top, &name, &shown) {
                    stuck.push(name);
                }
            }
        }
    }

    /// Deletes one name in `top`; folders within it are lifted to `top` for a later turn. Whether
    /// it is gone.
    fn delete_entry(&mut self, top: &OwnedFd, name: &[u8], shown: &Path) -> bool {
        let told = self.problems.len();
        let deleted = self.delete_folder_or_file(top, name, shown);
        if let Err(error) = &deleted
            && told == self.problems.len()
        {
            self.note("remove", shown, error);
        }
        deleted.is_ok()
    }

    fn delete_folder_or_file(
        &mut self,
        top: &OwnedFd,
        name: &[u8],
        shown: &Path,
    ) -> io::Result<()> {
        if dir::kind(top, name)? != Kind::Folder {
            return dir::remove_file(top, name);
        }
        let folder = dir::open_folder(top, name)?;
        for child in dir::names(&folder)? {
            let gone = match dir::kind(&folder, &child)? {
                Kind::Folder => self.lift(top, &folder, &child),
                _ => dir::remove_file(&folder, &child),
            };
            if let Err(error) = gone {
                let shown = shown.join(String::from_utf8_lossy(&child).as_ref());
                self.note("remove", &shown, &error);
            }
        }
        dir::remove_folder(top, name)
    }

    fn lift(&mut self, top: &OwnedFd, folder: &OwnedFd, child: &[u8]) -> io::Result<()> {
        loop {
            self.lifted += 1;
            let name = format!(".lifted-{}", self.lifted);
            match dir::rename(folder, child, top, name.as_bytes(), true) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
    }
}
