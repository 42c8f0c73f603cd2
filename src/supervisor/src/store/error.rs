//! What can go wrong with the database, in words and with what to try.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::tables::SCHEMA;

/// A database that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A newer podvisor wrote it.
    #[error("the database {path} has schema {found}, this podvisor knows {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another process has it open.
    #[error("the database {path} is in use by another process")]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Its content is not what was written.
    #[error("the database {path} is damaged: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// A record that has no JSON form.
    #[error("encode {record} for the database")]
    Encode {
        /// Which.
        record: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The database's own complaint.
    #[error("{action} the database {path}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its words.
        source: Box<redb::Error>,
    },
}

/// An error of the library on its way up; its own is too large to be handed about.
#[derive(Debug)]
pub(super) struct Failure(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(Box::new(error.into()))
    }
}

impl StoreError {
    /// See [`StoreError::of`].
    pub(super) fn failed(action: &'static str, path: &Path, failure: Failure) -> Self {
        StoreError::of(action, path, *failure.0)
    }

    /// An error of the library, sorted: the system's, damage, another process, or its own.
    pub(super) fn of(action: &'static str, path: &Path, error: impl Into<redb::Error>) -> Self {
        let path = path.to_path_buf();
        match error.into() {
            redb::Error::Io(source) if is_damage(&source) => {
                StoreError::Damaged { path, problem: source.to_string() }
            }
            redb::Error::Io(source) => StoreError::Io { action, path, source },
            redb::Error::DatabaseAlreadyOpen => StoreError::Occupied { path },
            redb::Error::Corrupted(problem) => StoreError::Damaged { path, problem },
            source @ (redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }) => {
                StoreError::Damaged { path, problem: source.to_string() }
            }
            source => StoreError::Database { action, path, source: Box::new(source) },
        }
    }

    /// The file's content is to blame, not the disk or another process.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, StoreError::Damaged { .. })
    }

    /// What to try next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            StoreError::Newer { path, known, .. } => Some(format!(
                "start the podvisor that wrote it, or move {} away to begin with an empty one of \
                 schema {known}",
                path.display()
            )),
            StoreError::Occupied { .. } => {
                Some("only one supervisor can use a root folder; choose another --root".to_owned())
            }
            StoreError::Io { path, source, .. } => io_hint(path, source),
            StoreError::Damaged { .. }
            | StoreError::Encode { .. }
            | StoreError::Database { .. } => None,
        }
    }
}

fn io_hint(path: &Path, source: &io::Error) -> Option<String> {
    let folder = path.parent().unwrap_or(path).display();
    Some(match source.kind() {
        ErrorKind::ReadOnlyFilesystem => {
            format!("{folder} is mounted read-only: remount it writable or choose another --root")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("free space on the file system of {folder}; `podvisor rmi` removes images")
        }
        ErrorKind::PermissionDenied => "podvisor needs root".to_owned(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            format!("{folder} must be a folder; choose another --root")
        }
        _ => return None,
    })
}

/// Of a file that is too short or holds what no writer wrote.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

/// A file of a schema that is not ours.
pub(super) fn newer(path: &Path, found: u32) -> StoreError {
    StoreError::Newer { path: path.to_path_buf(), found, known: SCHEMA }
}
