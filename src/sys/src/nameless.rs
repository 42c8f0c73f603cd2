//! Files that have no name until they are whole: what dies before that leaves nothing.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::unistd::linkat;

/// A file for writing in `folder`, without a name; `None` where the file system has none such.
///
/// # Errors
/// open(2)'s.
pub fn create(folder: &Path) -> Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o666).custom_flags(libc::O_TMPFILE);
    match options.open(folder) {
        // Kernels and file systems that do not know it take the flag for a folder to be written.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => Ok(None),
        other => other.map(Some),
    }
}

/// Gives the file a name, which must be free.
///
/// # Errors
/// linkat(2)'s; EEXIST for a name that is taken.
pub fn name(file: &File, path: &Path) -> Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let here = nix::fcntl::AT_FDCWD;
    linkat(here, own.as_str(), here, path, AtFlags::AT_SYMLINK_FOLLOW).map_err(Error::from)
}

/// The same for a name that may be taken: by another one beside it, and a rename.
///
/// # Errors
/// As [`name`], and rename(2)'s.
pub fn replace(file: &File, path: &Path, beside: &Path) -> Result<()> {
    match name(file, path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            name(file, beside)?;
            let renamed = std::fs::rename(beside, path);
            if renamed.is_err() {
                // The failure above is the one to tell.
                let _ = std::fs::remove_file(beside);
            }
            renamed
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let folder = scope::Folder::new("nameless");
        let (path, beside) = (folder.join("a"), folder.join("b"));
        for text in ["one", "two"] {
            let mut file = create(&folder).expect("create").expect("a file system that can");
            file.write_all(text.as_bytes()).expect("write");
            let before = std::fs::read(&path).ok();
            assert_ne!(before.as_deref(), Some(text.as_bytes()));
            replace(&file, &path, &beside).expect("replace");
            assert_eq!(std::fs::read(&path).expect("read"), text.as_bytes());
        }
        assert_eq!(std::fs::read_dir(&folder).expect("list").count(), 1);
    }
}
