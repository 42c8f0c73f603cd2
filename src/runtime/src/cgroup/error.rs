//! What can go wrong with cgroups, in words that name the field, the file and the next step.

use std::io;
use std::path::PathBuf;

/// A failed cgroup operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of type cgroup or cgroup2 is mounted.
    #[error("no cgroup file system is mounted")]
    NotMounted,
    /// The text of `/proc/self/mountinfo` or `/proc/self/cgroup` could not be read.
    #[error("cannot read {path}")]
    Detect {
        /// The file that could not be read.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A resource is limited, but the host has no controller for it. In crun's words.
    #[error("{field}: the requested cgroup controller `{controller}` is not available")]
    MissingController {
        /// The controller, by its kernel name.
        controller: String,
        /// The field of config.json that needs it.
        field: String,
        /// What is known about why.
        hint: String,
    },
    /// The controller is there but this kernel lacks the one file that the field needs.
    #[error("{field}: the cgroup has no file {file}")]
    MissingFile {
        /// The field of config.json that needs it.
        field: String,
        /// The missing interface file.
        file: PathBuf,
    },
    /// The kernel refused a value.
    #[error("{field}: write {value:?} to {file}")]
    Write {
        /// The field of config.json the value comes from.
        field: String,
        /// The interface file.
        file: PathBuf,
        /// What was written.
        value: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A field holds what no kernel can take; nothing was written.
    #[error("{field}: {problem}")]
    Field {
        /// The field of config.json.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The path leaves the hierarchy or cannot be a folder name.
    #[error("cgroup path {path:?}: {problem}")]
    Path {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A folder or file operation failed.
    #[error("{what} {path}")]
    Io {
        /// What was tried: "make cgroup", "open", "read".
        what: &'static str,
        /// The path concerned.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Somebody's processes live in the cgroup that a new container was to get.
    #[error("container's cgroup is not empty: {count} processes are in {path}")]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// How many processes it holds, its sub-cgroups included.
        count: usize,
    },
    /// The cgroup that a new container was to get is frozen: nothing would go on in it.
    #[error("container's cgroup unexpectedly frozen: {path}")]
    Frozen {
        /// The folder.
        path: PathBuf,
    },
    /// A new process could not be put into the cgroup.
    #[error("put process {pid} into cgroup {path}")]
    Enter {
        /// The process.
        pid: i32,
        /// The folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The device program could not be loaded or attached.
    #[error("linux.resources.devices: {what} the eBPF device program of {path}")]
    DeviceProgram {
        /// "load", "attach", "list" or "detach".
        what: &'static str,
        /// The cgroup folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The deadline passed.
    #[error("cgroup {path} is still busy: {remaining} processes are left")]
    Busy {
        /// The folder that could not be removed or frozen.
        path: PathBuf,
        /// Processes still in it.
        remaining: usize,
    },
}

impl Error {
    /// Whether the caller lacks the right to make a cgroup.
    pub(crate) fn is_denied(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let Error::Io { source, .. } = self else { return false };
        matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem)
    }

    /// What to try next, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NotMounted => Some("mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned()),
            Error::MissingController { hint, .. } => Some(hint.clone()),
            Error::MissingFile { file, .. } => file_hint(&file.to_string_lossy()),
            Error::Occupied { .. } => {
                Some("choose another linux.cgroupsPath, or end these processes first".to_owned())
            }
            Error::Frozen { .. } => Some("thaw it, or choose another linux.cgroupsPath".to_owned()),
            Error::Write { source, file, .. } if busy_tree(source, file) => Some(format!(
                "cgroup v2 gives controllers only below cgroups without processes of their own; \
                 move the processes of {} into a sub-cgroup, or use an absolute cgroupsPath",
                file.parent().unwrap_or(file).display()
            )),
            Error::Busy { .. } => {
                Some("look for processes in state D, and try delete --force again".to_owned())
            }
            _ => None,
        }
    }

    /// The errno at the bottom, when the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Detect { source, .. }
            | Error::Write { source, .. }
            | Error::Io { source, .. }
            | Error::Enter { source, .. }
            | Error::DeviceProgram { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

fn busy_tree(source: &io::Error, file: &std::path::Path) -> bool {
    source.kind() == io::ErrorKind::ResourceBusy && file.ends_with("cgroup.subtree_control")
}

fn file_hint(file: &str) -> Option<String> {
    let parameter = [("memsw", "swapaccount=1"), ("swap", "swapaccount=1")]
        .into_iter()
        .find_map(|(part, parameter)| file.contains(part).then_some(parameter));
    parameter.map(|p| format!("boot the kernel with {p}, or leave the field out"))
}
