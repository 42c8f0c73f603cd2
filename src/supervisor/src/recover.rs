//! From the database and what runs to a world: the first thing a supervisor does.
//!
//! After a reboot nothing of before runs: times begin anew and folders of pods are stale. Otherwise
//! every folder of a pod that is wanted is adopted, all at the same time; one that nobody wants is
//! removed. When the database was lost, the pods themselves say what they are.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use oci::IdRange;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::event::EventLog;
use crate::link::Subject;
use crate::naming;
use crate::ports;
use crate::serve::{Orphan, Supervisor};
use crate::store::{Saved, SavedPod};
use crate::tools::Tools;
use crate::volumes::{self, Keep, Roots};
use crate::world::{DeploymentEntry, PodEntry, Sandbox, World};

/// File in a pod's folder that says what the pod is.
const POD_FILE: &str = "pod.json";

/// Makes the world of what was saved and what is there.
///
/// # Errors
/// [`Error::File`]: the folder of pods cannot be read.
pub(crate) fn world(tools: &Tools, saved: Saved, lost: bool) -> Result<World, Error> {
    let now = sys::clock::boot_ms();
    let rebooted = saved.boot_id.as_ref().is_some_and(|id| *id != tools.host.boot_id);
    let known = saved.boot_id.is_some();
    let mut world = World {
        // Higher than that of any supervisor before.
        version: crate::host::unix_ms(),
        events: EventLog::new(saved.events),
        wall_offset_ms: crate::host::wall_offset_ms(),
        ..World::default()
    };
    if rebooted || !known {
        world.unsaved.boot_id = Some(tools.host.boot_id.clone());
    }
    let folders = folders(tools, rebooted)?;
    let (mut saved_pods, mut addresses) = (saved.pods, saved.addresses);
    if lost {
        let unknown = folders.iter().filter(|uid| saved_pods.iter().all(|p| p.uid != **uid));
        let told: Vec<Told> =
            unknown.filter_map(|uid| told(&tools.options.paths.pod(uid), uid)).collect();
        for Told { pod, address } in told {
            world.unsaved.pods.insert(pod.uid.clone());
            world.unsaved.addresses.insert(pod.uid.clone());
            addresses.extend(address.map(|address| (pod.uid.clone(), address)));
            saved_pods.push(pod);
        }
    }
    for mut pod in saved_pods {
        if rebooted {
            pod.memory.after_reboot(now);
            pod.created_at = now;
            world.unsaved.pods.insert(pod.uid.clone());
        }
        // A sandbox has an address. Without one there is none, but maybe volumes of the one before.
        let of_host = pod.pod.spec.host_network == Some(true);
        let there = folders.contains(&pod.uid) && (of_host || addresses.contains_key(&pod.uid));
        let sandbox = if there { Sandbox::Unknown } else { Sandbox::Absent };
        let version = world.version;
        let entry = PodEntry { version, ..PodEntry::new(pod, sandbox, now) };
        world.pods.insert(entry.uid.clone(), entry);
    }
    for mut deployment in saved.deployments {
        if rebooted {
            deployment.memory.after_reboot(now);
            world.unsaved.deployments.insert(deployment.uid.clone());
        }
        let version = world.version;
        let entry = DeploymentEntry { version, ..DeploymentEntry::new(deployment) };
        world.deployments.insert(entry.uid.clone(), entry);
    }
    world.secrets = saved.secrets.into_iter().map(|saved| (saved.uid.clone(), saved)).collect();
    give_addresses(&mut world, addresses);
    Ok(world)
}

/// Addresses of sandboxes that are there; the others are free.
fn give_addresses(world: &mut World, saved: BTreeMap<String, Ipv4Addr>) {
    for (uid, address) in saved {
        let there = |entry: &PodEntry| matches!(entry.sandbox, Sandbox::Unknown);
        if world.pods.get(&uid).is_some_and(there) {
            world.last_address = world.last_address.max(Some(address));
            world.addresses.insert(uid, address);
        } else {
            world.unsaved.addresses.insert(uid);
        }
    }
}

/// Uids of pods that have a folder; after a reboot the folders go, for nothing lives in them.
fn folders(tools: &Tools, rebooted: bool) -> Result<Vec<String>, Error> {
    let path = tools.options.paths.pods();
    let failed = |source| Error::File { action: "read", path: path.clone(), source };
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut uids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Ok(uid) = entry.file_name().into_string() else { continue };
        if rebooted {
            // What cannot be removed is adopted or removed like any other.
            let disk_dir = tools.options.paths.volumes_of(&uid);
            let roots = Roots { pod_dir: &entry.path(), disk_dir: &disk_dir };
            let cleared = volumes::remove(&roots, Keep::OnDisk).is_ok();
            if cleared && fs::remove_dir_all(entry.path()).is_ok() {
                continue;
            }
        }
        uids.push(uid);
    }
    Ok(uids)
}

/// What a pod's own folder says of it.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    pod: SavedPod,
    address: Option<Ipv4Addr>,
}

/// Reads it. The pod's Deployment was lost with the database.
fn told(pod_dir: &Path, uid: &str) -> Option<Told> {
    let text = fs::read(pod_dir.join(POD_FILE)).ok()?;
    let mut told: Told = serde_json::from_slice(&text).ok()?;
    told.pod.pod.metadata.owner_references.clear();
    (told.pod.uid == uid).then_some(told)
}

/// The ids that a pod has by its folder, whoever knows it.
pub(crate) fn ids_of(pod_dir: &Path, uid: &str) -> Option<IdRange> {
    told(pod_dir, uid).and_then(|told| told.pod.ids)
}

impl Supervisor {
    /// Takes over what runs, and removes what nobody wants.
    pub(crate) async fn adopt_all(&mut self) {
        let wanted = |(uid, entry): (&String, &PodEntry)| {
            let address = *self.world.addresses.get(uid)?;
            let there = matches!(entry.sandbox, Sandbox::Unknown) && !entry.host_network();
            let ports = ports::wanted(&entry.pod, uid, address).ok()?;
            there.then(|| (uid.clone(), entry.pod.metadata.name.clone(), ports))
        };
        let published: Vec<_> =
            self.world.pods.iter().filter_map(wanted).filter(|(.., p)| !p.is_empty()).collect();
        let restored =
            self.tools.blocking(move |tools| tools.ports.restore(&tools.network, published));
        let failures = restored.await;
        let unknown = |entry: &&PodEntry| matches!(entry.sandbox, Sandbox::Unknown);
        let uids: Vec<String> =
            self.world.pods.values().filter(unknown).map(|entry| entry.uid.clone()).collect();
        if let (Some(words), Some(uid)) = (failures.first(), uids.first()) {
            let about = self.world.pods[uid].about();
            self.world.note(&about, true, "FailedPublish", words);
        }
        for uid in uids {
            self.begin_adoption(&uid, 0);
        }
        let mut found = folders(&self.tools, false).unwrap_or_default();
        // Volumes may hold what somebody wants back: not while it is unknown whose they are.
        if self.salvage.is_none() {
            found.extend(volumes_of_pods(&self.tools.options.paths.volumes()));
        }
        found.sort();
        found.dedup();
        for uid in found {
            if !self.world.pods.contains_key(&uid) {
                self.orphans.insert(uid.clone(), Orphan::default());
                self.remove_orphan(uid, Duration::ZERO);
            }
        }
        let known: Vec<String> = self.world.pods.keys().cloned().collect();
        self.tools.blocking(move |tools| release_strangers(tools, &known)).await;
    }

    /// Whether every sandbox that was found has been adopted, or given up.
    pub(crate) fn has_adopted_all(&self) -> bool {
        !self.world.pods.values().any(|entry| matches!(entry.sandbox, Sandbox::Unknown))
    }
}

/// Uids of pods that have emptyDirs on disk.
fn volumes_of_pods(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| naming::is_uid(name)).collect()
}

/// Releases image folders of containers whose pod is known to nobody.
fn release_strangers(tools: &Tools, known: &[String]) {
    let containers = tools.options.paths.root.join("containers");
    for entry in fs::read_dir(containers).into_iter().flatten().flatten() {
        let Ok(id) = entry.file_name().into_string() else { continue };
        let Some((uid, _)) = id.split_once('.') else { continue };
        let there = tools.options.paths.pod(uid).exists();
        if naming::is_uid(uid) && !there && !known.iter().any(|one| one == uid) {
            // One that stays is tried again at the next start.
            let _ = tools.images.release(&id);
        }
    }
}

/// Writes down what a pod is, in its own folder.
///
/// # Errors
/// The file's.
pub(crate) fn write_pod(subject: &Subject, address: Option<Ipv4Addr>) -> std::io::Result<()> {
    let Subject { uid, pod, pod_dir, .. } = subject;
    let pod = SavedPod {
        uid: uid.clone(),
        pod: pod.as_ref().clone(),
        owner: None,
        template_hash: None,
        created_at: sys::clock::boot_ms(),
        created_unix_ms: crate::host::unix_ms(),
        memory: pod::PodMemory::default(),
        ids: subject.ids,
    };
    monitor::record::write(&pod_dir.join(POD_FILE), &Told { pod, address })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Options, Paths};
    use serde_json::json;

    const UID: &str = "00000000-0000-4000-8000-000000000001";
    const GONE: &str = "00000000-0000-4000-8000-000000000002";

    fn tools(top: &scope::Folder) -> Tools {
        let at = |name: &str| top.join(name);
        let paths = Paths { root: at("root"), state: at("state"), log_dir: at("log") };
        fs::create_dir_all(paths.pod(UID)).unwrap();
        let (sender, _) = tokio::sync::mpsc::unbounded_channel();
        Tools::open(Options::new(paths), sender).unwrap()
    }

    fn pod(uid: &str) -> SavedPod {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": uid, "uid": uid},
            "spec": {"containers": [{"name": "a", "image": "i:1"}]},
        });
        let memory = pod::PodMemory { started_at: Some(u64::MAX), ..Default::default() };
        SavedPod {
            uid: uid.to_owned(),
            pod: serde_json::from_value(pod).unwrap(),
            owner: None,
            template_hash: None,
            created_at: 1,
            created_unix_ms: 1,
            memory,
            ids: None,
        }
    }

    fn saved(boot_id: &str) -> Saved {
        let address = |last| Ipv4Addr::new(10, 77, 0, last);
        let addresses = [(UID.to_owned(), address(2)), (GONE.to_owned(), address(3))];
        Saved {
            boot_id: Some(boot_id.to_owned()),
            pods: vec![pod(UID), pod(GONE)],
            addresses: addresses.into(),
            ..Saved::default()
        }
    }

    #[test]
    fn what_runs_is_looked_for_and_what_is_gone_is_free() {
        let folder = scope::Folder::new("same-boot");
        let tools = tools(&folder);
        let world = world(&tools, saved(&tools.host.boot_id), false).unwrap();
        assert!(matches!(world.pods[UID].sandbox, Sandbox::Unknown));
        assert!(matches!(world.pods[GONE].sandbox, Sandbox::Absent));
        assert_eq!(world.addresses.keys().collect::<Vec<_>>(), [UID]);
        assert!(world.unsaved.addresses.contains(GONE) && world.unsaved.pods.is_empty());
    }

    #[test]
    fn after_a_reboot_nothing_lives_and_times_begin_anew() {
        let folder = scope::Folder::new("reboot");
        let tools = tools(&folder);
        let world = world(&tools, saved("another boot"), false).unwrap();
        assert!(world.pods.values().all(|pod| matches!(pod.sandbox, Sandbox::Absent)));
        assert!(world.pods[UID].memory.started_at.unwrap() < u64::MAX);
        assert!(world.addresses.is_empty() && !tools.options.paths.pod(UID).exists());
        assert_eq!(world.unsaved.boot_id.as_ref(), Some(&tools.host.boot_id));
        assert_eq!(world.unsaved.pods.len(), 2);
    }

    #[test]
    fn a_lost_database_is_made_up_for_by_the_pods() {
        let folder = scope::Folder::new("lost");
        let tools = tools(&folder);
        let subject = tools.subject(UID, &std::sync::Arc::new(pod(UID).pod), None);
        let address = Ipv4Addr::new(10, 77, 0, 9);
        write_pod(&subject, Some(address)).unwrap();
        let nothing = world(&tools, Saved::default(), false).unwrap();
        assert!(nothing.pods.is_empty(), "a folder that nobody wants is none of ours");
        let world = world(&tools, Saved::default(), true).unwrap();
        assert!(matches!(world.pods[UID].sandbox, Sandbox::Unknown));
        assert_eq!(world.addresses[UID], address);
        assert!(world.unsaved.pods.contains(UID) && world.unsaved.addresses.contains(UID));
    }
}
