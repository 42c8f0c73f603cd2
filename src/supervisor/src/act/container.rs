//! Starting, stopping and removing one attempt of a container.
//!
//! A bundle lies in `<pod>/bundles/<runtime id>`; what is needed later of the image (its stop
//! signal, its digest) stands in the annotations of its config.json, so that it can be read back by
//! a supervisor that has not started the container.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use monitor::protocol::{
    ContainerRecord, ErrorKind as Refusal, RecordState, Request, Response, Rootfs, RunContainer,
};
use pod::manifest::{Container, ImagePullPolicy};
use pod::{Outcome, Reason};
use serde::Deserialize;

use super::{Done, Effect, Job, Started, pull};
use crate::error::{chain, with_hint};
use crate::talk::{Talk, TalkError};
use crate::tools::Tools;
use crate::{bundle, pod_files, volumes};

/// Longest wait for a container's start.
const RUN_WAIT: Duration = Duration::from_secs(60);
/// Longest wait for any other order.
const ORDER_WAIT: Duration = Duration::from_secs(20);
/// Attempts whose logs are kept.
const LOGS_KEPT: u32 = 3;

/// Annotation: the signal that asks the container to stop, a number.
const STOP_SIGNAL: &str = "podvisor/stop-signal";
/// Annotation: digest of the image it was made from.
const IMAGE_ID: &str = "podvisor/image-id";

const TERMINATE: i32 = 15;
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

/// Makes all that a start needs; the image is brought first when it has to be.
async fn make(
    tools: &Arc<Tools>,
    job: &Job,
    name: &str,
    attempt: u32,
) -> Result<(RunContainer, String), Failure> {
    let container = container_of(job, name)?;
    let with = |image: String| {
        let (own, name) = (job.clone(), name.to_owned());
        tools.blocking(move |tools| prepare(tools, &own, (&name, &image), attempt))
    };
    let policy = container.image_pull_policy;
    if policy != Some(ImagePullPolicy::Always) {
        match with(container.image.clone()).await {
            Err((Reason::ErrImageNeverPull, _)) if policy != Some(ImagePullPolicy::Never) => {}
            made => return made,
        }
    }
    with(pull::image(tools, container).await?).await
}

fn config_error(words: String) -> Failure {
    (Reason::CreateContainerConfigError, words)
}

fn container_of<'a>(job: &'a Job, name: &str) -> Result<&'a Container, Failure> {
    let container = job.subject.pod.spec.container(name);
    container.ok_or_else(|| config_error(format!("the pod has no container {name:?} any more")))
}

/// Makes root file system and bundle.
fn prepare(
    tools: &Tools,
    job: &Job,
    (name, image): (&str, &str),
    attempt: u32,
) -> Result<(RunContainer, String), Failure> {
    let subject = &job.subject;
    let (pod, pod_dir) = (subject.pod.as_ref(), subject.pod_dir.as_path());
    let container = container_of(job, name)?;
    let image = tools.images.resolve(image).map_err(|error| image_failure(&error))?;
    let id = bundle::runtime_id(&subject.uid, name, attempt);
    let told = |error: &image::Error| with_hint(chain(error), error.hint());
    let rootfs = tools
        .images
        .prepare(&image, &id)
        .map_err(|error| (Reason::CreateContainerError, told(&error)))?;
    let user = wanted_user(pod, container).or_else(|| image.user().map(str::to_owned));
    let user = image::user::lookup(&rootfs.lower, user.as_deref().unwrap_or_default())
        .map_err(|error| config_error(told(&error)))?;
    let mounts = volumes::mounts(pod, container, &volumes::Roots::of(subject))
        .map_err(|error| config_error(with_hint(chain(&error), error.hint())))?;
    let files =
        pod_files::write(pod, pod_dir, job.address.or(tools.host.address), &tools.host.node_name)
            .map_err(|error| config_error(format!("write the pod's /etc files: {error}")))?;
    let facts = bundle::Facts {
        pod_dir,
        attempt,
        uid: &subject.uid,
        pod_ip: job.address.or(tools.host.address),
        host_ip: tools.host.address,
        node_name: &tools.host.node_name,
        capacity_bytes: tools.host.capacity_bytes,
        thermal: &tools.host.thermal,
        cgroup_parent: &tools.options.pod_cgroup(&subject.uid),
        user,
        volumes: &mounts,
        files: &files,
    };
    let mut spec = bundle::config(pod, container, &image, &facts)
        .map_err(|error| config_error(with_hint(chain(&error), error.hint())))?;
    adapt(&mut spec, tools, pod);
    annotate(&mut spec, container, &image);
    let folder = bundle_dir(pod_dir, &id);
    write_config(&folder, &spec)
        .map_err(|error| config_error(format!("write {}: {error}", folder.display())))?;
    pod_files::make_termination_log(pod_dir, name, attempt)
        .map_err(|error| config_error(format!("make the termination log: {error}")))?;
    let logs = subject.log_dir.join(name);
    forget_old_logs(&logs, attempt);
    let rotation = tools.options.log_rotation;
    let run = RunContainer {
        id,
        name: name.to_owned(),
        attempt,
        bundle: folder,
        rootfs: Rootfs::Overlay {
            lower: rootfs.lower,
            upper: rootfs.upper,
            work: rootfs.work,
            readonly: bundle::rootfs_readonly(pod, container),
        },
        log_path: logs.join(format!("{attempt}.log")),
        log_max_bytes: rotation.max_bytes,
        log_max_files: rotation.max_files,
        terminal: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
    };
    Ok((run, image.digest))
}

/// What the next supervisor has to know of it.
fn annotate(spec: &mut oci::runtime::Spec, container: &Container, image: &image::Image) {
    let mut annotations = spec.annotations().clone().unwrap_or_default();
    let signal = bundle::stop_signal(container, image);
    annotations.insert(STOP_SIGNAL.to_owned(), signal.to_string());
    annotations.insert(IMAGE_ID.to_owned(), image.digest.clone());
    spec.set_annotations(Some(annotations));
}

/// What the manifest does not say alone: the terminal's first size, and an OOM score and limits
/// that this host lets us set.
fn adapt(spec: &mut oci::runtime::Spec, tools: &Tools, pod: &pod::Pod) {
    if let Some(linux) = spec.linux_mut()
        && let Some(resources) = linux.resources_mut()
    {
        tools.host.fit(resources, true);
    }
    let Some(process) = spec.process_mut() else { return };
    if let (Some(true), Some((rows, columns))) =
        (process.terminal(), pod::console::size(&pod.metadata))
    {
        let size = oci::runtime::BoxBuilder::default().height(rows).width(columns).build();
        process.set_console_size(size.ok());
    }
    if let (Some(score), Some(floor)) = (process.oom_score_adj(), tools.host.oom_score_floor) {
        process.set_oom_score_adj(Some(score.max(floor)));
    }
}

/// `runAsUser` of the container, else of the pod.
fn wanted_user(pod: &pod::Pod, container: &Container) -> Option<String> {
    let own = container.security_context.as_ref().and_then(|context| context.run_as_user);
    let pods = pod.spec.security_context.as_ref().and_then(|context| context.run_as_user);
    own.or(pods).map(|uid| uid.to_string())
}

fn image_failure(error: &image::Error) -> Failure {
    let reason = match error {
        image::Error::MissingImage { .. } => Reason::ErrImageNeverPull,
        image::Error::BadReference { .. } | image::Error::AmbiguousId { .. } => {
            Reason::InvalidImageName
        }
        _ => Reason::ImageInspectError,
    };
    (reason, with_hint(chain(error), error.hint()))
}

fn bundle_dir(pod_dir: &Path, id: &str) -> PathBuf {
    pod_dir.join("bundles").join(id)
}

fn write_config(folder: &Path, spec: &oci::runtime::Spec) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join("config.json");
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(&serde_json::to_vec(spec)?)
}

use std::fs::File;

/// Removes the logs of attempts that nobody asks for any more.
fn forget_old_logs(folder: &Path, attempt: u32) {
    let Some(oldest) = (attempt + 1).checked_sub(LOGS_KEPT) else { return };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.split('.').next()?.parse::<u32>().ok());
        if number.is_some_and(|number| number < oldest) {
            // A log that stays is no reason not to start.
            let _ = fs::remove_file(entry.path());
        }
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

/// What a bundle notes for later.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Noted {
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Noted {
    /// Reads it back; a bundle that cannot be read notes nothing.
    pub(crate) fn read(pod_dir: &Path, id: &str) -> Noted {
        let text = fs::read(bundle_dir(pod_dir, id).join("config.json"));
        text.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn stop_signal(&self) -> i32 {
        let noted = self.annotations.get(STOP_SIGNAL);
        noted.and_then(|signal| signal.parse().ok()).unwrap_or(TERMINATE)
    }

    /// Digest of the image.
    pub(crate) fn image_id(&self) -> Option<&str> {
        self.annotations.get(IMAGE_ID).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bundle_notes_is_read_back() {
        let folder = std::env::temp_dir().join(format!("podvisor-noted-{}", std::process::id()));
        let bundle = bundle_dir(&folder, "u.a.0");
        fs::create_dir_all(&bundle).unwrap();
        let text = r#"{"ociVersion":"1.0.2","annotations":{"podvisor/stop-signal":"3",
                       "podvisor/image-id":"sha256:1"}}"#;
        fs::write(bundle.join("config.json"), text).unwrap();
        let noted = Noted::read(&folder, "u.a.0");
        assert_eq!((noted.stop_signal(), noted.image_id()), (3, Some("sha256:1")));
        let nothing = Noted::read(&folder, "u.a.1");
        assert_eq!((nothing.stop_signal(), nothing.image_id()), (TERMINATE, None));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn logs_of_old_attempts_go() {
        let folder = std::env::temp_dir().join(format!("podvisor-logs-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["0.log", "0.log.1", "1.log", "2.log", "other"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        forget_old_logs(&folder, 1);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 5);
        forget_old_logs(&folder, 3);
        let mut left: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["1.log", "2.log", "other"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_image_says_how_to_bring_it_in() {
        let missing = image::Error::MissingImage { name: "web".into(), near: Vec::new() };
        let (reason, words) = image_failure(&missing);
        assert_eq!(reason, Reason::ErrImageNeverPull);
        assert!(words.contains("web") && words.contains("podvisor load"), "{words}");
    }
}
