//! `start`: a created container's process is let go.
//!
//! Invariant: until the process has heard of it and goes on, a `start` that ends, is killed or
//! gives up changes nothing: it can be tried again.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use oci::Status;
use oci::runtime::Spec;
use sys::launch::Told;

use crate::error::{Error, Result, chain};
use crate::hooks::contained::Home;
use crate::hooks::{self, List};
use crate::lifecycle::Operation;
use crate::plan;
use crate::readiness::{self, Readiness};
use crate::store::{self, CLAIM_WITHIN, Claim, Record};
use crate::{DELETE_WITHIN, Runtime};

/// Longest wait for the process to take its command on, in ms.
const START_WITHIN_MS: u64 = 8_000;
/// Longest wait for the end of one that is not to run.
const END_WITHIN: Duration = Duration::from_secs(2);

/// `heard`: what it tells of its readiness is wanted.
pub(crate) fn start(runtime: &Runtime, id: &str, heard: bool) -> Result<Option<Readiness>> {
    let claim = runtime.store.claim(id, Instant::now() + CLAIM_WITHIN)?;
    let (record, spec) = runtime.store.record_and_spec(id)?;
    runtime.check(&record, &claim.folder, Operation::Start)?;
    let refused = |status| Error::Refused { operation: "start", id: id.to_owned(), status };
    let process = record.process().ok_or_else(|| refused(Status::Stopped))?;
    let socket = claim.socket();
    let connection = match sys::seqpacket::connect(&socket, Some(START_WITHIN_MS)) {
        // It went on, and its `start` was killed before it could note that.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            remove(&socket)?;
            return Err(refused(Status::Running));
        }
        other => other.map_err(|source| failed(source, &record))?,
    };
    // Before anything of the container's own runs, which may be able to change the folder.
    let ready = if heard { readiness::listen(&claim.folder)? } else { None };
    if hooks::any(&spec, &[List::StartContainer]) {
        let state = hooks::state(&record, Status::Created, record.pid);
        let (record, spec, process) = (&record, &spec, process.as_fd());
        let done = hooks::contained::run(&Home { runtime, record, spec, process }, &state);
        done.inspect_err(|_| end(record))?;
    }
    if let Err(error) = go(connection, &spec, &record) {
        if !(matches!(error, Error::Silent { .. }) && store::waits(&claim.folder)) {
            end(&record);
        }
        return Err(error);
    }
    // From now on it is running, whatever comes.
    remove(&socket)?;
    let state = hooks::state(&record, Status::Running, record.pid);
    if let Err(error) = hooks::run(&spec, List::Poststart, &state, None) {
        destroy(runtime, claim, &record, &spec);
        return Err(error);
    }
    Ok(ready.map(|socket| Readiness { socket, pid: record.pid, process }))
}

/// A start that failed leaves a stopped container, as runc does.
fn end(record: &Record) {
    if let Some(process) = record.process() {
        let _ = sys::teardown::signal_process(process.as_fd(), sys::abi::SIGKILL);
        let _ = sys::teardown::wait_for_end(process.as_fd(), Instant::now() + END_WITHIN);
    }
}

/// A poststart hook that failed leaves nothing: "stop the container, and continue the lifecycle" at
/// its removal. What cannot be removed stays for `delete`.
fn destroy(runtime: &Runtime, claim: Claim, record: &Record, spec: &Spec) {
    let deadline = Instant::now() + DELETE_WITHIN;
    let of = (record, Some(spec));
    let removed = crate::remove::destroy(runtime, claim, of, (Status::Running, deadline));
    if let Err(error) = removed {
        runtime.notes.warn(&chain(&error));
    }
}

fn remove(socket: &Path) -> Result<()> {
    std::fs::remove_file(socket).map_err(Error::io("remove", socket))
}

fn failed(source: std::io::Error, record: &Record) -> Error {
    match source.kind() {
        ErrorKind::WouldBlock => Error::Silent { pid: record.pid },
        _ => Error::Io { what: "start", path: record.bundle.clone(), source },
    }
}

/// Lets it go and hears of the end of all that precedes the command; hangs up.
fn go(connection: OwnedFd, spec: &Spec, record: &Record) -> Result<()> {
    let failed = |source| failed(source, record);
    sys::seqpacket::set_recv_timeout_ms(connection.as_fd(), Some(START_WITHIN_MS))
        .map_err(failed)?;
    sys::seqpacket::send(connection.as_fd(), b"g", &[]).map_err(failed)?;
    match sys::launch::read_frame(connection.as_fd()).map_err(failed)? {
        Told::Closed => Ok(()),
        // Behind the wait there are the filter (stage 3) and the command (stage 4).
        Told::Failed { stage: 4, errno, .. } => {
            let args = spec.process().as_ref().and_then(|p| p.args().as_ref());
            let command = args.and_then(|args| args.first()).cloned().unwrap_or_default();
            Err(Error::Command { command, found: true, errno })
        }
        Told::Failed { stage, errno, .. } => {
            let step = "load the seccomp filter".to_owned();
            Err(Error::Step { stage: plan::place(stage), step, errno })
        }
        _ => Err(Error::Vanished),
    }
}
