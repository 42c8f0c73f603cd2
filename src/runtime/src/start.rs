//! `start`: a created container's process is let go.

use std::time::Instant;

use oci::Status;
use oci::runtime::Spec;
use sys::launch::Told;

use crate::Runtime;
use crate::error::{Error, Result};
use crate::hooks::contained::Home;
use crate::hooks::{self, List};
use crate::lifecycle::Operation;
use crate::plan;
use crate::store::{CLAIM_WITHIN, Record};

/// Longest wait for the process to take its command on, in ms.
const START_WITHIN_MS: u64 = 10_000;

pub(crate) fn start(runtime: &Runtime, id: &str) -> Result<()> {
    let claim = runtime.store.claim(id, Instant::now() + CLAIM_WITHIN)?;
    let (record, spec) = runtime.store.record_and_spec(id)?;
    runtime.check(&record, &claim.folder, Operation::Start)?;
    let refused =
        || Error::Refused { operation: "start", id: id.to_owned(), status: Status::Stopped };
    let process = record.process().ok_or_else(refused)?;
    if hooks::any(&spec, &[List::StartContainer]) {
        use std::os::fd::AsFd;
        let state = hooks::state(&record, Status::Created, record.pid);
        let (record, spec, process) = (&record, &spec, process.as_fd());
        let done = hooks::contained::run(&Home { runtime, record, spec, process }, &state);
        done.inspect_err(|_| end(record))?;
    }
    let socket = claim.socket();
    let failed = |source| Error::Io { what: "start by", path: socket.clone(), source };
    let connection = sys::seqpacket::connect(&socket).map_err(failed)?;
    go(&connection, &spec, &record).inspect_err(|_| end(&record))?;
    // From now on it is running, whatever comes.
    let gone = std::fs::remove_file(&socket);
    gone.map_err(failed)?;
    let state = hooks::state(&record, Status::Running, record.pid);
    hooks::run(&spec, List::Poststart, &state, None).inspect_err(|_| end(&record))
}

/// A start that failed leaves a stopped container, as runc does.
fn end(record: &Record) {
    use std::os::fd::AsFd;
    if let Some(process) = record.process() {
        let _ = sys::teardown::signal_process(process.as_fd(), sys::abi::SIGKILL);
    }
}

fn go(connection: &std::os::fd::OwnedFd, spec: &Spec, record: &Record) -> Result<()> {
    use std::os::fd::AsFd;
    let failed = |source| Error::Io { what: "start", path: record.bundle.clone(), source };
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
