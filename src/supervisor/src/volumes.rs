//! A pod's volumes on the host: made with the sandbox, shown to containers, removed with the pod.
//!
//! | where | what it is |
//! |---|---|
//! | `<pod folder>/shm` | a tmpfs of 64 MiB, /dev/shm of every container: they share IPC |
//! | `<pod folder>/subpaths/<container>/<n>` | the n-th mount's subPath, bound by its opened file |
//! | `<pod folder>/volumes/<name>` | an emptyDir with `medium: Memory`: a tmpfs |
//! | `<root>/volumes/<uid>/<name>` | any other emptyDir |
//!
//! The first two go with the sandbox, what is in memory with the pod's end or the boot's, what is
//! on disk with the pod's deletion.
//!
//! Invariants: every step finds what is there, so that it may be done again. A container owns the
//! content of a volume and may put links into it: no path inside of one is ever followed out of it
//! (CVE-2017-1002101), neither when it is shown nor when it is removed. What a hostPath shows is
//! never removed.
//! Where to start: [`prepare`], then `host_path`, `sub_path`, `removal`.

mod host_path;
mod removal;
mod sub_path;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use pod::manifest::{Container, EmptyDirVolumeSource, Medium, PodSpec, Volume};

use crate::link::Subject;

pub(crate) use removal::{is_cleared, remove, remove_folder};

const VOLUMES: &str = "volumes";
const SUBPATHS: &str = "subpaths";
const SHM: &str = "shm";

/// Size of /dev/shm, as docker, podman and Kubernetes have it.
const SHM_BYTES: u64 = 64 << 20;
/// Group owned, so that files made in it get the group, too (fsGroup).
const SET_GID: u32 = 0o2000;

/// A volume that cannot be made, shown or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// The system refused.
    #[error("volume {volume:?}: {action} {path}")]
    Io {
        /// Name of the volume.
        volume: String,
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A hostPath that is not what its type says.
    #[error("volume {volume:?}: hostPath {path} is {found}, not {wanted}")]
    Kind {
        /// Name of the volume.
        volume: String,
        /// The path.
        path: PathBuf,
        /// What is there.
        found: &'static str,
        /// What the type wants.
        wanted: &'static str,
    },
    /// A mount of a volume that the pod does not have.
    #[error("the pod has no volume {volume:?}")]
    Unknown {
        /// Its name.
        volume: String,
    },
    /// Not everything could be removed.
    #[error("remove the pod's volumes: {}", .problems.join("; "))]
    Remove {
        /// All that failed.
        problems: Vec<String>,
    },
}

impl VolumeError {
    /// What to try next.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            VolumeError::Io { path, source, action, .. } => match source.kind() {
                ErrorKind::NotFound if *action == host_path::LOOK => format!(
                    "make {} on this host, or have it made with type: DirectoryOrCreate",
                    path.display()
                ),
                ErrorKind::StorageFull => "free space on that file system".to_owned(),
                ErrorKind::ReadOnlyFilesystem => "remount that file system writable".to_owned(),
                _ if *action == sub_path::OPEN => {
                    "every part of a subPath must be a folder, or a link that stays in its volume"
                        .to_owned()
                }
                _ => return None,
            },
            VolumeError::Kind { .. } => {
                "change the volume's hostPath.type, or leave it out to take what is there".into()
            }
            VolumeError::Unknown { .. } => "add it to spec.volumes".to_owned(),
            VolumeError::Remove { .. } => return None,
        })
    }
}

/// Names volume, action and path in a failure.
fn failed<'a>(
    volume: &'a str,
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> VolumeError + 'a {
    move |source| VolumeError::Io {
        volume: volume.to_owned(),
        action,
        path: path.to_path_buf(),
        source,
    }
}

/// Where the volumes of one pod are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roots<'a> {
    /// The pod's folder, which need not outlive a boot.
    pub(crate) pod_dir: &'a Path,
    /// The folder of its emptyDirs on disk.
    pub(crate) disk_dir: &'a Path,
}

impl<'a> Roots<'a> {
    /// Those of a pod.
    pub(crate) fn of(subject: &'a Subject) -> Roots<'a> {
        Roots { pod_dir: &subject.pod_dir, disk_dir: &subject.volumes_dir }
    }

    fn empty_dir(&self, name: &str, source: Option<&EmptyDirVolumeSource>) -> PathBuf {
        match source.and_then(|source| source.medium) {
            Some(Medium::Memory) => self.pod_dir.join(VOLUMES).join(name),
            _ => self.disk_dir.join(name),
        }
    }
}

/// Which emptyDirs are left where a sandbox is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// None: the pod has been deleted.
    Nothing,
    /// Those on disk: the pod has ended, or its supervisor and maybe its host are about to.
    OnDisk,
    /// All: the sandbox is made anew.
    All,
}

/// Where a volume appears in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedVolumeMount {
    /// A file or folder of the host.
    pub(crate) source: PathBuf,
    /// In the container.
    pub(crate) destination: PathBuf,
    /// No writes through it.
    pub(crate) read_only: bool,
    /// With what is mounted below the source.
    pub(crate) recursive: bool,
}

/// The tmpfs that is /dev/shm in every container of the pod.
pub(crate) fn shm(pod_dir: &Path) -> PathBuf {
    pod_dir.join(SHM)
}

/// Makes what is missing of the pod's volumes.
///
/// # Errors
/// The first one that cannot be made, or a hostPath that is not as its type says. What was made
/// goes with [`remove`].
pub(crate) fn prepare(pod: &pod::Pod, roots: &Roots<'_>) -> Result<(), VolumeError> {
    private_folder(roots.pod_dir).map_err(failed(SHM, "make", roots.pod_dir))?;
    let options = format!("mode=1777,size={SHM_BYTES}");
    let shm = shm(roots.pod_dir);
    make_folder(&shm).map_err(failed(SHM, "make", &shm))?;
    mount_once(&shm, &options, false).map_err(failed(SHM, "mount", &shm))?;
    for volume in &pod.spec.volumes {
        if let Some(source) = &volume.empty_dir {
            empty_dir(pod, volume, source, &roots.empty_dir(&volume.name, Some(source)))?;
        } else if let Some(source) = &volume.host_path {
            host_path::check(&volume.name, source)?;
        }
    }
    Ok(())
}

fn empty_dir(
    pod: &pod::Pod,
    volume: &Volume,
    source: &EmptyDirVolumeSource,
    path: &Path,
) -> Result<(), VolumeError> {
    let group = pod.spec.security_context.as_ref().and_then(|context| context.fs_group);
    let mode = 0o777 | group.map_or(0, |_| SET_GID);
    if let Some(above) = path.parent() {
        private_folder(above).map_err(failed(&volume.name, "make", above))?;
    }
    let fresh = make_folder(path).map_err(failed(&volume.name, "make", path))?;
    let mut whose = fresh;
    if source.medium == Some(Medium::Memory) {
        let options = tmpfs_options(&pod.spec, source);
        whose |= mount_once(path, &options, true).map_err(failed(&volume.name, "mount", path))?;
    }
    if whose {
        if group.is_some() {
            chown(path, None, group).map_err(failed(&volume.name, "give to fsGroup", path))?;
        }
        // After the owner: a change of owner drops the set-group-id bit.
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed(
            &volume.name,
            "set the mode of",
            path,
        ))?;
    }
    Ok(())
}

/// Size of an emptyDir in memory: its own limit and that of the pod, whichever is less; without
/// either, the kernel's half of the memory.
fn tmpfs_options(spec: &PodSpec, source: &EmptyDirVolumeSource) -> String {
    let own = source.size_limit.as_ref().map(pod::Quantity::value).filter(|bytes| *bytes > 0);
    let pods = pod::resources::pod(spec).memory_max_bytes.filter(|bytes| *bytes > 0);
    match own.into_iter().chain(pods).min() {
        Some(bytes) => format!("mode=777,size={bytes}"),
        None => "mode=777".to_owned(),
    }
}

/// Makes a folder, and those above it, that root alone can enter.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder that nobody but us can reach yet; whether it is new.
fn make_folder(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Mounts a tmpfs unless one is there; whether it is new.
fn mount_once(path: &Path, options: &str, exec: bool) -> io::Result<bool> {
    if sys::tree::is_mount_root(path)? {
        return Ok(false);
    }
    sys::volume::mount_tmpfs(path, options, exec).map(|()| true)
}

/// What a container mounts, in the order of its manifest. Binds subPaths anew: once for each start.
///
/// # Errors
/// A hostPath that is gone or not as its type says, a subPath that cannot be opened or made.
pub(crate) fn mounts(
    pod: &pod::Pod,
    container: &Container,
    roots: &Roots<'_>,
) -> Result<Vec<ResolvedVolumeMount>, VolumeError> {
    let mut resolved = Vec::with_capacity(container.volume_mounts.len());
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        let unknown = || VolumeError::Unknown { volume: mount.name.clone() };
        let volume = pod.spec.volumes.iter().find(|v| v.name == mount.name).ok_or_else(unknown)?;
        let root = match &volume.host_path {
            Some(source) => {
                host_path::check(&volume.name, source)?;
                host_path::exists(&volume.name, source)?;
                PathBuf::from(&source.path)
            }
            None => roots.empty_dir(&volume.name, volume.empty_dir.as_ref()),
        };
        let sub_path = mount.sub_path.as_deref().filter(|path| !path.is_empty());
        let source = match sub_path {
            None => root,
            Some(sub_path) => {
                let bound = roots.pod_dir.join(SUBPATHS).join(&container.name);
                let at = bound.join(index.to_string());
                let place = sub_path::Place { volume: &volume.name, root: &root, sub_path };
                place.bind(&at)?;
                at
            }
        };
        resolved.push(ResolvedVolumeMount {
            source,
            destination: PathBuf::from(&mount.mount_path),
            read_only: mount.read_only == Some(true),
            recursive: sub_path.is_none(),
        });
    }
    Ok(resolved)
}
