//! What a container is made of before it starts: its image, root file system, bundle and logs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use monitor::protocol::{Rootfs, RunContainer};
use pod::Reason;
use pod::manifest::{Container, ImagePullPolicy};
use serde::Deserialize;

use super::Failure;
use crate::act::{Job, pull};
use crate::error::{chain, with_hint};
use crate::tools::Tools;
use crate::{bundle, pod_files, volumes};

/// Attempts whose logs are kept.
const LOGS_KEPT: u32 = 3;

/// Annotation: the signal that asks the container to stop, a number.
const STOP_SIGNAL: &str = "podvisor/stop-signal";
/// Annotation: digest of the image it was made from.
const IMAGE_ID: &str = "podvisor/image-id";

const TERMINATE: i32 = 15;

/// Makes all that a start needs; the image is brought first when it has to be.
pub(super) async fn make(
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
    with(pull::image(tools, job, container).await?).await
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
        .prepare(&image, &id, subject.ids)
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

pub(super) fn bundle_dir(pod_dir: &Path, id: &str) -> PathBuf {
    pod_dir.join("bundles").join(id)
}

fn write_config(folder: &Path, spec: &oci::runtime::Spec) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join("config.json");
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(&serde_json::to_vec(spec)?)
}

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

    pub(super) fn stop_signal(&self) -> i32 {
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
        let folder = scope::Folder::new("noted");
        let bundle = bundle_dir(&folder, "u.a.0");
        fs::create_dir_all(&bundle).unwrap();
        let text = r#"{"ociVersion":"1.0.2","annotations":{"podvisor/stop-signal":"3",
                       "podvisor/image-id":"sha256:1"}}"#;
        fs::write(bundle.join("config.json"), text).unwrap();
        let noted = Noted::read(&folder, "u.a.0");
        assert_eq!((noted.stop_signal(), noted.image_id()), (3, Some("sha256:1")));
        let nothing = Noted::read(&folder, "u.a.1");
        assert_eq!((nothing.stop_signal(), nothing.image_id()), (TERMINATE, None));
    }

    #[test]
    fn logs_of_old_attempts_go() {
        let folder = scope::Folder::new("logs");
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
    }

    #[test]
    fn a_missing_image_says_how_to_bring_it_in() {
        let missing = image::Error::MissingImage { name: "web".into(), near: Vec::new() };
        let (reason, words) = image_failure(&missing);
        assert_eq!(reason, Reason::ErrImageNeverPull);
        assert!(words.contains("web") && words.contains("podvisor load"), "{words}");
    }
}
