//! `linux.intelRdt`: the container's group in the resctrl file system, and its monitoring group.
//!
//! The group is the folder that `closID` names, or one of the container's id. What this runtime
//! has made is removed with the container; a named one only when nobody is in it any more, for
//! containers may share it. The plan of it is in the state before any of it is made.
//! Sources: runtime-spec config-linux.md "IntelRdt", Documentation/filesystems/resctrl.rst.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use oci::runtime::{LinuxIntelRdt, Spec};
use serde::{Deserialize, Serialize};

use crate::Runtime;
use crate::error::{Error, Result};
use crate::lifecycle::Operation;
use crate::store::CLAIM_WITHIN;

mod usage;

pub(crate) use usage::Usage;

/// The default group: the root of the file system.
const DEFAULT: &str = "/";

/// The group of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Where the file system is mounted.
    root: PathBuf,
    /// Its folder.
    path: PathBuf,
    /// It was not there before.
    made: bool,
    /// `closID` names it: others may be in it.
    named: bool,
    /// The container's own monitoring group.
    monitor: Option<PathBuf>,
}

/// What the document asks for.
fn asked(spec: &Spec) -> Option<&LinuxIntelRdt> {
    spec.linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref())
}

/// The group that a container of this document is to be in; nothing is made yet.
pub(crate) fn plan(spec: &Spec, id: &str) -> Result<Option<Group>> {
    asked(spec).map(|rdt| plan_in(&mounted()?, rdt, id)).transpose()
}

fn mounted() -> Result<PathBuf> {
    let mounts = sys::kernel_file::read("/proc/self/mountinfo");
    let mounts = mounts.map_err(Error::io("read", "/proc/self/mountinfo"))?;
    let problem = || Error::NoResctrl { field: "linux.intelRdt" };
    mount_point(&mounts).ok_or_else(problem)
}

/// Where resctrl is mounted, by the lines of mountinfo.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, system) = line.split_once(" - ")?;
        let is_it = system.split(' ').next() == Some("resctrl");
        is_it.then(|| place.split(' ').nth(4)).flatten().map(PathBuf::from)
    })
}

fn plan_in(root: &Path, rdt: &LinuxIntelRdt, id: &str) -> Result<Group> {
    let named = rdt.clos_id().as_deref().filter(|name| !name.is_empty());
    let path = match named {
        Some(DEFAULT) => root.to_owned(),
        name => root.join(name.unwrap_or(id)),
    };
    let there = path.is_dir();
    let lines = schemas(rdt);
    if let (Some(name), false, true) = (named, there, lines.is_empty()) {
        let problem = format!("{name:?}: there is no such group, and no schema to make it with");
        return Err(Error::Rdt { field: "closID", problem });
    }
    if let (Some(name), true) = (named, there && !lines.is_empty()) {
        compare(&path, name, rdt)?;
    }
    let monitor =
        (*rdt.enable_monitoring() == Some(true)).then(|| path.join("mon_groups").join(id));
    Ok(Group { root: root.to_owned(), path, made: !there, named: named.is_some(), monitor })
}

/// The lines for the group's `schemata`, in the order that the specification gives.
fn schemas(rdt: &LinuxIntelRdt) -> Vec<&str> {
    let mut all = old_schemas(rdt.l3_cache_schema().as_deref(), rdt.mem_bw_schema().as_deref());
    all.extend(rdt.schemata().iter().flatten().map(String::as_str));
    all
}

/// Those of the two fields; memory bandwidth is memBwSchema's where both have it.
fn old_schemas<'a>(cache: Option<&'a str>, bandwidth: Option<&'a str>) -> Vec<&'a str> {
    let bandwidth = bandwidth.filter(|text| !text.is_empty());
    let cache = cache.unwrap_or_default().lines().filter(|line| !line.trim().is_empty());
    let kept = cache.filter(|line| bandwidth.is_none() || !line.trim().starts_with("MB:"));
    kept.chain(bandwidth).collect()
}

/// A group that is there already must have what the two fields say.
fn compare(path: &Path, name: &str, rdt: &LinuxIntelRdt) -> Result<()> {
    let wanted = old_schemas(rdt.l3_cache_schema().as_deref(), rdt.mem_bw_schema().as_deref());
    if wanted.is_empty() {
        return Ok(());
    }
    let file = path.join("schemata");
    let present = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    match wanted.iter().find(|line| !has(&present, line)) {
        None => Ok(()),
        Some(line) => Err(Error::Rdt {
            field: "closID",
            problem: format!("{name:?}: the group is there, and its schemata have no {line:?}"),
        }),
    }
}

/// Whether the schemata contain all of a line; masks are numbers, so `0f` is `f`.
fn has(present: &str, line: &str) -> bool {
    let entries = |line: &str| -> Option<(String, Vec<(String, String)>)> {
        let (resource, rest) = line.trim().split_once(':')?;
        let one = |entry: &str| {
            let (domain, value) = entry.split_once('=')?;
            let value = value.trim().trim_start_matches('0').to_ascii_lowercase();
            Some((domain.trim().to_owned(), value))
        };
        let all = rest.split(';').map(one).collect::<Option<Vec<_>>>()?;
        Some((resource.trim().to_owned(), all))
    };
    let Some((resource, wanted)) = entries(line) else { return false };
    let found = present.lines().filter_map(entries).find(|(name, _)| *name == resource);
    found.is_some_and(|(_, have)| wanted.iter().all(|entry| have.contains(entry)))
}

impl Group {
    /// A new one for a container that has none.
    fn of_id(root: &Path, id: &str) -> Result<Group> {
        let path = root.join(id);
        if path.is_dir() {
            return Err(Error::Rdt { field: "closID", problem: taken(&path) });
        }
        Ok(Group { root: root.to_owned(), path, made: true, named: false, monitor: None })
    }

    /// Makes what is missing and writes the schemata that the document gives.
    pub(crate) fn make(&self, spec: &Spec) -> Result<()> {
        if !make_folder(&self.path)? && self.made && !self.named {
            return Err(Error::Rdt { field: "closID", problem: taken(&self.path) });
        }
        let lines = asked(spec).map(schemas).unwrap_or_default();
        let monitored = || self.monitor.as_deref().map_or(Ok(true), make_folder);
        let done = self.set(&lines).and_then(|()| monitored());
        if done.is_err() {
            self.remove();
        }
        done.map(drop)
    }

    fn set(&self, lines: &[&str]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let file = self.path.join("schemata");
        put(&file, &format!("{}\n", lines.join("\n"))).map_err(|source| {
            let told = self.root.join("info/last_cmd_status");
            let told = fs::read_to_string(told).unwrap_or_default();
            let why = if told.trim().is_empty() { source.to_string() } else { told };
            let problem = format!("{}: {}", lines.join(", "), why.trim());
            Error::Rdt { field: "schemata", problem }
        })
    }

    /// Moves a process in; what it starts will be there, too.
    pub(crate) fn enter(&self, pid: i32) -> Result<()> {
        for folder in std::iter::once(&self.path).chain(&self.monitor) {
            let file = folder.join("tasks");
            put(&file, &pid.to_string()).map_err(Error::io("write", file))?;
        }
        Ok(())
    }

    /// Removes what was made for the container; what failed, in words.
    pub(crate) fn remove(&self) -> Vec<String> {
        let tasks = || fs::read_to_string(self.path.join("tasks")).unwrap_or_default();
        let goes = self.made && (!self.named || tasks().trim().is_empty());
        let folders = self.monitor.iter().chain(goes.then_some(&self.path));
        let removed = folders.map(|folder| (folder, fs::remove_dir(folder)));
        removed
            .filter_map(|(folder, done)| match done {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Some(format!("remove {}: {error}", folder.display()))
                }
                _ => None,
            })
            .collect()
    }
}

/// Makes a group; `false` when it was there.
fn make_folder(path: &Path) -> Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::io("make resctrl group", path)(error)),
    }
}

fn taken(path: &Path) -> String {
    format!("{}: somebody has made a group of the container's name", path.display())
}

/// One write(2) into a file of the kernel's.
fn put(path: &Path, text: &str) -> std::io::Result<()> {
    File::options().write(true).open(path)?.write_all(text.as_bytes())
}

/// Other schemata for a container that lives; one without a group gets one of its own.
pub(crate) fn update(
    runtime: &Runtime,
    id: &str,
    cache: Option<&str>,
    bandwidth: Option<&str>,
) -> Result<()> {
    let claim = runtime.store.claim(id, Instant::now() + CLAIM_WITHIN)?;
    let mut record = runtime.store.record(id)?;
    runtime.check(&record, &claim.folder, Operation::Cgroup("update"))?;
    let lines = old_schemas(cache, bandwidth);
    if let Some(group) = &record.rdt {
        return group.set(&lines);
    }
    let root = mounted()?;
    let group = Group::of_id(&root, id)?;
    record.rdt = Some(group.clone());
    claim.rewrite(&record)?;
    if !make_folder(&group.path)? {
        record.rdt = None;
        claim.rewrite(&record)?;
        return Err(Error::Rdt { field: "closID", problem: taken(&group.path) });
    }
    group.set(&lines)?;
    record.open_cgroup()?.pids()?.into_iter().try_for_each(|pid| group.enter(pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rdt(document: Value) -> LinuxIntelRdt {
        serde_json::from_value(document).unwrap()
    }

    /// A folder in place of the file system: its files are plain ones.
    fn folder(name: &str) -> scope::Folder {
        let path = scope::Folder::new(name);
        fs::create_dir_all(path.join("gold")).unwrap();
        fs::write(path.join("gold/schemata"), "    MB:0=70;1=20\n    L3:0=0ff;1=00f\n").unwrap();
        fs::write(path.join("gold/tasks"), "").unwrap();
        path
    }

    #[test]
    fn the_mount_is_found() {
        let line = "33 25 0:30 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl rw\n";
        assert_eq!(mount_point(line), Some("/sys/fs/resctrl".into()));
        assert_eq!(mount_point("33 25 0:30 / /resctrl rw - tmpfs tmpfs rw\n"), None);
    }

    #[test]
    fn lines_come_in_the_specifications_order() {
        let all = rdt(json!({"l3CacheSchema": "L3:0=f\nMB:0=10", "memBwSchema": "MB:0=20",
            "schemata": ["L2:0=1", "MB:0=30"]}));
        assert_eq!(schemas(&all), ["L3:0=f", "MB:0=20", "L2:0=1", "MB:0=30"]);
        let all = rdt(json!({"l3CacheSchema": "L3:0=f\nMB:0=10"}));
        assert_eq!(schemas(&all), ["L3:0=f", "MB:0=10"]);
    }

    #[test]
    fn a_named_group_must_be_what_is_asked() {
        let root = folder("named");
        let plan = |document| plan_in(&root, &rdt(document), "c");
        let group = plan(json!({"closID": "gold", "l3CacheSchema": "L3:1=f;0=FF"})).unwrap();
        assert_eq!((group.made, group.named), (false, true));
        for wrong in [
            json!({"closID": "gold", "l3CacheSchema": "L3:0=f"}),
            json!({"closID": "gold", "memBwSchema": "MB:2=70"}),
            json!({"closID": "silver"}),
            json!({"closID": "silver", "enableMonitoring": true}),
        ] {
            assert!(plan(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(plan(json!({"closID": "silver", "schemata": ["L3:0=f"]})).unwrap().made);
    }

    #[test]
    fn groups_of_the_id_and_the_default_one() {
        let root = folder("id");
        let group = plan_in(&root, &rdt(json!({"enableMonitoring": true})), "c").unwrap();
        assert_eq!((group.path.clone(), group.made), (root.join("c"), true));
        assert_eq!(group.monitor, Some(root.join("c/mon_groups/c")));
        let group = plan_in(&root, &rdt(json!({"closID": "/"})), "c").unwrap();
        assert_eq!((group.path, group.made, group.monitor), (root.to_path_buf(), false, None));
    }

    #[test]
    fn what_was_made_goes_and_what_others_use_stays() {
        let root = folder("goes");
        let made = |path: PathBuf, named| Group {
            root: root.to_path_buf(),
            path,
            made: true,
            named,
            monitor: None,
        };
        fs::create_dir(root.join("c")).unwrap();
        assert_eq!(made(root.join("c"), false).remove(), Vec::<String>::new());
        assert!(!root.join("c").exists());
        fs::write(root.join("gold/tasks"), "7\n").unwrap();
        assert_eq!(made(root.join("gold"), true).remove(), Vec::<String>::new());
        assert!(root.join("gold").exists());
    }

    /// Red when `update` takes a group that is there for its own.
    #[test]
    fn a_group_of_somebody_elses_is_not_taken() {
        let root = folder("taken");
        assert!(Group::of_id(&root, "gold").is_err());
        let group = Group::of_id(&root, "c").unwrap();
        fs::create_dir(root.join("c")).unwrap();
        assert!(group.make(&Spec::default()).is_err());
        assert!(root.join("c").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn processes_and_schemata_are_written() {
        let root = folder("writes");
        let group = plan_in(&root, &rdt(json!({"closID": "gold"})), "c").unwrap();
        group.enter(42).unwrap();
        group.set(&["L3:0=1", "MB:0=10"]).unwrap();
        assert_eq!(fs::read_to_string(root.join("gold/tasks")).unwrap(), "42");
        let schemata = fs::read_to_string(root.join("gold/schemata")).unwrap();
        assert!(schemata.starts_with("L3:0=1\nMB:0=10\n"), "{schemata}");
    }
}
