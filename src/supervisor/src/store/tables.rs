//! What is in the file: tables of JSON records, and the version of their meaning.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `schema`, `boot_id` | u32, little endian; text |
//! | `pods`, `deployments` | uid | JSON of `SavedPod`, `SavedDeployment` |
//! | `secrets` | uid | JSON of `SavedSecret` |
//! | `addresses` | pod uid | text, as in 10.77.0.2 |
//! | `events` | number | JSON of `Event` |
//!
//! A field that is added to a record with a default needs no new schema; anything else is a step
//! in [`MIGRATIONS`].

use std::net::Ipv4Addr;
use std::path::Path;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{self, Failure, StoreError};
use super::{Change, Saved};

type Texts = TableDefinition<'static, &'static str, &'static [u8]>;

const META: Texts = TableDefinition::new("meta");
const PODS: Texts = TableDefinition::new("pods");
const DEPLOYMENTS: Texts = TableDefinition::new("deployments");
/// Is missing in files that never had one.
const SECRETS: Texts = TableDefinition::new("secrets");
const ADDRESSES: Texts = TableDefinition::new("addresses");
const EVENTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("events");

const SCHEMA_KEY: &str = "schema";
const BOOT_KEY: &str = "boot_id";

/// Brings a file of one schema to the next.
pub(super) type Migration = fn(&WriteTransaction) -> Result<(), Failure>;

/// The step at index 0 leads from schema 1 to 2, and so on.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// The schema of this podvisor.
pub(super) const SCHEMA: u32 = 1 + MIGRATIONS.len() as u32;

/// Gives an empty file its tables and takes an older one through the steps it lacks, in one
/// transaction.
pub(super) fn bring_up(
    database: &Database,
    path: &Path,
    steps: &[Migration],
) -> Result<(), StoreError> {
    let failed = |failure| StoreError::failed("open", path, failure);
    let newest = 1 + u32::try_from(steps.len()).unwrap_or(u32::MAX - 1);
    let found = schema(database).map_err(failed)?;
    let from = match found {
        Some(found) if found > newest => return Err(error::newer(path, found)),
        Some(0) => {
            let problem = "its schema is 0".to_owned();
            return Err(StoreError::Damaged { path: path.to_path_buf(), problem });
        }
        Some(found) if found == newest => return Ok(()),
        Some(found) => found,
        None => newest,
    };
    let advance = || -> Result<(), Failure> {
        let transaction = database.begin_write()?;
        for step in steps.iter().skip(usize::try_from(from - 1).unwrap_or(usize::MAX)) {
            step(&transaction)?;
        }
        for table in [META, PODS, DEPLOYMENTS, ADDRESSES] {
            transaction.open_table(table)?;
        }
        transaction.open_table(EVENTS)?;
        transaction.open_table(META)?.insert(SCHEMA_KEY, newest.to_le_bytes().as_slice())?;
        transaction.commit()?;
        Ok(())
    };
    advance().map_err(failed)
}

/// The version in the file; `None` in an empty one.
fn schema(database: &Database) -> Result<Option<u32>, Failure> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        other => other?,
    };
    let Some(value) = table.get(SCHEMA_KEY)? else { return Ok(None) };
    match <[u8; 4]>::try_from(value.value()) {
        Ok(bytes) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(_) => Err(redb::Error::Corrupted("its schema is no number".to_owned()).into()),
    }
}

/// What was read, and what could not be.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) saved: Saved,
    /// `pod <uid>: <why>`.
    pub(super) unreadable: Vec<String>,
}

/// Reads everything.
pub(super) fn read(database: &Database, path: &Path) -> Result<Read, StoreError> {
    read_all(database).map_err(|failure| StoreError::failed("read", path, failure))
}

fn read_all(database: &Database) -> Result<Read, Failure> {
    let transaction = database.begin_read()?;
    let mut read = Read::default();
    let meta = transaction.open_table(META)?;
    if let Some(value) = meta.get(BOOT_KEY)? {
        read.saved.boot_id = std::str::from_utf8(value.value()).ok().map(str::to_owned);
    }
    read.saved.pods = records(&transaction, PODS, "pod", &mut read.unreadable)?;
    let deployments = records(&transaction, DEPLOYMENTS, "deployment", &mut read.unreadable)?;
    read.saved.deployments = deployments;
    read.saved.secrets = records(&transaction, SECRETS, "secret", &mut read.unreadable)?;
    for entry in transaction.open_table(ADDRESSES)?.iter()? {
        let (uid, value) = entry?;
        let text = String::from_utf8_lossy(value.value());
        match text.parse::<Ipv4Addr>() {
            Ok(address) => {
                read.saved.addresses.insert(uid.value().to_owned(), address);
            }
            Err(_) => {
                let words = format!("address of pod {}: {text:?} is none", uid.value());
                read.unreadable.push(words);
            }
        }
    }
    for entry in transaction.open_table(EVENTS)?.iter()? {
        let (key, value) = entry?;
        match serde_json::from_slice(value.value()) {
            Ok(event) => read.saved.events.push(event),
            Err(error) => read.unreadable.push(format!("event {}: {error}", key.value())),
        }
    }
    Ok(read)
}

fn records<T: DeserializeOwned>(
    transaction: &ReadTransaction,
    table: Texts,
    kind: &str,
    unreadable: &mut Vec<String>,
) -> Result<Vec<T>, Failure> {
    let mut found = Vec::new();
    let table = match transaction.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(found),
        other => other?,
    };
    for entry in table.iter()? {
        let (uid, value) = entry?;
        match serde_json::from_slice(value.value()) {
            Ok(record) => found.push(record),
            Err(error) => unreadable.push(format!("{kind} {}: {error}", uid.value())),
        }
    }
    Ok(found)
}

/// Writes a change: one transaction, durable when it returns.
pub(super) fn write(database: &Database, path: &Path, change: &Change) -> Result<(), StoreError> {
    let encoded = Encoded::new(change)?;
    let commit = || -> Result<(), Failure> {
        let transaction = database.begin_write()?;
        encoded.put(&transaction, change)?;
        transaction.commit()?;
        Ok(())
    };
    commit().map_err(|failure| StoreError::failed("write", path, failure))
}

/// The records of a change as JSON, made before the transaction begins.
struct Encoded<'a> {
    pods: Vec<(&'a str, Vec<u8>)>,
    deployments: Vec<(&'a str, Vec<u8>)>,
    secrets: Vec<(&'a str, Vec<u8>)>,
    events: Vec<(u64, Vec<u8>)>,
}

impl<'a> Encoded<'a> {
    fn new(change: &'a Change) -> Result<Encoded<'a>, StoreError> {
        let pods = change.put_pods.iter().map(|p| Ok((&*p.uid, json("pod", &p.uid, p)?)));
        let deployments =
            change.put_deployments.iter().map(|d| Ok((&*d.uid, json("deployment", &d.uid, d)?)));
        let secrets = change.put_secrets.iter().map(|s| Ok((&*s.uid, json("secret", &s.uid, s)?)));
        let events = change
            .put_events
            .iter()
            .map(|(key, event)| Ok((*key, json("event", &key.to_string(), event)?)));
        Ok(Encoded {
            pods: pods.collect::<Result<_, StoreError>>()?,
            deployments: deployments.collect::<Result<_, StoreError>>()?,
            secrets: secrets.collect::<Result<_, StoreError>>()?,
            events: events.collect::<Result<_, StoreError>>()?,
        })
    }

    fn put(&self, transaction: &WriteTransaction, change: &Change) -> Result<(), Failure> {
        if let Some(boot_id) = &change.boot_id {
            transaction.open_table(META)?.insert(BOOT_KEY, boot_id.as_bytes())?;
        }
        texts(transaction, PODS, &self.pods, &change.remove_pods)?;
        texts(transaction, DEPLOYMENTS, &self.deployments, &change.remove_deployments)?;
        texts(transaction, SECRETS, &self.secrets, &change.remove_secrets)?;
        let addresses: Vec<(&str, Vec<u8>)> = change
            .put_addresses
            .iter()
            .map(|(uid, address)| (&**uid, address.to_string().into_bytes()))
            .collect();
        texts(transaction, ADDRESSES, &addresses, &change.remove_addresses)?;
        if !self.events.is_empty() || !change.remove_events.is_empty() {
            let mut table = transaction.open_table(EVENTS)?;
            for key in &change.remove_events {
                table.remove(key)?;
            }
            for (key, value) in &self.events {
                table.insert(key, value.as_slice())?;
            }
        }
        Ok(())
    }
}

/// Removals first: what is removed and put in one change is there.
fn texts(
    transaction: &WriteTransaction,
    table: Texts,
    put: &[(&str, Vec<u8>)],
    remove: &[String],
) -> Result<(), Failure> {
    if put.is_empty() && remove.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(table)?;
    for key in remove {
        table.remove(key.as_str())?;
    }
    for (key, value) in put {
        table.insert(*key, value.as_slice())?;
    }
    Ok(())
}

fn json(kind: &str, key: &str, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let record = || format!("{kind} {key}");
    serde_json::to_vec(value).map_err(|source| StoreError::Encode { record: record(), source })
}
