//! `kill` and `delete`.
//!
//! Removal works from the state alone and tries every step; what cannot be removed within the
//! deadline is said. The state goes last: while it stands, `delete` can be tried again.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use oci::Status;
use oci::runtime::Spec;

use crate::cgroup::{Cgroup, Layout};
use crate::error::{Error, Result, chain};
use crate::hooks;
use crate::lifecycle::Operation;
use crate::store::{self, CLAIM_WITHIN, Claim, Record};
use crate::{DELETE_WITHIN, Runtime, rdt, systemd};

/// What the end of a killed process takes at most, unless something holds it up.
const USUAL_END: Duration = Duration::from_millis(100);

pub(crate) fn kill(runtime: &Runtime, id: &str, signal: i32, all: bool) -> Result<()> {
    let record = runtime.store.record(id)?;
    // Nothing else ends the others where the first process is not the first of its PID namespace.
    let all = all || signal == sys::abi::SIGKILL && record.shares_pids && !record.no_cgroup;
    let operation = if all { Operation::KillAll } else { Operation::Kill };
    runtime.check(&record, &runtime.store.folder(id)?, operation)?;
    let cgroup = record.open_cgroup()?;
    if all && !record.no_cgroup {
        cgroup.kill_all(signal)?;
    } else {
        let stopped =
            || Error::Refused { operation: "signal", id: id.to_owned(), status: Status::Stopped };
        let process = record.process().ok_or_else(stopped)?;
        let sent = sys::teardown::signal_process(process.as_fd(), signal);
        sent.map_err(Error::io("signal", format!("process {}", record.pid)))?;
    }
    if signal == sys::abi::SIGKILL {
        // A frozen process takes no signal, and must not survive this one.
        cgroup.thaw_whole()?;
    }
    Ok(())
}

pub(crate) fn delete(runtime: &Runtime, id: &str, force: bool) -> Result<()> {
    let deadline = Instant::now() + DELETE_WITHIN;
    let claim = match runtime.store.claim(id, Instant::now() + CLAIM_WITHIN) {
        Err(Error::NotFound { .. }) if force => return Ok(()),
        other => other?,
    };
    let (record, spec) = match runtime.store.record(id) {
        // Made and never written: its maker died in between.
        Err(Error::NotFound { .. }) => return claim.remove(),
        // Only what can never be read: a failure of the moment must not make it forgotten.
        Err(error @ Error::Config { .. }) if force => return forget(runtime, claim, id, error),
        Err(error) => return Err(error),
        Ok(record) if record.hooks => {
            let (record, spec) = runtime.store.record_and_spec(id)?;
            (record, Some(spec))
        }
        Ok(record) => (record, None),
    };
    let status = runtime.check(&record, &claim.folder, Operation::Delete { force })?;
    destroy(runtime, claim, (&record, spec.as_ref()), (status, deadline))
}

/// Removes all that there is of a container, and then runs its poststop hooks.
pub(crate) fn destroy(
    runtime: &Runtime,
    claim: Claim,
    (record, spec): (&Record, Option<&Spec>),
    (status, deadline): (Status, Instant),
) -> Result<()> {
    let failures = end(record, status, deadline);
    if !failures.is_empty() {
        return Err(Error::Several { failures });
    }
    if let Some(spec) = spec {
        hooks::poststop(spec, record, &runtime.notes);
    }
    claim.remove()
}

/// Removes what is kept of a container whose state can never be read. Who lives in the cgroup that
/// it most likely had may be another's: that is told, and nobody is ended.
fn forget(runtime: &Runtime, claim: Claim, id: &str, why: Error) -> Result<()> {
    let path = runtime.store.likely_cgroup(id);
    if let Some(cgroup) = found(&path) {
        let (count, id) = (cgroup.pids()?.len(), id.to_owned());
        if count > 0 {
            return Err(Error::Unreadable { id, cgroup: path, count, why: chain(&why) });
        }
        cgroup.remove_empty();
    }
    claim.remove()?;
    runtime.notes.warn(&format!("{}: nothing but this state was removed", chain(&why)));
    Ok(())
}

/// The cgroup at a path, where there is one.
fn found(path: &str) -> Option<Cgroup> {
    Cgroup::open(&Layout::detect().ok()?, path).ok()
}

/// Ends whatever lives of it and removes its cgroup; what failed, in words.
fn end(record: &Record, status: Status, deadline: Instant) -> Vec<String> {
    if !record.owns {
        if let Some(cgroup) = record.own_cgroup().and_then(found) {
            cgroup.remove_empty();
        }
        return Vec::new();
    }
    let mut failures = Vec::new();
    let process = if status == Status::Stopped { None } else { record.process() };
    if let Some(process) = &process {
        // Its end may have come just now.
        let _ = sys::teardown::signal_process(process.as_fd(), sys::abi::SIGKILL);
        if status != Status::Paused {
            // All others of its PID namespace end before it does, and then there is only the empty
            // cgroup to be removed. What fails here is tried below.
            let soon = (Instant::now() + USUAL_END).min(deadline);
            let _ = sys::teardown::any_ended(std::slice::from_ref(process), soon);
        }
    }
    let removed =
        record.open_cgroup().and_then(|c| remove_cgroup(c, record.unit.as_deref(), deadline));
    if let Err(error) = removed {
        failures.push(chain(&error));
    }
    failures.extend(record.rdt.iter().flat_map(rdt::Group::remove));
    let waited = process.map(|process| sys::teardown::any_ended(&[process], deadline));
    if let Some(Ok(false)) = waited {
        failures.push(format!("process {} does not end, not even by SIGKILL", record.pid));
    }
    failures
}

/// Ends what is in the cgroup and removes it. A scope goes first: systemd has to see it empty.
pub(crate) fn remove_cgroup(cgroup: Cgroup, unit: Option<&str>, deadline: Instant) -> Result<()> {
    let stopped = unit.map_or(Ok(()), |unit| {
        cgroup.end(deadline)?;
        Ok(systemd::stop(unit, deadline)?)
    });
    cgroup.remove(deadline)?;
    stopped
}

impl Runtime {
    /// The status of a container, if the operation is allowed in it.
    pub(crate) fn check(
        &self,
        record: &Record,
        folder: &std::path::Path,
        operation: Operation,
    ) -> Result<Status> {
        let status = match operation {
            // We hold the lock ourselves: nobody is making it any more.
            Operation::Delete { .. } if record.pid == 0 => Status::Stopped,
            Operation::Start => store::status_by_files(record, folder)?,
            // Frozen or not, it is still the runtime's own program.
            Operation::Checkpoint if store::waits(folder) => Status::Created,
            _ => store::status(record, folder)?,
        };
        if crate::lifecycle::allows(status, operation) {
            return Ok(status);
        }
        Err(Error::Refused { operation: operation.name(), id: record.id.clone(), status })
    }
}
