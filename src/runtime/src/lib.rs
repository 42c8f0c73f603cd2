//! The OCI runtime: containers from bundles, by the kernel alone.
//!
//! [`Runtime`] has one function a verb. The way of `create` through the files:
//!
//! ```text
//! bundle   config.json read and validated whole (crate oci)
//! store    the claim on the id, the state on disk
//! cgroup   folders and limits
//! plan     document -> operations of the child (pure)        draft: operations, texts, slots
//! spawn    slots opened, one clone, questions answered        child, sys: what runs after it
//! hooks, idmaps, netdevices, rdt, seccomp                     what the parent does meanwhile
//! ```
//!
//! `sandbox` makes the namespaces of a pod that has a user namespace of its own.
//! `systemd` makes the cgroup instead where that is asked for.
//! `start`, `exec`, `remove` (kill, delete) are the other verbs; `lifecycle` is the one table of
//! what may follow what. Synchronous, single-threaded, no global state.
//! May be touched: everything; `error`'s words are matched by engines.

#![cfg_attr(all(test, fuzzing), no_main)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci::runtime::{LinuxResources, Mount, Process};
use oci::{State, Status};

mod around;
mod bundle;
pub mod cgroup;
mod checkpoint;
mod create;
mod criu;
mod draft;
mod error;
mod exec;
#[cfg(test)]
mod fuzz;
mod handover;
mod hooks;
mod idmaps;
mod lifecycle;
mod modules;
mod mounts;
mod netdevices;
mod nodes;
mod notes;
mod plan;
mod rdt;
mod readiness;
mod remove;
mod restore;
pub mod sandbox;
pub mod seccomp;
mod spawn;
mod start;
mod store;
mod systemd;
mod trees;

pub use bundle::{Bundle, read_document, read_stream};
pub use checkpoint::{CgroupsMode, CheckpointOptions, CriuOptions, NetworkLock};
pub use create::{Console, CreateOptions, Created, Stdio};
pub use error::{Error, Result};
pub use exec::ExecOptions;
pub use plan::Rootfs;
pub use readiness::Readiness;
pub use restore::RestoreOptions;
pub use systemd::{Error as SystemdError, HOLD};

use lifecycle::Operation;

/// Longest time that a removal takes, or systemd where a verb needs it, before it is said what is
/// left.
const DELETE_WITHIN: Duration = Duration::from_secs(8);

/// Longest wait for all processes to be still.
const FREEZE_WITHIN: Duration = Duration::from_secs(5);

/// Who makes the cgroups of new containers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum CgroupDriver {
    /// This runtime, in the file systems.
    #[default]
    Cgroupfs,
    /// systemd: each container is a scope.
    Systemd,
    /// Nobody: containers stay in the caller's, without limits.
    Disabled,
}

/// The containers below one root folder.
#[derive(Debug, Clone)]
pub struct Runtime {
    store: store::Store,
    driver: CgroupDriver,
    notes: notes::Notes,
    /// The process lives for one verb alone.
    brief: bool,
}

/// A container as `list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The specification's state.
    pub state: State,
    /// Its root file system.
    pub rootfs: PathBuf,
    /// When it was made, in nanoseconds since 1970.
    pub created_unix_ns: u64,
    /// Name of the user who made it, or the number.
    pub owner: String,
}

/// Every annotation that changes what a container is or may; one that ends with a dot stands for
/// all that begin so.
pub const ANNOTATIONS: &[&str] = &[
    checkpoint::CONFIG,
    oci::core_scheduling::KEY,
    oci::landlock::KEY,
    plan::KEEP_GROUPS,
    systemd::PROPERTY,
];

/// Every mount option that is not left for the file system, sorted.
#[must_use]
pub fn mount_options() -> Vec<String> {
    plan::mount_options()
}

impl Runtime {
    /// The containers below `root`, which is made (0700) with the first one.
    ///
    /// # Errors
    /// [`Error::Io`] when the path cannot be made absolute.
    pub fn new(root: &Path) -> Result<Runtime> {
        let root = std::path::absolute(root).map_err(Error::io("find", root))?;
        let store = store::Store { root };
        let (driver, notes) = (CgroupDriver::default(), notes::Notes::default());
        Ok(Runtime { store, driver, notes, brief: false })
    }

    /// The same in a process that lives for one verb alone: should the kernel end it for want of
    /// memory in the container that it makes, nobody else is the worse for it.
    #[must_use]
    pub fn briefly(self) -> Runtime {
        Runtime { brief: true, ..self }
    }

    /// The same with another driver for what is made from now on.
    #[must_use]
    pub fn with_cgroups(self, driver: CgroupDriver) -> Runtime {
        Runtime { driver, ..self }
    }

    /// The same, which tells `listener` of its steps, a line each.
    #[must_use]
    pub fn telling(self, listener: impl Fn(&str) + Send + Sync + 'static) -> Runtime {
        Runtime { notes: self.notes.to(listener), ..self }
    }

    /// The same, which tells `listener` of what goes wrong and ends nothing, a line each.
    #[must_use]
    pub fn warning(self, listener: impl Fn(&str) + Send + Sync + 'static) -> Runtime {
        Runtime { notes: self.notes.warning(listener), ..self }
    }

    /// Makes a container whose process waits for [`Runtime::start`].
    ///
    /// # Errors
    /// The step that failed; nothing is left.
    pub fn create(&self, id: &str, bundle: &Bundle, options: CreateOptions) -> Result<Created> {
        create::create(self, id, bundle, options, true)
    }

    /// Makes a container and starts it. The process is the caller's child, to be reaped by it.
    ///
    /// # Errors
    /// The step that failed; nothing is left.
    pub fn run(&self, id: &str, bundle: &Bundle, options: CreateOptions) -> Result<Created> {
        create::create(self, id, bundle, options, false)
    }

    /// Lets a created container's process go.
    ///
    /// # Errors
    /// [`Error::Refused`] in another state; why the command could not begin.
    pub fn start(&self, id: &str) -> Result<()> {
        start::start(self, id, false).map(drop)
    }

    /// The same; if the container was made to tell that it is ready, what it tells is heard from
    /// before its process goes on.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub fn start_heard(&self, id: &str) -> Result<Option<Readiness>> {
        start::start(self, id, true)
    }

    /// Starts one more process in a container. It is the caller's child.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the process, [`Error::Refused`], the step that failed.
    pub fn exec(&self, id: &str, process: &Process, options: ExecOptions) -> Result<Created> {
        exec::exec(self, id, process, options)
    }

    /// Attaches bind mounts in a container that lives; what is missing on the way to one is made.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the mounts, by field; [`Error::Refused`]; the mount that failed:
    /// those before it stay.
    pub fn add_mounts(&self, id: &str, mounts: &[Mount]) -> Result<()> {
        mounts::change(self, id, mounts, true)
    }

    /// Takes away what is mounted at the destinations of these, the last first.
    ///
    /// # Errors
    /// As [`Runtime::add_mounts`]; those behind the one that failed are gone.
    pub fn remove_mounts(&self, id: &str, mounts: &[Mount]) -> Result<()> {
        mounts::change(self, id, mounts, false)
    }

    /// Signals a container's first process, or everything in its cgroup when `all`.
    ///
    /// # Errors
    /// [`Error::Refused`] when it has stopped and not `all`.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<()> {
        remove::kill(self, id, signal, all)
    }

    /// Removes what is left of a container; `force` kills it first, and one that does not exist is
    /// fine then.
    ///
    /// # Errors
    /// [`Error::Refused`] when it lives, [`Error::Several`] when something withstood.
    pub fn delete(&self, id: &str, force: bool) -> Result<()> {
        remove::delete(self, id, force)
    }

    /// Stops every process of a container where it is.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Cgroup`] when they cannot all be stopped in time.
    pub fn pause(&self, id: &str) -> Result<()> {
        let cgroup = self.allowed(id, Operation::Pause)?;
        Ok(cgroup.freeze(Instant::now() + FREEZE_WITHIN)?)
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn resume(&self, id: &str) -> Result<()> {
        Ok(self.allowed(id, Operation::Resume)?.thaw()?)
    }

    /// Writes a container's processes into files by criu; it is deleted then, unless it goes on.
    ///
    /// # Errors
    /// [`Error::Refused`] when it does not run; [`Error::NoCriu`]; [`Error::Criu`].
    pub fn checkpoint(&self, id: &str, options: CheckpointOptions) -> Result<()> {
        checkpoint::checkpoint(self, id, options)
    }

    /// Makes a container from what [`Runtime::checkpoint`] has written. The process is the
    /// caller's child, to be reaped by it.
    ///
    /// # Errors
    /// As [`Runtime::run`]; [`Error::NoCriu`]; [`Error::Criu`]; nothing is left.
    pub fn restore(
        &self,
        id: &str,
        bundle: &Bundle,
        create: CreateOptions,
        options: &RestoreOptions,
    ) -> Result<Created> {
        restore::restore(self, id, bundle, create, options)
    }

    /// The pids of a container's processes, in the caller's numbers, ascending.
    ///
    /// # Errors
    /// [`Error::NoCgroup`].
    pub fn processes(&self, id: &str) -> Result<Vec<i32>> {
        Ok(self.allowed(id, Operation::Look)?.pids()?)
    }

    /// Changes a container's limits; what `resources` does not name stays.
    ///
    /// # Errors
    /// [`Error::Invalid`]; the first limit that cannot be kept, by field.
    pub fn update(&self, id: &str, resources: &LinuxResources) -> Result<()> {
        oci::validate::validate_resources(resources)
            .map_err(|findings| Error::Invalid { what: "resources".to_owned(), findings })?;
        let record = self.permitted(id, Operation::Cgroup("update"))?;
        let cgroup = record.open_cgroup()?;
        if let Some(unit) = &record.unit {
            let deadline = Instant::now() + DELETE_WITHIN;
            systemd::update(unit, resources, cgroup.is_pure_v2(), deadline)?;
        }
        Ok(cgroup.apply(resources)?)
    }

    /// Changes the lines of a container's resctrl schemata for cache and for memory bandwidth.
    ///
    /// # Errors
    /// [`Error::NoResctrl`]; [`Error::Rdt`] with the kernel's reason.
    pub fn update_rdt(&self, id: &str, cache: Option<&str>, bandwidth: Option<&str>) -> Result<()> {
        rdt::update(self, id, cache, bandwidth)
    }

    /// What a container has used so far.
    ///
    /// # Errors
    /// [`Error::Refused`] when it has stopped.
    pub fn usage(&self, id: &str) -> Result<cgroup::Usage> {
        let record = self.permitted(id, Operation::Cgroup("measure"))?;
        let mut usage = record.open_cgroup()?.usage()?;
        usage.intel_rdt = record.rdt.as_ref().map(rdt::Group::usage).unwrap_or_default();
        Ok(usage)
    }

    /// A container's cgroup, if the operation is allowed now.
    fn allowed(&self, id: &str, operation: Operation) -> Result<cgroup::Cgroup> {
        self.permitted(id, operation)?.open_cgroup()
    }

    /// The record of a container that has a cgroup, if the operation is allowed now.
    fn permitted(&self, id: &str, operation: Operation) -> Result<store::Record> {
        let record = self.store.record(id)?;
        self.check(&record, &self.store.folder(id)?, operation)?;
        if record.no_cgroup {
            let operation = operation.name();
            return Err(Error::NoCgroup { operation, id: id.to_owned() });
        }
        Ok(record)
    }

    /// The state of a container.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn state(&self, id: &str) -> Result<State> {
        Ok(self.entry(id)?.state)
    }

    /// A container as `list` shows it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn entry(&self, id: &str) -> Result<Listed> {
        let record = self.store.record(id)?;
        let status = store::status(&record, &self.store.folder(id)?)?;
        let lives = status != Status::Stopped;
        let state = hooks::state(&record, status, if lives { record.pid } else { 0 });
        let owner = if record.uid == 0 { "root".to_owned() } else { record.uid.to_string() };
        let (rootfs, created_unix_ns) = (record.rootfs, record.created_unix_ns);
        Ok(Listed { state, rootfs, created_unix_ns, owner })
    }

    /// Every container below the root, by id. One that is removed meanwhile is left out; why one
    /// cannot be told of is a warning.
    ///
    /// # Errors
    /// [`Error::Io`] for the root.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut all = Vec::new();
        for id in self.store.ids()? {
            match self.entry(&id) {
                Ok(entry) => all.push(entry),
                Err(Error::NotFound { .. }) => {}
                Err(error) => self.notes.warn(&error::chain(&error)),
            }
        }
        Ok(all)
    }

    /// The ids of all containers below the root, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] for the root.
    pub fn ids(&self) -> Result<Vec<String>> {
        self.store.ids()
    }

    /// The container's own process, as its config.json has it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn process(&self, id: &str) -> Result<Process> {
        let (_, spec) = self.store.record_and_spec(id)?;
        Ok(spec.process().clone().unwrap_or_default())
    }

    /// How often the kernel's OOM killer has struck in the container's cgroup.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the cgroup's files.
    pub fn oom_kills(&self, id: &str) -> Result<u64> {
        Ok(self.store.record(id)?.open_cgroup()?.oom_kills()?)
    }

    /// Whether it has at all.
    ///
    /// # Errors
    /// As [`Runtime::oom_kills`].
    pub fn oom_killed(&self, id: &str) -> Result<bool> {
        Ok(self.oom_kills(id)? > 0)
    }
}
