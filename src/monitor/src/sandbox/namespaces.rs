//! A pod's pinned namespaces and its shared PID 1: made where missing, else taken over.
//!
//! With ids of its own a pod's namespaces belong to its user namespace, which nobody enters who has
//! to come back: `runtime::sandbox` makes them from inside. Otherwise the monitor enters them.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::IdRange;
use runtime::cgroup::Cgroup;
use runtime::sandbox::Wanted;
use sys::pin::Kind;

use super::{NAMESPACES_FOLDER, Pid1, Sandbox};
use crate::error::chain;
use crate::record;
use crate::sandbox_config::{IDENTITY_FILE, Identity};
use crate::sysctl;

/// Namespaces that a pod with ids of its own has made together; the one that owns the others first.
const USERS: [Kind; 4] = [Kind::User, Kind::Net, Kind::Ipc, Kind::Uts];

impl Sandbox {
    pub(super) fn pin_namespaces(&self) -> io::Result<()> {
        let folder = self.pod_dir.join(NAMESPACES_FOLDER);
        if let Some(ids) = self.config.ids {
            return self.pin_with_users(&folder, ids);
        }
        let mut kinds = vec![Kind::Ipc, Kind::Uts];
        if !self.config.host_network {
            kinds.insert(0, Kind::Net);
        }
        kinds.retain(|kind| !sys::pin::is_pinned(&folder.join(kind.name())));
        if kinds.is_empty() {
            return Ok(());
        }
        sys::pin::create(&folder, &kinds, || self.set_up_namespaces(&kinds))
    }

    /// All or none: a namespace cannot be added to those of another user namespace.
    fn pin_with_users(&self, folder: &Path, ids: IdRange) -> io::Result<()> {
        if USERS.iter().all(|kind| sys::pin::is_pinned(&folder.join(kind.name()))) {
            return Ok(());
        }
        USERS.iter().try_for_each(|kind| sys::pin::unpin(&folder.join(kind.name())))?;
        let own = |(name, _): &(&String, &String)| sysctl::namespace(name).is_some();
        let sysctls = self.config.sysctl.iter().filter(own);
        let sysctls = sysctls.map(|(name, value)| (sysctl::path(name), value.as_str())).collect();
        let wanted = Wanted { ids, hostname: &self.config.hostname, sysctls };
        let told = |error| io::Error::other(chain(&error));
        let held = runtime::sandbox::hold(&wanted).map_err(told)?;
        let source = |kind: Kind| PathBuf::from(format!("/proc/{}/ns/{}", held.pid(), kind.name()));
        let pinned = USERS
            .iter()
            .try_for_each(|kind| sys::pin::pin(&source(*kind), &folder.join(kind.name())));
        if pinned.is_err() {
            for kind in USERS {
                // The first failure is the one to tell.
                let _ = sys::pin::unpin(&folder.join(kind.name()));
            }
        }
        pinned
    }

    /// Runs inside the new namespaces.
    fn set_up_namespaces(&self, kinds: &[Kind]) -> io::Result<()> {
        if kinds.contains(&Kind::Uts) {
            sys::pin::set_hostname(&self.config.hostname)?;
        }
        if kinds.contains(&Kind::Net) {
            sys::loopback::up()?;
        }
        for (name, value) in &self.config.sysctl {
            if sysctl::namespace(name).is_some_and(|kind| kinds.contains(&kind)) {
                let path = sysctl::path(name);
                fs::write(&path, value).map_err(|error| {
                    io::Error::new(error.kind(), format!("sysctl {name} = {value}: {error}"))
                })?;
            }
        }
        Ok(())
    }

    /// Takes over the PID 1 that runs, or starts one inside the pod's other namespaces.
    pub(super) fn ensure_pid1(&mut self) -> io::Result<()> {
        let pin = self.pin_path(Kind::Pid);
        if sys::pin::is_pinned(&pin) {
            if let Some(init) = self.find_pid1()? {
                self.pid1 = Some(init);
                return Ok(());
            }
            sys::pin::unpin(&pin)?;
        }
        let (pid, pidfd) = self.spawn_pid1()?;
        let start_time = sys::children::start_time(pid)?;
        self.pid1 = Some(Pid1 { pid, start_time, pidfd });
        let cgroup = format!("{}/init", self.config.cgroup_parent);
        Cgroup::create(&self.layout, &cgroup, None)
            .and_then(|cgroup| cgroup.enter(pid))
            .map_err(|error| io::Error::other(chain(&error)))?;
        sys::pin::pin(Path::new(&format!("/proc/{pid}/ns/pid")), &pin)
    }

    fn spawn_pid1(&self) -> io::Result<(i32, OwnedFd)> {
        let folder = self.pod_dir.join(NAMESPACES_FOLDER);
        if self.config.ids.is_some() {
            let made = runtime::sandbox::pid1(&folder);
            return made.map_err(|error| io::Error::other(chain(&error)));
        }
        let kinds: &[Kind] = match self.config.host_network {
            true => &[Kind::Ipc, Kind::Uts],
            false => &[Kind::Net, Kind::Ipc, Kind::Uts],
        };
        let init = sys::pin::enter(&folder, kinds, sys::pid1::spawn)?;
        Ok((init.pid, init.pidfd))
    }

    fn find_pid1(&self) -> io::Result<Option<Pid1>> {
        let identity: Option<Identity> = record::read(&self.pod_dir.join(IDENTITY_FILE))?;
        let Some((pid, start_time)) = identity.and_then(|identity| identity.pid1) else {
            return Ok(None);
        };
        let pidfd = sys::children::open(pid, start_time)?;
        Ok(pidfd.map(|pidfd| Pid1 { pid, start_time, pidfd }))
    }
}
