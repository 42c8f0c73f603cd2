//! Removing a sandbox whose monitor cannot be started any more: by records, pins and cgroups.
//!
//! What a living monitor does better is left to it. Processes are killed by pid *and* start time,
//! and by what the pod's own cgroup holds; nothing else is touched.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use monitor::record::{self, Member};
use monitor::sandbox_config::{IDENTITY_FILE, Identity};
use sys::pin::Kind;

use crate::options::Options;

/// Longest wait for killed processes to leave their cgroup.
const DEADLINE: Duration = Duration::from_secs(5);
/// Pause between two looks.
const STEP: Duration = Duration::from_millis(20);

const KILL: i32 = 9;

/// Kills and removes what there may be; every step that failed, in words.
pub(super) fn clear(options: &Options, uid: &str, pod_dir: &Path) -> Vec<String> {
    let mut failed = Vec::new();
    for (pid, start_time) in recorded(pod_dir) {
        if let Ok(Some(pidfd)) = sys::children::open(pid, start_time) {
            // One that has just ended needs no signal.
            let _ = sys::children::signal(pidfd.as_fd(), KILL);
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchies = hierarchies(&mounts);
    let name = options.pod_cgroup(uid);
    failed.extend(empty_cgroups(&hierarchies, &name).err());
    for kind in [Kind::Net, Kind::Ipc, Kind::Uts, Kind::Pid, Kind::User] {
        let pin = pod_dir.join("ns").join(kind.name());
        if let Err(error) = sys::pin::unpin(&pin)
            && error.kind() != ErrorKind::NotFound
        {
            failed.push(format!("unpin {}: {error}", pin.display()));
        }
    }
    failed.extend(forget_runtime(&options.paths.runtime(), uid));
    failed
}

/// Removes the empty cgroups above the pods: for a host that is to be left as it was.
pub(crate) fn remove_cgroup_parents(options: &Options) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let above = options.cgroup_above();
    for hierarchy in hierarchies(&mounts) {
        let folder = hierarchy.join(above.trim_start_matches('/'));
        // rmdir takes what is empty only; what is not is somebody else's.
        let _ = fs::remove_dir(folder.join("monitors"));
        let depth = above.matches('/').count();
        for folder in folder.ancestors().take(depth) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether a container of the pod lives, as the monitor wrote it down.
pub(crate) fn lives(pod_dir: &Path) -> bool {
    let alive = |(pid, start_time)| matches!(sys::children::open(pid, start_time), Ok(Some(_)));
    members(pod_dir).into_iter().any(alive)
}

/// Pids and start times of the containers' first processes.
fn members(pod_dir: &Path) -> Vec<(i32, u64)> {
    let ids = record::member_ids(pod_dir).unwrap_or_default();
    let read = |id: &String| {
        let member = record::read::<Member>(&record::member_path(pod_dir, id));
        member.ok().flatten().map(|member| (member.pid, member.start_time))
    };
    ids.iter().filter_map(read).collect()
}

/// Pids and start times that the monitor wrote down, its own among them.
fn recorded(pod_dir: &Path) -> Vec<(i32, u64)> {
    let mut found = members(pod_dir);
    if let Ok(Some(identity)) = record::read::<Identity>(&pod_dir.join(IDENTITY_FILE)) {
        found.push((identity.pid, identity.start_time));
        found.extend(identity.pid1);
    }
    found
}

/// Mount points of all cgroup hierarchies.
fn hierarchies(mountinfo: &str) -> BTreeSet<PathBuf> {
    let of_line = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let kind = kind.split(' ').next()?;
        let point = place.split(' ').nth(4)?;
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(point))
    };
    mountinfo.lines().filter_map(of_line).collect()
}

/// Kills what is in a cgroup and below, and removes the folders, deepest first.
fn empty_cgroups(hierarchies: &BTreeSet<PathBuf>, name: &str) -> Result<(), String> {
    let deadline = Instant::now() + DEADLINE;
    for hierarchy in hierarchies {
        let folder = hierarchy.join(name.trim_start_matches('/'));
        loop {
            kill_below(&folder);
            match remove_below(&folder) {
                Ok(()) => break,
                Err(error) if Instant::now() >= deadline => {
                    return Err(format!("remove cgroup {}: {error}", folder.display()));
                }
                Err(_) => sys::teardown::until(Instant::now() + STEP),
            }
        }
    }
    Ok(())
}

fn kill_below(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())) {
        kill_below(&entry.path());
    }
    // cgroup.kill is there on v2 since Linux 5.14; the processes one by one do it everywhere.
    let _ = fs::write(folder.join("cgroup.kill"), "1");
    let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.parse::<i32>().ok()) {
        if let Ok(pidfd) = sys::teardown::open_process(pid) {
            let _ = sys::teardown::signal_process(pidfd.as_fd(), KILL);
        }
    }
}

fn remove_below(folder: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_below(&entry.path())?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the runtime's state of a pod's containers.
fn forget_runtime(root: &Path, uid: &str) -> Vec<String> {
    let prefix = format!("{uid}.");
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let ours = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)));
    ours.filter_map(|entry| fs::remove_dir_all(entry.path()).err())
        .map(|error| format!("remove the runtime's state: {error}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_among_the_mounts() {
        let text = "25 1 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                    26 25 0:24 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw\n\
                    27 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\nbroken\n";
        let found: Vec<PathBuf> = hierarchies(text).into_iter().collect();
        assert_eq!(
            found,
            [Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup/unified")]
        );
    }

    #[test]
    fn what_is_not_there_is_fine() {
        let nowhere = Path::new("/no/such/folder");
        assert!(recorded(nowhere).is_empty() && !lives(nowhere));
        assert!(forget_runtime(nowhere, "u").is_empty());
        assert!(remove_below(nowhere).is_ok());
        kill_below(nowhere);
    }
}
