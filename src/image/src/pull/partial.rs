//! Blobs that are being downloaded: `partial/HEX`, kept until an image has them.
//!
//! Who downloads holds flock on the file; another process waits for it and then finds the blob
//! whole, or goes on where the other has ended, also by a crash. Bytes here are believed only after
//! the blob's digest is right.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::digest::Digest;
use crate::error::{At, Error, Result};
use crate::staging;

/// What nobody has touched for so long is given up.
const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A locked file.
pub(super) struct Partial {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

/// The folder, made when it is missing.
pub(crate) fn folder(root: &Path) -> Result<PathBuf> {
    let path = root.join("partial");
    match staging::make_private(&path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        made => made.at("making", &path)?,
    }
    Ok(path)
}

impl Partial {
    /// Opens and locks the file of a blob; `waiting` is told when another process has it.
    pub(super) fn open(folder: &Path, digest: &Digest, waiting: impl Fn()) -> Result<Partial> {
        let path = folder.join(digest.hex());
        loop {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&path).at("opening", &path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting();
                    file.lock().at("locking", &path)?;
                }
                Err(TryLockError::Error(e)) => return Err(Error::io("locking", &path, e)),
            }
            // It may have been removed, or made anew, while this process waited.
            let ours = file.metadata().at("reading", &path)?.ino();
            if fs::metadata(&path).is_ok_and(|there| there.ino() == ours) {
                return Ok(Partial { path, file });
            }
        }
    }
}

/// Removes the files of blobs that the store has now, and of those that nobody came back for.
/// Those that another process holds are its own to remove; what fails is tried by the next pull.
pub(super) fn clean(folder: &Path, stored: impl Fn(&str) -> bool) {
    remove_idle(folder, |name, found| {
        let age = found.modified().ok().and_then(|m| SystemTime::now().duration_since(m).ok());
        stored(name) || age.is_some_and(|a| a > OLDEST)
    });
}

/// Removes the files of all blobs that nobody downloads now; the bytes that are free.
pub(crate) fn clear(folder: &Path, stored: impl Fn(&str) -> bool) -> u64 {
    // What has come whole and has another link is in the staging folder of a pull.
    remove_idle(folder, |name, found| found.nlink() == 1 || stored(name))
}

fn remove_idle(folder: &Path, is_over: impl Fn(&str, &Metadata) -> bool) -> u64 {
    let mut freed = 0;
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()) {
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        let Ok(found) = file.metadata() else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_over(&name, &found) && fs::remove_file(&path).is_ok() && found.nlink() == 1 {
            freed += found.len();
        }
    }
    freed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearing_leaves_what_somebody_is_at() {
        let root = scope::Folder::new("cleared");
        let folder = folder(&root).unwrap();
        for (name, bytes) in [("broken", 7), ("linked", 9), ("stored", 11)] {
            fs::write(folder.join(name), vec![0; bytes]).unwrap();
        }
        for name in ["linked", "stored"] {
            fs::hard_link(folder.join(name), root.join(name)).unwrap();
        }
        // What is stored has its bytes there, too.
        assert_eq!(clear(&folder, |name| name == "stored"), 7);
        let left = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["linked"]);
        assert_eq!(clear(&root.join("none"), |_| true), 0);
    }

    #[test]
    fn a_removed_file_is_opened_anew_and_old_ones_go() {
        let root = scope::Folder::new("partial");
        let folder = folder(&root).unwrap();
        let digest = Digest::of(b"x");
        let first = Partial::open(&folder, &digest, || panic!("nobody has it")).unwrap();
        std::thread::scope(|threads| {
            let (told, heard) = std::sync::mpsc::channel();
            let second = threads.spawn({
                let folder = &folder;
                let digest = &digest;
                move || Partial::open(folder, digest, || told.send(()).unwrap()).unwrap()
            });
            heard.recv().unwrap();
            fs::remove_file(&first.path).unwrap();
            drop(first);
            let second = second.join().unwrap();
            assert!(second.path.exists());
            // Held: not removed, however done it is.
            clean(&folder, |_| true);
            assert_eq!(clear(&folder, |_| true), 0);
            assert!(second.path.exists());
        });
        clean(&folder, |_| false);
        assert!(folder.join(digest.hex()).exists());
        let old = SystemTime::now() - OLDEST - Duration::from_secs(5);
        File::options()
            .write(true)
            .open(folder.join(digest.hex()))
            .unwrap()
            .set_modified(old)
            .unwrap();
        clean(&folder, |_| false);
        assert!(!folder.join(digest.hex()).exists());
    }
}
