//! What a supervisor is told when it is started.

use std::path::{Path, PathBuf};

use pod::BackoffPolicy;

/// The runtime's program, which hosts the monitor.
const RUNTIME: &str = "podvisor-oci";

/// Where a supervisor keeps its things. Two with different paths do not see each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Images, volumes, database; outlives a boot.
    pub root: PathBuf,
    /// Sockets, locks, pods as they run; need not outlive a boot.
    pub state: PathBuf,
    /// Logs of containers.
    pub log_dir: PathBuf,
}

impl Paths {
    /// The folders of all pods.
    pub(crate) fn pods(&self) -> PathBuf {
        self.state.join("pods")
    }

    /// The folder of one pod.
    pub(crate) fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// The emptyDirs on disk of all pods.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The emptyDirs on disk of one pod.
    pub(crate) fn volumes_of(&self, uid: &str) -> PathBuf {
        self.volumes().join(uid)
    }

    /// The runtime's own state.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.state.join("oci")
    }

    /// The image store's layout, in which a load shows.
    pub(crate) fn image_layout(&self) -> PathBuf {
        self.root.join("store")
    }
}

/// How the logs of containers are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRotation {
    /// Size of one file, in bytes.
    pub max_bytes: u64,
    /// Files kept in all.
    pub max_files: u32,
}

/// What [`crate::serve`] works with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folders.
    pub paths: Paths,
    /// Name of the cgroup above all pods.
    pub cgroup_parent: String,
    /// The network of pods.
    pub net: net::Config,
    /// Path of `podvisor-oci`.
    pub runtime_program: PathBuf,
    /// Rotation of logs.
    pub log_rotation: LogRotation,
    /// Back-off of pods that do not set their own.
    pub backoff: BackoffPolicy,
}

impl Options {
    /// The defaults: cgroup `podvisor`, bridge `podvisor0`, `podvisor-oci` beside this program
    /// (else by PATH), five log files of 10 MiB.
    #[must_use]
    pub fn new(paths: Paths) -> Options {
        Options {
            net: net::Config::new(&paths.state),
            paths,
            cgroup_parent: "podvisor".to_owned(),
            runtime_program: runtime_program(),
            log_rotation: LogRotation { max_bytes: 10 << 20, max_files: 5 },
            backoff: BackoffPolicy::default(),
        }
    }

    /// The cgroup of a pod, absolute.
    pub(crate) fn pod_cgroup(&self, uid: &str) -> String {
        format!("{}/pod{uid}", self.cgroup_above())
    }

    /// The cgroup above all pods, absolute.
    pub(crate) fn cgroup_above(&self) -> String {
        format!("/{}", self.cgroup_parent.trim_matches('/'))
    }
}

/// `podvisor-oci` beside this program, else by PATH.
#[must_use]
pub fn runtime_program() -> PathBuf {
    beside(std::env::current_exe().ok().as_deref())
}

/// The runtime beside `program`, if it is there; else its name, which is looked for in PATH.
fn beside(program: Option<&Path>) -> PathBuf {
    let near = program.and_then(Path::parent).map(|folder| folder.join(RUNTIME));
    near.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(RUNTIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_absolute_however_the_parent_is_written() {
        let paths = || Paths { root: "/r".into(), state: "/s".into(), log_dir: "/l".into() };
        for parent in ["a/b", "/a/b", "/a/b/"] {
            let options = Options { cgroup_parent: parent.to_owned(), ..Options::new(paths()) };
            assert_eq!(options.pod_cgroup("u"), "/a/b/podu");
        }
        assert_eq!(beside(Some(Path::new("/no/such/podvisor"))), Path::new(RUNTIME));
    }
}
