//! Cgroups of both versions behind one type.
//!
//! [`Layout::detect`] finds what is mounted; [`Cgroup::create_container`] makes one folder in each
//! hierarchy and sets limits; a process comes in by `CLONE_INTO_CGROUP` ([`Cgroup::clone_into_fd`])
//! and [`Cgroup::enter_v1`]; [`Cgroup::remove`] kills what is left and removes, within a deadline.
//!
//! Where things are: `layout` what is mounted; `v1`, `v2` config.json to a list of settings (pure);
//! `devices` device rules (pure); `place` folders; `apply` writes;
//! `stats` and `usage` read; `removal`.
//!
//! Invariants: nothing outside the given path is changed, but `cgroup.subtree_control` and empty
//! cpusets of its ancestors; a limit is kept or an error says which field was not. Only the
//! container's processes ever enter: the runtime itself stays where it was started.
//! Not here: the systemd driver, which is the module `systemd`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::runtime::{LinuxDeviceCgroup, LinuxResources};

mod apply;
pub(crate) mod convert;
mod devices;
mod error;
mod layout;
mod place;
mod removal;
mod setting;
mod stats;
mod usage;
mod v1;
mod v2;
mod walk;

pub use error::Error;
pub use layout::{Hierarchy, Layout, Mode};
pub use usage::Usage;

pub(crate) use layout::unescape;
#[cfg(test)]
pub(crate) use usage::read_every_form;

/// One container's or pod's cgroup over all hierarchies.
#[derive(Debug)]
pub struct Cgroup {
    folders: Vec<Folder>,
    v2_fd: Option<OwnedFd>,
}

/// The cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Folder {
    /// v1: the hierarchy's controllers. v2: unused, for the leaf's own file is the truth.
    controllers: Vec<String>,
    path: PathBuf,
    v2: bool,
}

impl Cgroup {
    /// Makes the cgroup for a container, as [`Cgroup::create`] does, but for the devices of v2:
    /// [`Cgroup::confine`] comes before any process of the container's own.
    ///
    /// # Errors
    /// See [`Cgroup::create`].
    pub fn create_container(
        layout: &Layout,
        path: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Cgroup, Error> {
        Cgroup::container(layout, path, resources, false)
    }

    /// The same in a cgroup that is there already, with a process in it.
    ///
    /// # Errors
    /// See [`Cgroup::create`].
    pub(crate) fn adopt_container(
        layout: &Layout,
        path: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Cgroup, Error> {
        Cgroup::container(layout, path, resources, true)
    }

    fn container(
        layout: &Layout,
        path: &str,
        resources: Option<&LinuxResources>,
        occupied: bool,
    ) -> Result<Cgroup, Error> {
        let place = place::make(layout, path, &place::needed(resources))?;
        place.finish(|cgroup, fresh| {
            if !fresh && !occupied {
                cgroup.refuse_occupied()?;
            }
            let rules = device_rules(resources);
            match cgroup.v1_folder("devices") {
                Some(_) => cgroup.devices(rules)?,
                None => devices::rules(rules).map(|_| ())?,
            }
            resources.map_or(Ok(()), |r| cgroup.limits(r))?;
            // Frozen with one above it, by who was there before, or by `unified`.
            cgroup.refuse_frozen()
        })
    }

    /// Confines a container to `resources`'s devices and the default ones, even when `resources`
    /// has no device rules. Loading the program that does it on v2 takes the kernel longer than all
    /// else here, and can be done while the container sets itself up; on v1 it has been done.
    ///
    /// # Errors
    /// As of [`Cgroup::devices`].
    pub fn confine(&self, resources: Option<&LinuxResources>) -> Result<(), Error> {
        match self.v1_folder("devices") {
            Some(_) => Ok(()),
            None => self.devices(device_rules(resources)),
        }
    }

    /// Makes the cgroup (for a pod, say) and applies `resources`; devices only when rules are
    /// given. What was made is removed again on failure.
    ///
    /// # Errors
    /// [`Error::MissingController`] and its like, naming the field.
    pub fn create(
        layout: &Layout,
        path: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Cgroup, Error> {
        let place = place::make(layout, path, &place::needed(resources))?;
        place.finish(|cgroup, _| resources.map_or(Ok(()), |r| cgroup.apply(r)))
    }

    /// The cgroup that is at `path` now; hierarchies where it is missing are left out.
    ///
    /// # Errors
    /// [`Error::Path`] for a path that is none.
    pub fn open(layout: &Layout, path: &str) -> Result<Cgroup, Error> {
        place::open(layout, path)
    }

    /// The cgroup of [`Cgroup::paths`], as kept in a state file; folders may have gone.
    ///
    /// # Errors
    /// [`Error::Io`] when the v2 folder exists and cannot be opened.
    pub fn from_paths(paths: &BTreeMap<String, PathBuf>) -> Result<Cgroup, Error> {
        let mut folders: Vec<Folder> = Vec::new();
        for (controller, path) in paths {
            match folders.iter_mut().find(|f| &f.path == path) {
                Some(folder) => folder.controllers.push(controller.clone()),
                None => folders.push(Folder {
                    controllers: vec![controller.clone()],
                    path: path.clone(),
                    v2: controller.is_empty(),
                }),
            }
        }
        folders.sort_by_key(|f| f.v2);
        Cgroup::of(folders)
    }

    fn of(folders: Vec<Folder>) -> Result<Cgroup, Error> {
        let v2_fd = match folders.iter().find(|f| f.v2) {
            None => None,
            Some(folder) => match File::open(&folder.path) {
                Ok(fd) => Some(OwnedFd::from(fd)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => return Err(io_error("open", &folder.path)(e)),
            },
        };
        Ok(Cgroup { folders, v2_fd })
    }

    /// Controller to folder, with "" for v2: what runc keeps as `cgroup_paths`.
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        let mut out = BTreeMap::new();
        for folder in &self.folders {
            if folder.v2 {
                out.insert(String::new(), folder.path.clone());
            }
            for controller in folder.controllers.iter().filter(|_| !folder.v2) {
                out.insert(controller.clone(), folder.path.clone());
            }
        }
        out
    }

    /// The v2 folder for `CLONE_INTO_CGROUP`. On a hybrid host [`Cgroup::enter_v1`] must follow.
    pub fn clone_into_fd(&self) -> Option<BorrowedFd<'_>> {
        self.v2_fd.as_ref().map(AsFd::as_fd)
    }

    /// True when [`Cgroup::enter_v1`] has something to do.
    pub fn has_v1(&self) -> bool {
        self.folders.iter().any(|f| !f.v2)
    }

    /// Whether all controllers are in the v2 hierarchy.
    pub(crate) fn is_pure_v2(&self) -> bool {
        !self.has_v1() && self.v2_fd.is_some()
    }

    /// Puts `pid` into every hierarchy, v2 too.
    ///
    /// # Errors
    /// [`Error::Enter`] naming the folder.
    pub fn enter(&self, pid: i32) -> Result<(), Error> {
        self.folders.iter().rev().try_for_each(|f| enter(f, pid))
    }

    /// Puts `pid`, cloned into the v2 cgroup, into the v1 hierarchies.
    ///
    /// # Errors
    /// [`Error::Enter`] naming the folder.
    pub fn enter_v1(&self, pid: i32) -> Result<(), Error> {
        self.folders.iter().filter(|f| !f.v2).try_for_each(|f| enter(f, pid))
    }

    /// The `tasks` files of the v1 hierarchies, open for writing, close-on-exec: a single-threaded
    /// child that writes "0" to each of them moves itself without the kernel's lock on all forks,
    /// which a move by another process (or by `cgroup.procs`) takes and waits for.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn v1_task_files(&self) -> Result<Vec<OwnedFd>, Error> {
        let open = |folder: &Folder| {
            let path = folder.path.join("tasks");
            let file = File::options().write(true).open(&path);
            file.map(OwnedFd::from).map_err(io_error("open", &path))
        };
        self.folders.iter().filter(|f| !f.v2).map(open).collect()
    }

    fn v2_folder(&self) -> Option<&Path> {
        self.folders.iter().find(|f| f.v2).map(|f| f.path.as_path())
    }

    fn v1_folder(&self, controller: &str) -> Option<&Path> {
        self.folders
            .iter()
            .find(|f| !f.v2 && f.controllers.iter().any(|c| c == controller))
            .map(|f| f.path.as_path())
    }

    /// Nothing goes on in a cgroup that is frozen, by itself or with one above it.
    fn refuse_frozen(&self) -> Result<(), Error> {
        match self.folders.last() {
            Some(folder) if self.is_held()? => Err(Error::Frozen { path: folder.path.clone() }),
            _ => Ok(()),
        }
    }

    fn refuse_occupied(&self) -> Result<(), Error> {
        let count = self.pids()?.len();
        match self.folders.last() {
            Some(folder) if count > 0 => Err(Error::Occupied { path: folder.path.clone(), count }),
            _ => Ok(()),
        }
    }
}

fn enter(folder: &Folder, pid: i32) -> Result<(), Error> {
    let file = folder.path.join("cgroup.procs");
    std::fs::write(&file, pid.to_string()).map_err(|source| Error::Enter {
        pid,
        path: folder.path.clone(),
        source,
    })
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

fn field_error(field: &str, problem: impl Into<String>) -> Error {
    Error::Field { field: field.to_owned(), problem: problem.into() }
}

fn device_rules(resources: Option<&LinuxResources>) -> &[LinuxDeviceCgroup] {
    resources.and_then(|r| r.devices().as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
