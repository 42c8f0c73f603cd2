//! The database file: made private, opened, set aside.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::{Builder, Database};

use super::error::StoreError;
use super::header::{self, Header};

/// Memory for pages of the file; the whole of it fits for hundreds of pods.
const CACHE_BYTES: usize = 4 << 20;
/// Names tried when a damaged file is set aside.
const ASIDE_TRIES: u32 = 100;

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { action, path: path.to_path_buf(), source }
}

/// Makes the root folder, 0700, unless it is there.
pub(super) fn make_root(root: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
    made.map_err(|source| failed("make", root, source))
}

/// Opens the file, or makes an empty one that survives a power cut. The lock comes before the look
/// at the header, since that may write.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    let is_new = fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(|source| failed("open", path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Occupied { path: path.to_path_buf() });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", path, source)),
    }
    if is_new {
        sync_folder(path)?;
    }
    match header::check(&file).map_err(|source| failed("read", path, source))? {
        Header::Empty | Header::Sound => {}
        Header::Wrong(problem) => {
            return Err(StoreError::Damaged { path: path.to_path_buf(), problem });
        }
    }
    let opened = Builder::new().set_cache_size(CACHE_BYTES).create_file(file);
    opened.map_err(|error| StoreError::of("open", path, error))
}

/// Renames a damaged file to `<name>.damaged-<unix seconds>`, never over another one.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let seconds = sys::clock::unix_ns() / 1_000_000_000;
    let name = |n: u32| {
        let more = if n == 0 { String::new() } else { format!("-{n}") };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{seconds}{more}"));
        PathBuf::from(name)
    };
    let is_free = |aside: &PathBuf| {
        fs::symlink_metadata(aside).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    let aside = (0..ASIDE_TRIES).map(name).find(is_free).unwrap_or_else(|| name(ASIDE_TRIES));
    fs::rename(path, &aside).map_err(|source| failed("set aside", path, source))?;
    sync_folder(path)?;
    Ok(aside)
}

/// Makes the entry of `path` in its folder durable.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| failed("sync", folder, source))
}
