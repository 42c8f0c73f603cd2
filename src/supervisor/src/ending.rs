//! The end of a supervisor: pods go on without it, or everything is taken down.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pod::Reason;

use crate::error::{Error, chain, with_hint};
use crate::lock::StateLock;
use crate::serve::Supervisor;
use crate::store;
use crate::tools::Tools;
use crate::{act, world};

/// Longest wait for the processes of monitors that have said good-bye.
const MONITORS_WAIT: Duration = Duration::from_secs(3);
/// Pause between two looks at them.
const STEP: Duration = Duration::from_millis(5);

/// Ends it and tells those who asked.
///
/// # Errors
/// [`Error::Left`].
pub(crate) async fn end(mut supervisor: Supervisor, lock: StateLock) -> Result<(), Error> {
    let ending = supervisor.ending.take().unwrap_or_default();
    if !ending.keep_objects {
        supervisor.save_all().await;
    }
    while supervisor.chores.join_next().await.is_some() {}
    let mut left = supervisor.leftovers();
    // Records that could not be read are kept for whoever can.
    let keep = ending.keep_objects || supervisor.salvage.is_some() || !left.is_empty();
    let tools = Arc::clone(&supervisor.tools);
    // The database is closed before somebody else takes the lock, or its file goes.
    drop(supervisor);
    if ending.leave {
        left.clear();
        drop(lock);
    } else {
        let all_gone = left.is_empty();
        left.extend(take_down(&tools, all_gone, keep).await);
        lock.remove();
    }
    for reply in ending.replies {
        let answer = if left.is_empty() { Ok(()) } else { Err(Error::Left { left: left.clone() }) };
        // Whoever asked may have gone.
        let _ = reply.send(answer);
    }
    if left.is_empty() { Ok(()) } else { Err(Error::Left { left }) }
}

impl Supervisor {
    /// What could not be removed of pods, in words.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let pods = self.world.pods.values().filter_map(|entry| {
            let problem = entry.memory.sandbox.problem.as_ref()?;
            let is = problem.reason == Reason::KillPodSandboxError;
            is.then(|| format!("pod {}: {}", entry.pod.metadata.name, problem.message))
        });
        let orphans = self.orphans.iter().filter(|(_, orphan)| orphan.failures > 0);
        let orphans = orphans.map(|(uid, orphan)| format!("pod {uid}: {}", orphan.words));
        pods.chain(orphans).collect()
    }

    /// Writes everything a last time: from now on objects go in memory alone.
    pub(crate) async fn seal(&mut self) {
        for memory in self.world.pods.values_mut().flat_map(|p| p.memory.containers.values_mut()) {
            // Being stopped in order is no crash: the next start needs no back-off.
            memory.crashes = 0;
        }
        self.save_all().await;
        self.storage_retry_at = None;
        if let Some(ending) = &mut self.ending {
            ending.keep_objects = true;
        }
    }

    /// Writes everything, also what would do without.
    async fn save_all(&mut self) {
        let world = &mut self.world;
        let pods = world.pods.values().filter(|entry| entry.memory != entry.durable);
        let uids: Vec<String> = pods.map(|entry| entry.uid.clone()).collect();
        let world::Unsaved { pods, events_since, .. } = &mut world.unsaved;
        pods.extend(uids);
        if events_since.is_some() {
            *events_since = Some(0);
        }
        self.storage_retry_at = None;
        // What cannot be written now is found out again by the next supervisor.
        self.save(sys::clock::boot_ms()).await;
    }
}

/// Removes what is left when every pod has gone: network, folders, cgroups; what could not be, in
/// words.
async fn take_down(tools: &Arc<Tools>, all_gone: bool, keep_database: bool) -> Vec<String> {
    let deadline = Instant::now() + MONITORS_WAIT;
    while tools.children.reap() > 0 && Instant::now() < deadline {
        tokio::time::sleep(STEP).await;
    }
    let removed = tools.blocking(move |tools| {
        let mut left = Vec::new();
        if let Err(error) = tools.network.teardown() {
            left.push(with_hint(chain(&error), error.hint()));
        }
        act::remove_cgroup_parents(&tools.options);
        let paths = &tools.options.paths;
        // Where it is not empty, volumes are kept in it.
        let _ = fs::remove_dir(paths.volumes());
        let folders = [paths.pods(), paths.runtime()];
        for folder in folders.into_iter().filter(|_| all_gone) {
            left.extend(removed(&folder, fs::remove_dir_all(&folder)));
        }
        if !keep_database {
            let file = paths.root.join(store::FILE_NAME);
            left.extend(removed(&file, fs::remove_file(&file)));
        }
        left
    });
    removed.await
}

fn removed(path: &Path, result: std::io::Result<()>) -> Option<String> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Some(format!("remove {}: {error}", path.display()))
        }
        _ => None,
    }
}
