//! `create` and `run`: a bundle becomes a container.
//!
//! Order: the claim on the id and a first state (enough to remove everything by), the cgroup, the
//! clone; while the child mounts, the rest of the parent's work; hooks; the child's last word. On a
//! failure all of it is undone, in reverse, and the poststop hooks run.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use oci::Status;
use oci::runtime::{LinuxNamespaceType, LinuxResources, Spec};
use sys::launch::above_stdio;
use sys::netns::Netns;

use crate::around;
use crate::bundle::Bundle;
use crate::cgroup::{Cgroup, Layout, Mode};
use crate::error::{Error, Result};
use crate::handover::{PidFile, send_listener, send_master, send_pidfd};
use crate::hooks::contained::Home;
use crate::hooks::{self, Inside, List};
use crate::plan::{self, Birthplace, Facts, Rootfs, Streams, point};
use crate::spawn::{self, Child, Given};
use crate::store::{Claim, Record};
use crate::systemd::{self, Holder, Unit};
use crate::{CgroupDriver, DELETE_WITHIN, Runtime, idmaps, netdevices, rdt, readiness, remove};

/// What an undoing gets where systemd has used the time up.
const UNDO_AT_LEAST: Duration = Duration::from_secs(1);

/// What happens to the master of a container's pty.
#[derive(Debug, Default)]
pub enum Console {
    /// There is none.
    #[default]
    None,
    /// The caller gets it.
    Keep,
    /// It is sent to this unix socket.
    Socket(PathBuf),
}

/// Where descriptors 0 to 2 come from.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's own.
    #[default]
    Inherit,
    /// These.
    Fds([OwnedFd; 3]),
}

/// How a container is made, beside its bundle.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// Descriptors 0 to 2, unless the process has a terminal.
    pub stdio: Stdio,
    /// The pty's master.
    pub console: Console,
    /// The root file system.
    pub rootfs: Rootfs,
    /// How many descriptors from 3 on are passed.
    pub preserve_fds: u32,
    /// How many descriptors from 3 on are listening sockets that the process is told of, as
    /// sd_listen_fds(3) says; those of `preserve_fds` come behind them.
    pub listen_fds: u32,
    /// Where in the container the folder is in which it finds the socket to say that it is ready:
    /// an absolute path. The process is told by NOTIFY_SOCKET.
    pub notify: Option<PathBuf>,
    /// Move the root instead of pivoting.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Where the pid is written.
    pub pid_file: Option<PathBuf>,
    /// The unix socket that gets the pidfd.
    pub pidfd_socket: Option<PathBuf>,
}

/// A process that was started.
#[derive(Debug)]
pub struct Created {
    /// Its pid.
    pub pid: i32,
    /// Its pidfd; the process is the caller's child.
    pub pidfd: OwnedFd,
    /// The master of its pty, when it is kept.
    pub console: Option<OwnedFd>,
    /// Where it says that it is ready, when it was run with such a place.
    pub readiness: Option<UnixDatagram>,
}

/// A container in the making: undone on drop unless finished.
pub(crate) struct Making<'r> {
    runtime: &'r Runtime,
    pub(crate) bundle: &'r Bundle,
    pub(crate) options: &'r mut CreateOptions,
    claim: Option<Claim>,
    pub(crate) cgroup: Option<Cgroup>,
    unit: Option<Unit>,
    /// Keeps the unit until the container's process is in it.
    holder: Option<Holder>,
    readiness: Option<UnixDatagram>,
    /// Its network namespace, where it is made beside it.
    network: Option<Netns>,
    pub(crate) record: Record,
    waits: bool,
    /// setgroups(2) is forbidden to the caller.
    no_groups: bool,
    pid_file: Option<PidFile>,
    /// What systemd, and then an undoing, may yet take.
    patience: Duration,
}

/// Makes the container; its process waits for `start` when `waits`, else it runs.
pub(crate) fn create(
    runtime: &Runtime,
    id: &str,
    bundle: &Bundle,
    mut options: CreateOptions,
    waits: bool,
) -> Result<Created> {
    if waits {
        let given = options.preserve_fds.saturating_add(options.listen_fds);
        plan::leave_a_descriptor(bundle.spec.process().as_ref(), given)?;
    }
    let mut making = Making::begin(runtime, id, bundle, &mut options)?;
    making.waits = waits;
    let child = making.make()?;
    making.finish(child)
}

impl<'r> Making<'r> {
    /// Checks what can be checked before, and claims the id.
    pub(crate) fn begin(
        runtime: &'r Runtime,
        id: &str,
        bundle: &'r Bundle,
        options: &'r mut CreateOptions,
    ) -> Result<Making<'r>> {
        let spec = &bundle.spec;
        crate::modules::check(spec)?;
        let no_groups = idmaps::denies_groups(spec);
        if no_groups {
            idmaps::refuse_groups(spec.process().as_ref())?;
        }
        let rdt = rdt::plan(spec, id)?;
        let (cgroup, unit) = place(runtime.driver, spec, id)?;
        // What fails from here on has to be undone: nothing, before it is in a `Making`.
        let claim = Some(runtime.store.claim_new(id)?);
        let mut record = Record::new(id, bundle, &cgroup);
        record.foreign_keyring = options.no_new_keyring;
        record.no_cgroup = runtime.driver == CgroupDriver::Disabled;
        (record.rdt, record.unit) = (rdt, unit.as_ref().map(|unit| unit.name.clone()));
        let (cgroup, holder, readiness, waits) = (None, None, None, false);
        Ok(Making {
            runtime,
            bundle,
            options,
            claim,
            cgroup,
            unit,
            holder,
            readiness,
            network: None,
            record,
            waits,
            no_groups,
            pid_file: None,
            patience: DELETE_WITHIN,
        })
    }

    fn spec(&self) -> &Spec {
        &self.bundle.spec
    }

    pub(crate) fn save(&self) -> Result<()> {
        let claim = self.claim.as_ref();
        claim.map_or(Ok(()), |claim| claim.write(&self.record, &self.bundle.text))
    }

    /// The first state, the cgroup and the resctrl group: all that is there before the process.
    pub(crate) fn prepare(&mut self, layout: &Layout) -> Result<()> {
        let Some(claim) = &self.claim else { return Ok(()) };
        claim.draft(&self.record, &self.bundle.text)?;
        if self.options.notify.is_some() {
            readiness::prepare(&claim.folder)?;
            self.readiness = if self.waits { None } else { readiness::listen(&claim.folder)? };
        }
        self.pid_file = self.options.pid_file.as_deref().map(PidFile::open).transpose()?;
        self.cgroup = self.make_cgroup(layout)?;
        if let Some(group) = &self.record.rdt {
            group.make(self.spec())?;
        }
        // Until now it may have been another's, who would have been ended for this one.
        self.record.owns = true;
        let Some(claim) = &self.claim else { return Ok(()) };
        if self.unit.is_some() || self.record.no_cgroup {
            // Only now it is known where it is.
            claim.draft(&self.record, &self.bundle.text)?;
        }
        claim.own()
    }

    /// What is left of the cgroup: it may come late, but before any process of the container's own.
    pub(crate) fn confine(&self) -> Result<()> {
        let resources = resources(&self.bundle.spec);
        Ok(self.cgroup.as_ref().map_or(Ok(()), |cgroup| cgroup.confine(resources))?)
    }

    fn make(&mut self) -> Result<Child> {
        let layout = Layout::detect()?;
        self.begin_network();
        self.prepare(&layout)?;
        let mut child = self.launch(&layout)?;
        self.holder = None;
        if let Some(network) = self.network.take() {
            child.give_network(network)?;
        }
        if self.spec_maps() {
            child.await_point(point::MAPS)?;
            idmaps::write(self.spec(), child.pid())?;
            child.go_on()?;
        }
        self.devices(&mut child)?;
        self.beside(&mut child)?;
        Ok(child)
    }

    /// What cannot be made beside the child, it is born into.
    fn begin_network(&mut self) {
        let late = plan::network_may_be_late(self.spec(), is_unprivileged());
        self.network = late.then(|| Netns::begin().ok()).flatten();
    }

    fn make_cgroup(&mut self, layout: &Layout) -> Result<Option<Cgroup>> {
        if self.record.no_cgroup {
            return Ok(None);
        }
        let resources = resources(&self.bundle.spec);
        let Some(unit) = &self.unit else {
            return match Cgroup::create_container(layout, &self.record.cgroup, resources) {
                // Nobody has given this user a cgroup, and nobody asks for limits.
                Err(error) if error.is_denied() && !self.needs_cgroup() => {
                    self.record.no_cgroup = true;
                    Ok(None)
                }
                other => Ok(Some(other?)),
            };
        };
        let v2 = layout.mode() == Mode::V2;
        let begun = Instant::now();
        let deadline = begun + self.patience;
        let started = systemd::start(unit, &self.record.id, resources, v2, deadline);
        self.patience = self.patience.saturating_sub(begun.elapsed());
        let (holder, path) = started?;
        self.holder = Some(holder);
        self.record.cgroup = path;
        Ok(Some(Cgroup::adopt_container(layout, &self.record.cgroup, resources)?))
    }

    /// Gives the container the links that it is to have.
    fn devices(&self, child: &mut Child) -> Result<()> {
        if netdevices::of(self.spec()).is_empty() {
            return Ok(());
        }
        child.settle()?;
        child.await_point(point::LINKS)?;
        let path = PathBuf::from(format!("/proc/{}/ns/net", child.pid()));
        let netns = sys::tree::namespace(&path).map_err(Error::io("open namespace", path))?;
        netdevices::move_all(self.spec(), netns.as_fd())?;
        child.go_on()
    }

    fn needs_cgroup(&self) -> bool {
        let linux = self.spec().linux().as_ref();
        let path = linux.and_then(|l| l.cgroups_path().as_ref());
        let mut limits = resources(self.spec()).cloned().unwrap_or_default();
        limits.set_devices(None);
        let root = sys::seqpacket::own_uid() == 0;
        root || path.is_some_and(|p| !p.as_os_str().is_empty())
            || limits != LinuxResources::default()
    }

    fn spec_maps(&self) -> bool {
        let linux = self.spec().linux().as_ref();
        linux.is_some_and(|l| l.uid_mappings().as_ref().is_some_and(|maps| !maps.is_empty()))
    }

    /// Plans and clones.
    fn launch(&mut self, layout: &Layout) -> Result<Child> {
        let cgroup = self.cgroup.as_ref();
        let tasks = cgroup.map(Cgroup::v1_task_files).transpose()?.unwrap_or_default();
        let tasks = tasks.into_iter().map(above_stdio).collect::<std::io::Result<Vec<_>>>();
        let tasks = tasks.map_err(|source| Error::Clone { source })?;
        let notes = self.runtime.notes.clone();
        let alone = self.runtime.brief && self.holder.is_none();
        let apart = self.network.as_ref().is_some_and(Netns::has_begun);
        let mut given = Given { tasks, notes, alone, apart, ..Given::default() };
        if let Stdio::Fds(fds) = std::mem::take(&mut self.options.stdio) {
            let [first, second, third] = fds.map(above_stdio);
            let all = [first, second, third].into_iter().collect::<std::io::Result<Vec<_>>>();
            let all = all.map_err(|source| Error::Clone { source })?;
            given.stdio = <[OwnedFd; 3]>::try_from(all).ok();
        }
        if let (true, Some(claim)) = (self.waits, &self.claim) {
            let socket = claim.socket();
            let listener = sys::tree::listen_for_start(&socket).and_then(above_stdio);
            given.listener = Some(listener.map_err(Error::io("listen at", socket))?);
        }
        let (draft, birth) = self.plan(layout, &given);
        let args = self.spec().process().as_ref().and_then(|p| p.args().as_ref());
        let command = args.and_then(|args| args.first()).map_or("", String::as_str);
        spawn::begin(draft, given, &birth, cgroup, command)
    }

    fn plan(&self, layout: &Layout, given: &Given) -> (crate::draft::Draft, Birthplace) {
        let spec = self.spec();
        let process = spec.process().as_ref();
        let terminal = process.and_then(|p| p.terminal()) == Some(true);
        let parent = if is_shared(spec) { around::mount_above(&self.record.rootfs) } else { None };
        let notify = self.claim.as_ref().map(|claim| readiness::folder(&claim.folder));
        let facts = Facts {
            bundle: &self.bundle.path,
            rootfs: &self.options.rootfs,
            layout,
            tasks: given.tasks.len(),
            cgroup: self.record.own_cgroup(),
            cgroup_namespace: plan::kinds(spec) & plan::namespace_flag(LinuxNamespaceType::Cgroup)
                != 0,
            streams: match (terminal, &given.stdio) {
                (true, _) => Streams::Terminal,
                (false, Some(_)) => Streams::Given,
                (false, None) => Streams::Inherit,
            },
            waits: self.waits,
            hooks: hooks::any(spec, &[List::Prestart, List::CreateRuntime, List::CreateContainer]),
            start_hooks: !self.waits && hooks::any(spec, &[List::StartContainer]),
            preserve_fds: self.options.preserve_fds.saturating_add(self.options.listen_fds),
            listen_fds: self.options.listen_fds,
            notify: notify.as_deref().zip(self.options.notify.as_deref()),
            pivot: !self.options.no_pivot,
            revealing: if self.options.no_pivot {
                around::revealing(&self.record.rootfs)
            } else {
                Vec::new()
            },
            keyring: !self.options.no_new_keyring,
            unprivileged: is_unprivileged(),
            no_groups: self.no_groups,
            late_network: self.network.is_some(),
            root_parent: parent.as_deref(),
        };
        plan::container(spec, &facts)
    }

    /// All that the parent does while the child sets itself up.
    fn beside(&mut self, child: &mut Child) -> Result<()> {
        let spec = &self.bundle.spec;
        self.confine()?;
        child.settle()?;
        sys::cpus::use_all_cpus(child.pid());
        if let Some(group) = &self.record.rdt {
            group.enter(child.pid())?;
        }
        child.score(spec.process().as_ref())?;
        let profile = plan::loads_filter(spec);
        let filter = spawn::filter(&self.runtime.store.root, profile)?;
        self.record.cgroups = self.cgroup.as_ref().map(Cgroup::paths).unwrap_or_default();
        child.map_trees()?;
        if hooks::any(spec, &[List::Prestart, List::CreateRuntime, List::CreateContainer]) {
            child.await_point(point::HOOKS)?;
            let state = hooks::state(&self.record, Status::Creating, child.pid());
            hooks::run(spec, List::Prestart, &state, None)?;
            hooks::run(spec, List::CreateRuntime, &state, None)?;
            // The root is mounted there and not yet "/".
            let inside = Inside::of(spec, child.pidfd(), child.pid());
            hooks::run(spec, List::CreateContainer, &state, Some(inside))?;
            child.go_on()?;
        }
        let terminal = spec.process().as_ref().and_then(|p| p.terminal()) == Some(true);
        if terminal && matches!(self.options.console, Console::Keep) {
            child.keep_console()?;
        }
        child.last_word(filter.as_ref())?;
        if plan::listens(spec) {
            // What follows in it may wait for the listener's answers.
            child.await_listener()?;
            self.send_listener(child)?;
        }
        child.await_ready()?;
        self.has_process(child.pid())?;
        self.hand_over(child)
    }

    fn send_listener(&self, child: &mut Child) -> Result<()> {
        let Some(listener) = child.listener.take() else { return Ok(()) };
        send_listener(self.spec(), &self.record, listener, child.pid())
    }

    /// From now on `pid` is the container's first process.
    pub(crate) fn has_process(&mut self, pid: i32) -> Result<()> {
        self.record.begins_with(pid).map_err(|source| Error::Clone { source })?;
        self.save()?;
        self.pid_file.take().map_or(Ok(()), |file| file.write(pid))
    }

    /// The pty and the filter's listener go to who asked for them; hooks before the command run.
    fn hand_over(&mut self, child: &mut Child) -> Result<()> {
        let spec = &self.bundle.spec;
        if let Console::Socket(path) = &self.options.console {
            send_master(child, path)?;
        }
        if let Some(path) = &self.options.pidfd_socket {
            send_pidfd(child, path)?;
        }
        if self.waits {
            return Ok(());
        }
        if hooks::any(spec, &[List::StartContainer]) {
            let state = hooks::state(&self.record, Status::Created, child.pid());
            let (runtime, record, process) = (self.runtime, &self.record, child.pidfd());
            hooks::contained::run(&Home { runtime, record, spec, process }, &state)?;
            child.go_on()?;
        }
        child.await_begin()?;
        let state = hooks::state(&self.record, Status::Running, child.pid());
        hooks::run(spec, List::Poststart, &state, None)
    }

    fn finish(mut self, child: Child) -> Result<Created> {
        let (pid, pidfd, master) = child.release()?;
        self.keep();
        let console = master.filter(|_| matches!(self.options.console, Console::Keep));
        Ok(Created { pid, pidfd, console, readiness: self.readiness.take() })
    }

    /// It is made: nothing is undone any more.
    pub(crate) fn keep(&mut self) {
        self.claim = None;
        self.cgroup = None;
        self.holder = None;
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let deadline = Instant::now() + self.patience.max(UNDO_AT_LEAST);
        let held = self.holder.take().is_some();
        if let (true, None, Some(unit)) = (held, &self.cgroup, &self.record.unit) {
            let _ = systemd::stop(unit, deadline);
        }
        // The child has been ended before; the failure that led here is the one to tell.
        if let Some(cgroup) = self.cgroup.take() {
            let unit = self.record.unit.as_deref();
            let _ = remove::remove_cgroup(cgroup, unit, deadline);
        }
        if self.claim.is_some() && self.record.owns {
            let _ = self.record.rdt.as_ref().map(rdt::Group::remove);
        }
        if let Some(claim) = self.claim.take() {
            hooks::poststop(self.spec(), &self.record, &self.runtime.notes);
            let _ = claim.remove();
        }
    }
}

fn is_unprivileged() -> bool {
    sys::seqpacket::own_uid() != 0
}

fn resources(spec: &Spec) -> Option<&LinuxResources> {
    spec.linux().as_ref().and_then(|linux| linux.resources().as_ref())
}

fn is_shared(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let word = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
    matches!(word, Some("shared" | "rshared"))
}

/// Where the container's cgroup is to be, and the systemd scope that it is.
fn place(driver: CgroupDriver, spec: &Spec, id: &str) -> Result<(String, Option<Unit>)> {
    let path = spec.linux().as_ref().and_then(|l| l.cgroups_path().as_ref());
    let path = path.map(|path| path.to_string_lossy()).unwrap_or_default();
    Ok(match driver {
        CgroupDriver::Disabled => (String::new(), None),
        CgroupDriver::Cgroupfs if path.is_empty() => (format!("/{id}"), None),
        CgroupDriver::Cgroupfs => (path.into_owned(), None),
        CgroupDriver::Systemd => {
            let mut unit = Unit::of(&path, id)?;
            spec.annotations().as_ref().map_or(Ok(()), |all| unit.ask(all))?;
            (unit.cgroup.clone(), Some(unit))
        }
    })
}
