//! One supervisor a state folder: an flock on `<state>/lock`, which holds the pid for people.
//!
//! The kernel drops the lock with the process, however that ends. A file that was removed while
//! somebody waited for it is noticed: the lock is worth something only while the path leads to it.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The held lock; ends with its drop.
#[derive(Debug)]
pub(crate) struct StateLock {
    path: PathBuf,
    file: File,
}

impl Drop for StateLock {
    /// Unlocks by word: a child between fork and exec has this description, too, and would keep
    /// the next one out for as long.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl StateLock {
    /// Takes the lock of a state folder and writes down who has it.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder, [`Error::File`].
    pub(crate) fn take(state: &Path) -> Result<StateLock, Error> {
        let path = state.join("lock");
        loop {
            if let Some(file) = try_take(state, &path)? {
                return Ok(StateLock { path, file });
            }
        }
    }

    /// Removes the file, still locked: for a state folder that is to be left empty.
    pub(crate) fn remove(self) {
        // Whoever comes next makes its own; a file that stays is harmless.
        let _ = fs::remove_file(&self.path);
    }
}

/// `None` when the file was removed between its opening and its locking.
fn try_take(state: &Path, path: &Path) -> Result<Option<File>, Error> {
    let failed = |action| {
        let path = path.to_path_buf();
        move |source| Error::File { action, path, source }
    };
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path).map_err(failed("open the lock"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::Locked { pid: holder(&mut file), state: state.to_path_buf() });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
    }
    let ours = file.metadata().map_err(failed("look at the lock"))?;
    if fs::metadata(path).ok().map(|there| there.ino()) != Some(ours.ino()) {
        return Ok(None);
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(failed("write the lock"))?;
    Ok(Some(file))
}

fn holder(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let state = scope::Folder::new("lock");
        let lock = StateLock::take(&state).unwrap();
        match StateLock::take(&state) {
            Err(Error::Locked { pid, .. }) => {
                assert_eq!(pid, i32::try_from(std::process::id()).ok());
            }
            other => panic!("{other:?}"),
        }
        drop(lock);
        StateLock::take(&state).unwrap().remove();
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
        drop(StateLock::take(&state).unwrap());
        fs::remove_dir_all(&state).unwrap();
        assert!(matches!(StateLock::take(&state), Err(Error::File { .. })));
    }
}
