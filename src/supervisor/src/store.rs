//! What the supervisor remembers over its own death: one redb file below the root folder.
//!
//! Invariants: [`Store::commit`] is one transaction, on disk when it returns, and a failed one has
//! changed nothing. A file of a newer podvisor is refused; one that is damaged is set aside whole
//! and an empty one takes its place; a record that cannot be read is told, kept, and costs no
//! other. After a failure of the disk the file is opened again at the next commit, so that a full
//! disk that is freed needs no restart.
//! Where to start: `tables` (what is in the file), `file` and `header` (opening it), `error`.
//! Not here: what the records mean.

mod error;
mod file;
mod header;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use oci::IdRange;
use pod::manifest::Secret;
use pod::{DeploymentMemory, Millis, PodMemory};
use redb::Database;
use serde::{Deserialize, Serialize};

use crate::event::Event;
pub(crate) use error::StoreError;

/// The file below the root folder.
pub(crate) const FILE_NAME: &str = "podvisor.redb";

/// The open database.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// `None` after the disk failed, until the next commit.
    database: Mutex<Option<Database>>,
}

/// A store with what was in it.
#[derive(Debug)]
pub(crate) struct Opened {
    /// To write to.
    pub(crate) store: Store,
    /// What was remembered.
    pub(crate) saved: Saved,
    /// What was lost or set aside, in words for a person.
    pub(crate) salvage: Option<String>,
}

/// Everything that was remembered.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// Boot in which the times of the records count.
    pub(crate) boot_id: Option<String>,
    /// By uid.
    pub(crate) pods: Vec<SavedPod>,
    /// By uid.
    pub(crate) deployments: Vec<SavedDeployment>,
    /// By uid.
    pub(crate) secrets: Vec<SavedSecret>,
    /// Pod uid -> address.
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    /// By key.
    pub(crate) events: Vec<Event>,
}

/// A pod as remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedPod {
    /// Identity.
    pub(crate) uid: String,
    /// The object, with uid and creationTimestamp.
    pub(crate) pod: pod::Pod,
    /// Uid of the Deployment that made it.
    #[serde(default)]
    pub(crate) owner: Option<String>,
    /// Hash of the template it was made from.
    #[serde(default)]
    pub(crate) template_hash: Option<String>,
    /// When it was made, CLOCK_BOOTTIME.
    pub(crate) created_at: Millis,
    /// When it was made, unix time in milliseconds.
    pub(crate) created_unix_ms: u64,
    /// What its decisions remember.
    #[serde(default)]
    pub(crate) memory: PodMemory,
    /// The host's ids that are its own (`hostUsers: false`), for as long as it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ids: Option<IdRange>,
}

/// A Deployment as remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedDeployment {
    /// Identity.
    pub(crate) uid: String,
    /// The object, with uid and creationTimestamp.
    pub(crate) deployment: pod::Deployment,
    /// When it was made, unix time in milliseconds.
    pub(crate) created_unix_ms: u64,
    /// What its decisions remember.
    #[serde(default)]
    pub(crate) memory: DeploymentMemory,
    /// It goes when its pods have gone.
    #[serde(default)]
    pub(crate) deleting: bool,
}

/// A Secret as remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedSecret {
    /// Identity.
    pub(crate) uid: String,
    /// The object in its normal form, with uid and creationTimestamp.
    pub(crate) secret: Secret,
}

/// What one transaction changes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// The boot in which times count from now on.
    pub(crate) boot_id: Option<String>,
    /// New or changed.
    pub(crate) put_pods: Vec<SavedPod>,
    /// Uids.
    pub(crate) remove_pods: Vec<String>,
    /// New or changed.
    pub(crate) put_deployments: Vec<SavedDeployment>,
    /// Uids.
    pub(crate) remove_deployments: Vec<String>,
    /// New or changed.
    pub(crate) put_secrets: Vec<SavedSecret>,
    /// Uids.
    pub(crate) remove_secrets: Vec<String>,
    /// Pod uid and address.
    pub(crate) put_addresses: Vec<(String, Ipv4Addr)>,
    /// Pod uids.
    pub(crate) remove_addresses: Vec<String>,
    /// Key and event.
    pub(crate) put_events: Vec<(u64, Event)>,
    /// Keys.
    pub(crate) remove_events: Vec<u64>,
}

impl Change {
    /// Nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.boot_id.is_none()
            && self.put_pods.is_empty()
            && self.remove_pods.is_empty()
            && self.put_deployments.is_empty()
            && self.remove_deployments.is_empty()
            && self.put_secrets.is_empty()
            && self.remove_secrets.is_empty()
            && self.put_addresses.is_empty()
            && self.remove_addresses.is_empty()
            && self.put_events.is_empty()
            && self.remove_events.is_empty()
    }
}

impl Store {
    /// Opens the database below `root`, which is made when it is missing, and reads all of it.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for a file of a newer podvisor, [`StoreError::Occupied`] while another
    /// process has it, or the disk's error. Damage is none: it is told in [`Opened::salvage`].
    pub(crate) fn open(root: &Path) -> Result<Opened, StoreError> {
        let path = root.join(FILE_NAME);
        file::make_root(root)?;
        let mut salvage = String::new();
        let (database, read) = match Store::open_file(&path) {
            Err(error) if error.is_damage() => {
                let aside = file::set_aside(&path)?;
                let why = crate::error::chain(&error);
                let _ = write!(
                    salvage,
                    "{why}; it is kept as {} and an empty one took its place",
                    aside.display()
                );
                Store::open_file(&path)?
            }
            other => other?,
        };
        if !read.unreadable.is_empty() {
            let _ = write!(
                salvage,
                "{}{} could not be read and stay in {}: {}",
                if salvage.is_empty() { "" } else { "; " },
                if read.unreadable.len() == 1 { "a record" } else { "records" },
                path.display(),
                read.unreadable.join("; ")
            );
        }
        let store = Store { path, database: Mutex::new(Some(database)) };
        let salvage = Some(salvage).filter(|words| !words.is_empty());
        Ok(Opened { store, saved: read.saved, salvage })
    }

    fn open_file(path: &Path) -> Result<(Database, tables::Read), StoreError> {
        let database = file::open(path)?;
        tables::bring_up(&database, path, tables::MIGRATIONS)?;
        let read = tables::read(&database, path)?;
        Ok((database, read))
    }

    /// Writes a change in one transaction; it is on disk when this returns. An empty change writes
    /// nothing.
    ///
    /// # Errors
    /// The disk's; then nothing of the change has been written, and the same may be tried again.
    pub(crate) fn commit(&self, change: &Change) -> Result<(), StoreError> {
        if change.is_empty() {
            return Ok(());
        }
        let mut held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match held.take() {
            Some(database) => database,
            None => file::open(&self.path)?,
        };
        tables::write(&database, &self.path, change)?;
        // On a failure the handle is dropped: redb refuses to go on after an error of the disk.
        *held = Some(database);
        Ok(())
    }
}
