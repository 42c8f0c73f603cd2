//! What a monitor writes down about its containers, so that the next one can go on.
//!
//! `members/<id>.json`: what was asked and started, written when a container runs; the next monitor
//! finds log, FIFOs and names there. `exits/<id>.json`: how it ended, written before anyone is
//! told. Durable means: temporary file, fsync, rename, fsync of the folder. A file that does not
//! parse is told apart from one that is missing; it is never deleted unasked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::RunContainer;

/// Folder of exit records below the pod folder.
pub const EXITS_FOLDER: &str = "exits";
/// Folder of member records below the pod folder.
pub const MEMBERS_FOLDER: &str = "members";

/// A container that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What was asked.
    pub request: RunContainer,
    /// Pid of its first process in the host's namespace.
    pub pid: i32,
    /// Start time of that pid in clock ticks since boot.
    pub start_time: u64,
    /// Unix time in nanoseconds.
    pub started_at_ns: u64,
    /// CLOCK_BOOTTIME in milliseconds.
    pub started_boot_ms: u64,
}

/// Path of a container's exit record.
#[must_use]
pub fn exit_path(pod_dir: &Path, id: &str) -> PathBuf {
    pod_dir.join(EXITS_FOLDER).join(format!("{id}.json"))
}

/// Path of a container's member record.
#[must_use]
pub fn member_path(pod_dir: &Path, id: &str) -> PathBuf {
    pod_dir.join(MEMBERS_FOLDER).join(format!("{id}.json"))
}

/// Writes `value` as JSON, durably; a crash leaves the old file or the new one, never a part.
///
/// # Errors
/// The failing step's error; the old file is then untouched.
pub fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    let temporary = path.with_extension("json.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Reads a record; `None` when there is none.
///
/// # Errors
/// `InvalidData` when it does not parse.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a record; one that is missing is fine.
///
/// # Errors
/// Whatever unlink says.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Ids that have a member record, in no order; what is no record is passed over.
///
/// # Errors
/// Whatever reading the folder says.
pub fn member_ids(pod_dir: &Path) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(pod_dir.join(MEMBERS_FOLDER))? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
        ids.extend(id.filter(|id| is_valid_id(id)).map(str::to_owned));
    }
    Ok(ids)
}

/// An id is a file name and a cgroup name: 1 to 200 of `A-Z a-z 0-9 . _ -`, not led by a dot.
#[must_use]
pub fn is_valid_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=200).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ExitRecord;

    #[test]
    fn ids_are_plain_names() {
        for good in ["a", "3f1c.web.0", "A_b-c.12"] {
            assert!(is_valid_id(good), "{good}");
        }
        let long = "x".repeat(201);
        for bad in ["", ".", "..", ".a", "a/b", "a b", "a\0", "ä", "a\n", long.as_str()] {
            assert!(!is_valid_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_record_is_whole_or_absent_and_damage_is_told() {
        let folder = scope::Folder::new("record");
        fs::create_dir_all(folder.join(EXITS_FOLDER)).unwrap();
        let path = exit_path(&folder, "u.web.0");
        assert_eq!(read::<ExitRecord>(&path).unwrap(), None);
        let record = ExitRecord {
            code: 137,
            signal: Some(9),
            oom_killed: true,
            started_at_ns: 1,
            finished_at_ns: 2,
            started_boot_ms: 3,
            finished_boot_ms: 4,
            message: None,
        };
        write(&path, &record).unwrap();
        assert_eq!(read(&path).unwrap(), Some(record));
        let text = fs::read(&path).unwrap();
        for cut in 0..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            assert!(read::<ExitRecord>(&path).is_err(), "cut at {cut}");
        }
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}
