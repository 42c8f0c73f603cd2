//! hostPath: what must be there, and what is made.
//!
//! The path is the administrator's and links in it are followed, as Kubernetes does. What is made
//! is the last component alone, or folders for `DirectoryOrCreate`; a link that dangles there is
//! never followed by making what it names.

use std::fs::{self, DirBuilder, FileType, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use pod::manifest::{HostPathType, HostPathVolumeSource};

use super::{VolumeError, failed};

/// Action of a look at the path: without one there is nothing to show.
pub(super) const LOOK: &str = "look at hostPath";

/// Checks a hostPath by its type and makes it where the type says so.
pub(super) fn check(volume: &str, source: &HostPathVolumeSource) -> Result<(), VolumeError> {
    let path = Path::new(&source.path);
    let kind = source.kind.unwrap_or_default();
    let wanted = match kind {
        HostPathType::Unset => return Ok(()),
        HostPathType::DirectoryOrCreate | HostPathType::Directory => "a folder",
        HostPathType::FileOrCreate | HostPathType::File => "a regular file",
        HostPathType::Socket => "a socket",
        HostPathType::CharDevice => "a character device",
        HostPathType::BlockDevice => "a block device",
    };
    let is_missing =
        fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    match kind {
        HostPathType::DirectoryOrCreate if is_missing => make_folder(volume, path)?,
        HostPathType::FileOrCreate if is_missing => make_file(volume, path)?,
        _ => {}
    }
    let there = fs::metadata(path).map_err(failed(volume, LOOK, path))?;
    let found = word(there.file_type());
    if found == wanted {
        return Ok(());
    }
    Err(VolumeError::Kind { volume: volume.to_owned(), path: path.to_path_buf(), found, wanted })
}

/// Something must be there to be shown.
pub(super) fn exists(volume: &str, source: &HostPathVolumeSource) -> Result<(), VolumeError> {
    let path = Path::new(&source.path);
    fs::metadata(path).map(drop).map_err(failed(volume, LOOK, path))
}

fn make_folder(volume: &str, path: &Path) -> Result<(), VolumeError> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755))).map_err(failed(
        volume,
        "make hostPath",
        path,
    ))
}

fn make_file(volume: &str, path: &Path) -> Result<(), VolumeError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    match made.and_then(|file| file.set_permissions(Permissions::from_mode(0o644))) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(failed(volume, "make hostPath", path)),
    }
}

fn word(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_file() => "a regular file",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() => "a character device",
        kind if kind.is_block_device() => "a block device",
        kind if kind.is_fifo() => "a pipe",
        _ => "something else",
    }
}
