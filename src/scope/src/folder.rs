//! A folder of one test outside of a scope, for tests without privileges.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty folder below the host's folder for temporary files. It goes with this value and all
/// that is in it, also when the test fails.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one; `name` is for those who find it while the test runs.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Folder {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("podvisor-{name}-{}-{number}", process::id()));
        // A process that was killed had the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        Folder(path)
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test may have removed it itself.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_a_test_that_fails_too() {
        let folder = Folder::new("folder");
        let other = Folder::new("folder");
        assert_ne!(*folder, *other);
        fs::create_dir(folder.join("deep")).expect("folder");
        fs::write(folder.join("deep/file"), "x").expect("file");
        let (path, kept) = (folder.to_owned(), other.to_owned());
        let failed = std::thread::spawn(move || {
            let _folder = folder;
            std::panic::resume_unwind(Box::new("a failing test"));
        });
        assert!(failed.join().is_err());
        assert!(!path.exists() && kept.exists());
        drop(other);
        assert!(!kept.exists());
    }
}
