//! Making, adopting and removing a pod's sandbox.
//!
//! The steps of making: folder and volumes, ports, `sandbox.json`, monitor (which makes cgroup and
//! namespaces), network, the pod's `/etc` files. Each finds what is there, so adopting a sandbox is
//! the same as making it, and a half-made one is completed. Removal goes the other way, tries every
//! step and tells all that failed.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use monitor::protocol::{RecordState, Request, Response};
use monitor::sandbox_config::SANDBOX_FILE;
use net::Attachment;
use tokio::time::timeout;

use super::{Job, launch, wreck};
use crate::error::{chain, with_hint};
use crate::link::{self, Subject, Subscribed};
use crate::talk::Talk;
use crate::tools::Tools;
use crate::volumes::{self, Keep, Roots};
use crate::{bundle, pod_files, ports, recover};

/// Longest wait for killed containers to end.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for a monitor to take its pod's surroundings down.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(20);

const KILL: i32 = 9;

/// Makes a sandbox. A failure leaves nothing of it, or says what is left.
///
/// # Errors
/// The step that failed, in words.
pub(super) async fn create(tools: &Arc<Tools>, job: &Job) -> Result<Subscribed, String> {
    // The semaphore is never closed.
    let _permit = tools.starting.acquire().await;
    match raise(tools, &job.subject, job.address).await {
        Ok(subscribed) => Ok(subscribed),
        Err(words) => match dismantle(tools, job.uid(), Keep::All).await {
            Ok(()) => Err(words),
            Err(left) => Err(format!("{words}; and it could not be undone: {left}")),
        },
    }
}

/// Takes over a sandbox that is there, or half there.
///
/// # Errors
/// The step that failed, in words; nothing was removed.
pub(crate) async fn adopt(
    tools: &Arc<Tools>,
    subject: &Subject,
    address: Option<Ipv4Addr>,
) -> Result<Subscribed, String> {
    let _permit = tools.starting.acquire().await;
    raise(tools, subject, address).await
}

async fn raise(
    tools: &Arc<Tools>,
    subject: &Subject,
    address: Option<Ipv4Addr>,
) -> Result<Subscribed, String> {
    let ground = subject.clone();
    tools.blocking(move |tools| lay_ground(tools, &ground, address)).await?;
    // A monitor that has just been started says itself when it serves.
    if let Err(error) = Talk::open(&subject.pod_dir).await {
        if !error.is_absence() {
            return Err(chain(&error));
        }
        launch::monitor(tools, &subject.pod_dir).await?;
    }
    let furnished = subject.clone();
    tools.blocking(move |tools| connect(tools, &furnished, address)).await?;
    link::subscribe(subject).await.map_err(|error| chain(&error))
}

/// What has to be there before the monitor.
fn lay_ground(tools: &Tools, subject: &Subject, address: Option<Ipv4Addr>) -> Result<(), String> {
    let Subject { uid, pod, pod_dir, .. } = subject;
    let name = &pod.metadata.name;
    if let Some(address) = address {
        let wanted = ports::wanted(pod, uid, address)?;
        tools.ports.claim(&tools.network, (uid, name), wanted)?;
    }
    let config = pod_dir.join(SANDBOX_FILE);
    if config.exists() {
        return Ok(());
    }
    volumes::prepare(pod, &Roots::of(subject))
        .map_err(|error| with_hint(chain(&error), error.hint()))?;
    recover::write_pod(subject, address)
        .map_err(|error| format!("write to {}: {error}", pod_dir.display()))?;
    let options = &tools.options;
    let mut sandbox = bundle::sandbox(pod, uid, &tools.host.node_name, options);
    sandbox.ids = subject.ids;
    if let Some(resources) = &mut sandbox.resources {
        tools.host.fit(resources, false);
    }
    // Last: where it is, all before it is.
    monitor::record::write(&config, &sandbox)
        .map_err(|error| format!("write {}: {error}", config.display()))
}

/// What needs the namespaces that the monitor has made.
fn connect(tools: &Tools, subject: &Subject, address: Option<Ipv4Addr>) -> Result<(), String> {
    let Subject { uid, pod, pod_dir, .. } = subject;
    if let Some(address) = address {
        let netns = pod_dir.join("ns").join(sys::pin::Kind::Net.name());
        let attachment = Attachment { uid: uid.clone(), netns, address };
        let attached = tools.network.attach(&attachment);
        attached.map_err(|error| with_hint(chain(&error), error.hint()))?;
    }
    let ip = address.or(tools.host.address);
    let written = pod_files::write(pod, pod_dir, ip, &tools.host.node_name);
    written.map(drop).map_err(|error| format!("write the pod's /etc files: {error}"))
}

/// Removes everything of a pod but its logs and the volumes to be kept: what runs, namespaces,
/// cgroups, network, volumes, container folders. Works on half-made ones, without a monitor, and
/// twice.
///
/// # Errors
/// Every step that failed, in words; the others were done.
pub(crate) async fn dismantle(tools: &Arc<Tools>, uid: &str, keep: Keep) -> Result<(), String> {
    let pod_dir = tools.options.paths.pod(uid);
    let mut failed = Vec::new();
    let talk = reach(tools, &pod_dir, &mut failed).await;
    let owned = uid.to_owned();
    match talk {
        Some(talk) => {
            let talk = silence(&pod_dir, talk, &mut failed).await;
            failed.extend(tools.blocking(move |tools| disconnect(tools, &owned)).await);
            if let Some(talk) = talk {
                shut_down(talk, &mut failed).await;
            }
        }
        None => {
            let folder = pod_dir.clone();
            let left = tools.blocking(move |tools| {
                let mut failed: Vec<String> = disconnect(tools, &owned).into_iter().collect();
                failed.extend(wreck::clear(&tools.options, &owned, &folder));
                failed
            });
            let left = left.await;
            if left.is_empty() {
                // Without a monitor, but everything is gone.
                failed.clear();
            }
            failed.extend(left);
        }
    }
    if failed.is_empty() {
        let owned = uid.to_owned();
        failed = tools.blocking(move |tools| clear_away(tools, &owned, keep)).await;
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// A connection to the pod's monitor, which is started if it has died. None where there never was
/// one, or where none can be started any more.
async fn reach(tools: &Arc<Tools>, pod_dir: &Path, failed: &mut Vec<String>) -> Option<Talk> {
    match Talk::open(pod_dir).await {
        Ok(talk) => return Some(talk),
        Err(error) if error.is_absence() => {}
        Err(error) => {
            failed.push(chain(&error));
            return None;
        }
    }
    if !pod_dir.join(SANDBOX_FILE).exists() {
        return None;
    }
    if let Err(words) = launch::monitor(tools, pod_dir).await {
        failed.push(words);
        return None;
    }
    match Talk::open(pod_dir).await {
        Ok(talk) => Some(talk),
        Err(error) => {
            failed.push(chain(&error));
            None
        }
    }
}

/// Kills what runs and waits for its end.
async fn silence(pod_dir: &Path, mut talk: Talk, failed: &mut Vec<String>) -> Option<Talk> {
    let listed = match talk.subscribe().await {
        Ok(listed) => listed,
        Err(error) => {
            failed.push(chain(&error));
            return None;
        }
    };
    let mut alive: Vec<String> = listed
        .into_iter()
        .filter(|record| record.state == RecordState::Running)
        .map(|record| record.id)
        .collect();
    if !alive.is_empty() {
        // Answers and events do not go well together: one connection each.
        match Talk::open(pod_dir).await {
            Ok(mut orders) => {
                for id in &alive {
                    let kill = Request::Kill { id: id.clone(), signal: KILL, all: true };
                    // What could not be killed is told when it does not end.
                    let _ = orders.ask(&kill, KILL_WAIT).await;
                }
            }
            Err(error) => failed.push(chain(&error)),
        }
        let ended = timeout(KILL_WAIT, async {
            while !alive.is_empty() {
                match talk.next_event().await {
                    Ok(record) if record.state != RecordState::Running => {
                        alive.retain(|id| *id != record.id);
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        if ended.await.is_err() || !alive.is_empty() {
            failed.push(format!("{} did not end when killed", alive.join(", ")));
            return None;
        }
    }
    Talk::open(pod_dir).await.map_err(|error| failed.push(chain(&error))).ok()
}

async fn shut_down(mut talk: Talk, failed: &mut Vec<String>) {
    match talk.ask(&Request::Shutdown, SHUTDOWN_WAIT).await {
        Ok(Response::Ok) => {
            // Its process goes with the connection.
            let _ = timeout(SHUTDOWN_WAIT, talk.closed()).await;
        }
        Ok(Response::Error { message, .. }) => failed.push(message),
        Ok(other) => failed.push(chain(&crate::talk::unexpected(other))),
        Err(error) => failed.push(chain(&error)),
    }
}

/// Takes a pod off the network and lets its ports go.
fn disconnect(tools: &Tools, uid: &str) -> Option<String> {
    let released = tools.ports.release(&tools.network, uid);
    released.err().map(|error| with_hint(chain(&error), error.hint()))
}

/// Removes what lies on disks.
fn clear_away(tools: &Tools, uid: &str, keep: Keep) -> Vec<String> {
    let paths = &tools.options.paths;
    let (pod_dir, disk_dir) = (paths.pod(uid), paths.volumes_of(uid));
    let mut failed = release_images(tools, uid);
    if let Err(error) = volumes::remove(&Roots { pod_dir: &pod_dir, disk_dir: &disk_dir }, keep) {
        failed.push(chain(&error));
    } else if let Err(error) = volumes::remove_folder(&pod_dir) {
        failed.push(format!("remove {}: {error}", pod_dir.display()));
    }
    failed
}

/// Releases the image folders of all containers of a pod.
fn release_images(tools: &Tools, uid: &str) -> Vec<String> {
    let prefix = format!("{uid}.");
    let containers = tools.options.paths.root.join("containers");
    let Ok(entries) = fs::read_dir(&containers) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let ours: Vec<String> = names.filter(|name| name.starts_with(&prefix)).collect();
    ours.iter()
        .filter_map(|id| tools.images.release(id).err())
        .map(|error| with_hint(chain(&error), error.hint()))
        .collect()
}
