//! What a pod has before its first container: cgroup, pinned namespaces, its shared PID 1.
//!
//! Every step finds what a former monitor left and makes only what is missing, so that starting
//! anew is the same as taking over. Teardown tries everything and collects what failed.
//!
//! The monitor itself lives in `<parent of the pod's cgroup>/monitors`, which all monitors share:
//! it is charged neither to the pod nor to a member, and a service manager that clears the
//! supervisor's cgroup does not reach it.

mod namespaces;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runtime::Runtime;
use runtime::cgroup::{Cgroup, Layout};
use sys::pin::Kind;

use crate::error::{MonitorError, chain};
use crate::record;
use crate::sandbox_config::{IDENTITY_FILE, Identity, SANDBOX_FILE, SOCKET_FILE, SandboxConfig};
use crate::server::complain;
use crate::sysctl;

/// Folder of namespace pins below the pod folder.
pub(crate) const NAMESPACES_FOLDER: &str = "ns";
/// Folder of the containers' FIFOs below the pod folder.
pub(crate) const STREAMS_FOLDER: &str = "io";

/// Name of the lock file in the pod folder.
const LOCK_FILE: &str = "monitor.lock";

/// Longest wait for the end of a killed PID 1, in ms.
const PID1_DEADLINE_MS: u16 = 2000;

/// Tries to enter a cgroup that comes and goes.
const HOME_TRIES: u32 = 8;

/// Longest wait for a cgroup to become empty.
const CGROUP_DEADLINE: Duration = Duration::from_secs(5);

/// The pod's surroundings.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The pod folder.
    pub(crate) pod_dir: PathBuf,
    /// What the supervisor wants.
    pub(crate) config: SandboxConfig,
    /// The runtime that makes the containers.
    pub(crate) runtime: Runtime,
    /// The pod's PID 1 where members share their PID namespace.
    pub(crate) pid1: Option<Pid1>,
    layout: Layout,
    /// Held for as long as the monitor lives: one monitor a pod.
    _lock: File,
}

/// The shared PID 1.
#[derive(Debug)]
pub(crate) struct Pid1 {
    /// Its pid.
    pub(crate) pid: i32,
    /// Its start time in clock ticks since boot.
    pub(crate) start_time: u64,
    /// Its pidfd.
    pub(crate) pidfd: OwnedFd,
}

impl Sandbox {
    /// Reads and checks the pod folder and takes its lock; changes nothing in the kernel.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub(crate) fn open(pod_dir: &Path) -> Result<Sandbox, MonitorError> {
        let path = pod_dir.join(SANDBOX_FILE);
        let config = read_config(&path)?;
        for folder in
            [NAMESPACES_FOLDER, STREAMS_FOLDER, record::EXITS_FOLDER, record::MEMBERS_FOLDER]
        {
            let path = pod_dir.join(folder);
            fs::create_dir_all(&path).map_err(|source| MonitorError::File {
                operation: "make",
                path,
                source,
            })?;
        }
        let lock = lock(pod_dir)?;
        let root = config.oci_root.clone();
        let runtime =
            Runtime::new(&root).map_err(|source| MonitorError::Runtime { root, source })?;
        let runtime = runtime.warning(complain);
        let layout = Layout::detect().map_err(|source| MonitorError::Cgroup {
            path: config.cgroup_parent.clone(),
            source,
        })?;
        let pod_dir = pod_dir.to_path_buf();
        Ok(Sandbox { pod_dir, config, runtime, pid1: None, layout, _lock: lock })
    }

    /// Makes what is missing of cgroup, namespaces and PID 1. On failure what was made is undone.
    ///
    /// # Errors
    /// The step that failed.
    pub(crate) fn build(&mut self) -> Result<(), MonitorError> {
        self.move_home()?;
        let result = self.build_steps();
        if result.is_err() {
            // The failure above is the one to tell.
            let _ = self.teardown();
        }
        result
    }

    fn build_steps(&mut self) -> Result<(), MonitorError> {
        let path = self.config.cgroup_parent.as_str();
        Cgroup::create(&self.layout, path, self.config.resources.as_ref())
            .map_err(|source| MonitorError::Cgroup { path: path.to_owned(), source })?;
        self.pin_namespaces().map_err(|source| MonitorError::Sandbox {
            step: "make the pod's namespaces",
            source,
        })?;
        if self.config.share_process_namespace {
            self.ensure_pid1().map_err(|source| MonitorError::Sandbox {
                step: "start the pod's PID 1",
                source,
            })?;
        }
        Ok(())
    }

    /// Writes who the monitor is.
    ///
    /// # Errors
    /// The file's.
    pub(crate) fn write_identity(&self) -> Result<(), MonitorError> {
        let path = self.pod_dir.join(IDENTITY_FILE);
        let pid = std::process::id().cast_signed();
        let sandbox = self.pid1.as_ref().map(|init| (init.pid, init.start_time));
        sys::children::start_time(pid)
            .and_then(|start_time| {
                let version = crate::protocol::VERSION;
                let identity = Identity { pid, start_time, version, pid1: sandbox };
                record::write(&path, &identity)
            })
            .map_err(|source| MonitorError::File { operation: "write", path, source })
    }

    /// The pod's shared PID 1 has ended, and with it every member: makes a new one.
    ///
    /// # Errors
    /// The step that failed.
    pub(crate) fn replace_pid1(&mut self) -> Result<(), MonitorError> {
        self.pid1 = None;
        sys::pin::unpin(&self.pin_path(Kind::Pid))
            .and_then(|()| self.ensure_pid1())
            .map_err(|source| MonitorError::Sandbox { step: "replace the pod's PID 1", source })?;
        self.write_identity()
    }

    /// Undoes everything; every step is tried. Empty when nothing failed.
    pub(crate) fn teardown(&mut self) -> Vec<String> {
        let mut failed = Vec::new();
        let mut note = |what: &str, result: io::Result<()>| {
            if let Err(error) = result {
                failed.push(format!("{what}: {error}"));
            }
        };
        if let Some(init) = self.pid1.take() {
            let pidfd = init.pidfd.as_fd();
            let ended = sys::children::signal(pidfd, 9)
                .and_then(|()| sys::children::await_end(pidfd, PID1_DEADLINE_MS));
            note("stop the pod's PID 1", ended.and_then(in_time));
        }
        for kind in [Kind::Net, Kind::Ipc, Kind::Uts, Kind::Pid, Kind::User] {
            let path = self.pin_path(kind);
            note(&format!("unpin {}", path.display()), sys::pin::unpin(&path));
        }
        let removed = Cgroup::open(&self.layout, &self.config.cgroup_parent)
            .and_then(|cgroup| cgroup.remove(Instant::now() + CGROUP_DEADLINE));
        let removed = removed.map_err(|error| io::Error::other(chain(&error)));
        note(&format!("remove cgroup {}", self.config.cgroup_parent), removed);
        failed
    }

    /// Removes the monitor's own files and leaves its cgroup, which goes with its last monitor.
    pub(crate) fn remove_files(&self) -> Vec<String> {
        let mut failed = Vec::new();
        for name in [SOCKET_FILE, IDENTITY_FILE, LOCK_FILE] {
            if let Err(error) = record::remove(&self.pod_dir.join(name)) {
                failed.push(format!("remove {name}: {error}"));
            }
        }
        for name in
            [NAMESPACES_FOLDER, STREAMS_FOLDER, record::MEMBERS_FOLDER, record::EXITS_FOLDER]
        {
            match fs::remove_dir_all(self.pod_dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    failed.push(format!("remove {name}: {error}"));
                }
                _ => {}
            }
        }
        self.leave_home();
        failed
    }

    /// Moves up to the hierarchies' roots and removes the folders it was in; they stay while other
    /// monitors live there, or where this one may not go up.
    fn leave_home(&self) {
        let home = home_cgroup(&self.config.cgroup_parent);
        let depth = home.matches('/').count();
        let Ok(cgroup) = Cgroup::open(&self.layout, &home) else { return };
        for folder in cgroup.paths().values() {
            let Some(root) = folder.ancestors().nth(depth) else { continue };
            let moved = fs::write(root.join("cgroup.procs"), std::process::id().to_string());
            if moved.is_ok() {
                // rmdir, not the recursive removal that kills: neighbours may be inside.
                for folder in folder.ancestors().take(depth) {
                    let _ = fs::remove_dir(folder);
                }
            }
        }
    }

    /// Path of a namespace pin.
    #[must_use]
    pub(crate) fn pin_path(&self, kind: Kind) -> PathBuf {
        self.pod_dir.join(NAMESPACES_FOLDER).join(kind.name())
    }

    fn move_home(&self) -> Result<(), MonitorError> {
        let path = home_cgroup(&self.config.cgroup_parent);
        let enter = || {
            let cgroup = Cgroup::create(&self.layout, &path, None)?;
            cgroup.enter(std::process::id().cast_signed())
        };
        // The last monitor to leave removes it, perhaps just before this one enters.
        let mut entered = enter();
        for _ in 1..HOME_TRIES {
            if entered.is_ok() {
                break;
            }
            entered = enter();
        }
        entered.map_err(|source| MonitorError::Cgroup { path, source })
    }
}

fn in_time(ended: bool) -> io::Result<()> {
    if ended { Ok(()) } else { Err(io::Error::from(io::ErrorKind::TimedOut)) }
}

/// The cgroup of all monitors beside the pods' cgroups.
fn home_cgroup(cgroup_parent: &str) -> String {
    let above = cgroup_parent.trim_end_matches('/').rsplit_once('/').map_or("", |(above, _)| above);
    format!("{above}/monitors")
}

fn lock(pod_dir: &Path) -> Result<File, MonitorError> {
    let path = pod_dir.join(LOCK_FILE);
    let file = File::create(&path).map_err(|source| MonitorError::File {
        operation: "make",
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(MonitorError::Occupied { pod_dir: pod_dir.to_path_buf() })
        }
        Err(fs::TryLockError::Error(source)) => {
            Err(MonitorError::File { operation: "lock", path, source })
        }
    }
}

fn read_config(path: &Path) -> Result<SandboxConfig, MonitorError> {
    let file = |source| MonitorError::File { operation: "read", path: path.to_path_buf(), source };
    let missing = || file(io::Error::from(io::ErrorKind::NotFound));
    let config: SandboxConfig = record::read(path).map_err(file)?.ok_or_else(missing)?;
    match check_config(&config) {
        Ok(()) => Ok(config),
        Err((field, problem)) => {
            Err(MonitorError::Config { path: path.to_path_buf(), field, problem })
        }
    }
}

fn check_config(config: &SandboxConfig) -> Result<(), (String, String)> {
    let wrong = |field: &str, problem: &str| Err((field.to_owned(), problem.to_owned()));
    let host = config.hostname.as_str();
    if host.is_empty() || host.len() > 63 || host.bytes().any(|byte| byte <= b' ' || byte == 127) {
        return wrong("hostname", "needs 1 to 63 bytes without spaces");
    }
    let cgroup = config.cgroup_parent.as_str();
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !cgroup.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain)) {
        return wrong("cgroup_parent", "needs an absolute path without \".\" and \"..\"");
    }
    if cgroup.matches('/').count() < 2 {
        return wrong("cgroup_parent", "needs a folder above the pod's own");
    }
    if !config.oci_root.is_absolute() {
        return wrong("oci_root", "needs an absolute path");
    }
    if config.ids.is_some_and(|ids| !ids.is_usable()) {
        return wrong("ids", "must not be empty, nor hold the host's root or 4294967295");
    }
    if config.ids.is_some() && config.host_network {
        return wrong("ids", "cannot be used with host_network");
    }
    for (name, value) in &config.sysctl {
        if let Err(problem) = sysctl::check(name, value, config.host_network) {
            return Err((format!("sysctl.{name}"), problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SandboxConfig {
        serde_json::from_str(
            r#"{"uid":"u","hostname":"web","cgroup_parent":"/p/podu","oci_root":"/run/oci"}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_bad_field_is_named() {
        assert_eq!(check_config(&config()), Ok(()));
        let long = "x".repeat(64);
        for host in ["", "a b", long.as_str(), "a\n"] {
            let wrong = SandboxConfig { hostname: host.to_owned(), ..config() };
            assert_eq!(check_config(&wrong).unwrap_err().0, "hostname");
        }
        for cgroup in ["", "podvisor/x", "/", "/podu", "/a/../b", "/a//b"] {
            let wrong = SandboxConfig { cgroup_parent: cgroup.to_owned(), ..config() };
            assert_eq!(check_config(&wrong).unwrap_err().0, "cgroup_parent", "{cgroup}");
        }
        let ids = |first| Some(oci::IdRange { first, count: 65536 });
        let wrong = SandboxConfig { ids: ids(0), ..config() };
        assert_eq!(check_config(&wrong).unwrap_err().0, "ids");
        let own = SandboxConfig { ids: ids(65536), ..config() };
        assert_eq!(check_config(&own), Ok(()));
        let wrong = SandboxConfig { host_network: true, ..own };
        assert_eq!(check_config(&wrong).unwrap_err().0, "ids");
        let mut wrong = config();
        wrong.sysctl.insert("vm.swappiness".into(), "1".into());
        assert_eq!(check_config(&wrong).unwrap_err().0, "sysctl.vm.swappiness");
    }

    #[test]
    fn monitors_live_beside_the_pods() {
        assert_eq!(home_cgroup("/podvisor/pod1"), "/podvisor/monitors");
        assert_eq!(home_cgroup("/a/b/pod1/"), "/a/b/monitors");
    }
}
