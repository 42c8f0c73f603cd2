//! `mounts`: bind mounts come to a container that lives, and go.
//!
//! Nothing remembers them: they end with the container's mount namespace. The trees are cloned
//! here, in the caller's view; a child that has entered the container attaches them. Not here: its
//! program (`plan::live`).

use std::path::{Component, Path};

use oci::Finding;
use oci::runtime::{Mount, Spec};

use crate::Runtime;
use crate::error::{Error, Result};
use crate::lifecycle::Operation;
use crate::plan::{self, Live, point};
use crate::spawn::{self, Given};

/// Adds the mounts, or takes them away.
pub(crate) fn change(runtime: &Runtime, id: &str, mounts: &[Mount], add: bool) -> Result<()> {
    let (record, spec) = runtime.store.record_and_spec(id)?;
    check(&spec, mounts, add)
        .map_err(|findings| Error::Invalid { what: "mounts".to_owned(), findings })?;
    let status = runtime.check(&record, &runtime.store.folder(id)?, Operation::Mounts)?;
    let name = Operation::Mounts.name();
    let refused = || Error::Refused { operation: name, id: id.to_owned(), status };
    let process = record.process().ok_or_else(refused)?;
    let process = sys::launch::above_stdio(process).map_err(|source| Error::Clone { source })?;
    let change = if add { Live::Add(mounts, &record.bundle) } else { Live::Remove(mounts) };
    let (draft, birth) = plan::live(&spec, record.pid, change);
    let notes = runtime.notes.clone();
    let given = Given { process: Some(process), notes, ..Given::default() };
    let mut child = spawn::begin(draft, given, &birth, None, "")?;
    child.hurry()?;
    // It has nothing more to do then, and ends with its handle here.
    child.await_point(point::MOUNTED).map_err(|error| match error {
        Error::Step { step, errno, .. } => Error::Mounts { step, errno },
        other => other,
    })
}

/// What of the mounts cannot be, by field.
fn check(spec: &Spec, mounts: &[Mount], add: bool) -> std::result::Result<(), Vec<Finding>> {
    let mut found = Vec::new();
    let mut say = |index: usize, field: &str, problem: &str| {
        let path = format!("mounts[{index}].{field}");
        found.push(Finding { path, problem: problem.to_owned() });
    };
    for (index, mount) in mounts.iter().enumerate() {
        let destination = plan::absolute(mount.destination());
        if destination.components().any(|component| component == Component::ParentDir) {
            say(index, "destination", "has .. in it");
        }
        if destination.components().as_path() == Path::new("/") {
            say(index, "destination", "is the container's root");
        }
        let remount = mount.options().iter().flatten().any(|option| option == "remount");
        if add && (!plan::is_bind(mount) || remount) {
            say(index, "type", "is not bind: nothing else comes to a container that lives");
        }
    }
    if plan::shares_mounts(spec) {
        let path = "linux.namespaces".to_owned();
        let problem = "has no mount namespace: what is mounted would be the host's".to_owned();
        found.push(Finding { path, problem });
    }
    if !found.is_empty() {
        return Err(found);
    }
    if !add {
        return Ok(());
    }
    // The rest is as in config.json, beside what the container is.
    let mut whole = spec.clone();
    whole.set_mounts(Some(mounts.to_vec()));
    oci::validate::validate(&whole)
}
