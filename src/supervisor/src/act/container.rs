//! Starting, stopping and removing one attempt of a container.
//!
//! A bundle lies in `<pod>/bundles/<runtime id>`; what is needed later of the image (its stop
//! signal, its digest) stands in the annotations of its config.json, so that it can be read back by
//! a supervisor that has not started the container.

mod making;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use monitor::protocol::{ContainerRecord, ErrorKind as Refusal, RecordState, Request, Response};
use pod::{Outcome, Reason};

use super::{Done, Effect, Job, Started};
use crate::error::{chain, with_hint};
use crate::talk::{Talk, TalkError};
use crate::tools::Tools;
use crate::{bundle, pod_files};
pub(crate) use making::Noted;
use making::{bundle_dir, make};

/// Longest wait for a container's start.
const RUN_WAIT: Duration = Duration::from_secs(60);
/// Longest wait for any other order.
const ORDER_WAIT: Duration = Duration::from_secs(20);

const KILL: i32 = 9;

pub(super) type Failure = (Reason, String);

/// Creates and starts an attempt.
pub(super) async fn start(tools: &Arc<Tools>, job: &Job, name: &str, attempt: u32) -> Done {
    let (run, image_id) = match make(tools, job, name, attempt).await {
        Ok(made) => made,
        Err((reason, message)) => {
            discard(tools, job, name, attempt).await;
            return Done::failed(reason, message);
        }
    };
    let id = run.id.clone();
    match order(&job.subject.pod_dir, &Request::Run(run), RUN_WAIT).await {
        Ok(Response::Started { pid, started_at_ns, started_boot_ms }) => {
            let record = ContainerRecord {
                id,
                name: name.to_owned(),
                attempt,
                pid,
                // The monitor's own listing has it; nobody here needs it.
                start_time: 0,
                started_at_ns,
                started_boot_ms,
                state: RecordState::Running,
                log_error: None,
            };
            Done::ok(Effect::Started(Box::new(Started { record, image_id })))
        }
        // It was started by a former order whose answer was lost; the listing has it.
        Ok(Response::Error { kind: Refusal::Busy, message, .. })
            if message.contains("already exists") =>
        {
            Done::ok(Effect::None)
        }
        Ok(Response::Error { kind, message, hint }) => {
            discard(tools, job, name, attempt).await;
            let reason = match kind {
                Refusal::NotFound | Refusal::NotExecutable => Reason::StartError,
                _ => Reason::CreateContainerError,
            };
            Done::failed(reason, with_hint(message, hint))
        }
        Ok(other) => {
            Done::failed(Reason::CreateContainerError, chain(&crate::talk::unexpected(other)))
        }
        // It may run all the same: nothing is taken from under it.
        Err(error) => Done::failed(Reason::CreateContainerError, chain(&error)),
    }
}

/// Takes away what was made for an attempt that never ran.
async fn discard(tools: &Arc<Tools>, job: &Job, name: &str, attempt: u32) {
    let id = bundle::runtime_id(&job.subject.uid, name, attempt);
    // What cannot be removed now goes with the sandbox; the failure that led here is the one to
    // tell.
    let _ = order(&job.subject.pod_dir, &Request::Remove { id }, ORDER_WAIT).await;
    let (own, container) = (job.clone(), name.to_owned());
    let _ = tools.blocking(move |tools| clear_away(tools, &own, &container, attempt)).await;
}

/// Sends the stop signal, once.
pub(super) async fn stop(job: &Job, name: &str, attempt: u32) -> Done {
    let id = bundle::runtime_id(&job.subject.uid, name, attempt);
    let signal = Noted::read(&job.subject.pod_dir, &id).stop_signal();
    signal_container(job, Request::Kill { id, signal, all: false }).await
}

/// Kills every process of an attempt.
pub(super) async fn kill(job: &Job, name: &str, attempt: u32) -> Done {
    let id = bundle::runtime_id(&job.subject.uid, name, attempt);
    signal_container(job, Request::Kill { id, signal: KILL, all: true }).await
}

async fn signal_container(job: &Job, request: Request) -> Done {
    match order(&job.subject.pod_dir, &request, ORDER_WAIT).await {
        // One that has ended has reached the signal's aim.
        Ok(Response::Ok | Response::Error { kind: Refusal::NoSuchContainer, .. }) => {
            Done::ok(Effect::None)
        }
        other => Done::failed(Reason::KillContainerError, refused(other)),
    }
}

/// Drops what is left of an attempt that has ended; its logs stay.
pub(super) async fn remove(tools: &Arc<Tools>, job: &Job, name: &str, attempt: u32) -> Done {
    let id = bundle::runtime_id(&job.subject.uid, name, attempt);
    match order(&job.subject.pod_dir, &Request::Remove { id }, ORDER_WAIT).await {
        Ok(Response::Ok) => {}
        other => return Done::failed(Reason::KillContainerError, refused(other)),
    }
    let (own, container) = (job.clone(), name.to_owned());
    let cleared = tools.blocking(move |tools| clear_away(tools, &own, &container, attempt)).await;
    match cleared {
        Ok(()) => Done::ok(Effect::Removed),
        Err(words) => {
            let outcome = Outcome::Failed { reason: Reason::KillContainerError, message: words };
            // The listing has it no more; what is left on disk goes with the sandbox.
            Done { outcome, effect: Effect::Removed }
        }
    }
}

fn clear_away(tools: &Tools, job: &Job, name: &str, attempt: u32) -> Result<(), String> {
    let id = bundle::runtime_id(&job.subject.uid, name, attempt);
    let pod_dir = &job.subject.pod_dir;
    let released = tools.images.release(&id).map_err(|e| with_hint(chain(&e), e.hint()));
    let removed = gone(fs::remove_dir_all(bundle_dir(pod_dir, &id)))
        .and_then(|()| gone(fs::remove_file(pod_files::termination_log(pod_dir, name, attempt))));
    released.and(removed.map_err(|error| format!("remove the container's files: {error}")))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// One order to the pod's monitor.
async fn order(pod_dir: &Path, request: &Request, limit: Duration) -> Result<Response, TalkError> {
    Talk::open(pod_dir).await?.ask(request, limit).await
}

fn refused(answer: Result<Response, TalkError>) -> String {
    match answer {
        Ok(Response::Error { message, hint, .. }) => with_hint(message, hint),
        Ok(other) => chain(&crate::talk::unexpected(other)),
        Err(error) => chain(&error),
    }
}
