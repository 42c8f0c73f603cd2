//! RUN: a command in a container of its own, upon the image so far.

use std::path::Path;
use std::sync::atomic::Ordering;

use image::user;
use serde_json::{Value, json};
use sys::netns::Netns;
use sys::overlay;

use super::{Mounted, Work};
use crate::container::{self, Process, Runner};
use crate::error::{At, Error, Result};
use crate::ignore::Ignore;
use crate::instruction::{Command, Mount, MountKind, Network, Run, Step};
use crate::mounts::{self, Mounts, Stubs};
use crate::options::Event;
use crate::select;
use crate::state::{PROXIES, State};

const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// A command with its here-documents, as the words that are executed.
fn argv(state: &State, run: &Run) -> Vec<String> {
    let Command::Shell(text) = &run.command else { return state.argv(&run.command) };
    let Some(first) = run.documents.first() else { return state.argv(&run.command) };
    // Nothing but a here-document: it is the script.
    let alone = run.documents.len() == 1 && text.starts_with("<<") && !text.contains(' ');
    let script = if alone {
        first.content.clone()
    } else {
        let documents: Vec<&str> = run.documents.iter().map(|d| d.raw.as_str()).collect();
        format!("{text}\n{}", documents.join("\n"))
    };
    state.argv(&Command::Shell(script))
}

/// A path of our open file that other processes can open, too.
fn own_path(file: &std::os::fd::OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(file))
}

impl Work<'_> {
    pub(super) fn run(
        &mut self,
        (state, step): (State, &Step),
        run: &Run,
    ) -> Result<(State, bool)> {
        let number = self.number;
        let argv = argv(&state, run);
        let network = run.network.unwrap_or(self.options.network);
        let mut env = state.step_env();
        let mut counted = env.clone();
        counted.retain(|name, _| !PROXIES.contains(&name.as_str()));
        let mut told = Vec::new();
        for mount in &run.mounts {
            told.push(self.described(&state, mount)?);
        }
        let what = json!(["RUN", argv, counted, state.user(), state.workdir(), told]);
        let times = self.times();
        self.layer((state, step), &what, times, |work, state, mounted| {
            let (mut mounts, folder) = (Mounts::default(), work.fresh("bundle")?);
            for (i, mount) in run.mounts.iter().enumerate() {
                work.prepare((state, mount), &mut mounts, &folder.join(format!("{i}")))?;
            }
            mounts.lock(work.interrupt)?;
            work.names(network, &mut mounts, &folder)?;
            env.extend(mounts.env.drain(..));
            let lower = work.workshop.lower(&state.stack)?;
            let made = work.shared.contained.fetch_add(1, Ordering::Relaxed);
            let id = format!("build-{}-{made}", std::process::id());
            let isolated = match network {
                Network::Host => None,
                Network::None => {
                    let made = Netns::begin().and_then(|made| made.finish().map_err(|f| f.error));
                    Some(made.at("making", Path::new("a network"))?)
                }
            };
            let process = Process {
                argv,
                env: env.into_iter().collect(),
                cwd: state.workdir(),
                user: user::lookup(&lower, state.user())?,
                network: isolated.as_ref().map(own_path),
                mounts: std::mem::take(&mut mounts.list),
                root: &mounted.merged,
                cgroup: format!("{}-{id}", work.options.cgroup),
            };
            let events = work.events.clone();
            // The receiver outlives all stages.
            let mut told =
                |seconds, line| drop(events.send(Event::Output { number, seconds, line }));
            let code = work.contained(&process, (&id, &folder, mounted), &mut told)?;
            if code == 0 {
                return Ok(());
            }
            let (file, place, step) =
                (work.shared.file.file.clone(), step.place, step.text.clone());
            Err(Error::Command { file, place, step, code })
        })
    }

    fn contained(
        &self,
        process: &Process<'_>,
        (id, bundle, mounted): (&str, &Path, &Mounted),
        told: &mut dyn FnMut(f64, String),
    ) -> Result<i32> {
        let wrong = |e: serde_json::Error| Error::refused(format!("config.json: {e}"), "");
        let config = container::document(process).map_err(wrong)?;
        mounts::written(bundle.join("config.json"), &config.to_string(), 0o600)?;
        let stubs = Stubs::of(&mounted.merged, &config)?;
        let runner = Runner {
            runtime: &self.options.runtime,
            root: &self.shared.containers.path,
            interrupt: self.interrupt,
        };
        let code = runner.run(id, bundle, told);
        stubs.remove();
        code
    }

    /// Files that tell names: the host's where its network is.
    fn names(&self, network: Network, mounts: &mut Mounts, folder: &Path) -> Result<()> {
        let own = mounts::written(folder.join("hosts"), HOSTS, 0o644)?;
        let host = network == Network::Host;
        for (target, own) in [("/etc/hosts", Some(&own)), ("/etc/resolv.conf", None)] {
            let theirs = Path::new(target);
            if host && theirs.exists() {
                mounts.bind(theirs, target, false);
            } else if let Some(own) = own {
                mounts.bind(own, target, false);
            }
        }
        Ok(())
    }

    fn target(&self, state: &State, mount: &Mount) -> Result<String> {
        let refuse = |problem| Error::refused(problem, "");
        match (&mount.target, &mount.kind) {
            (Some(target), _) => {
                let path = state.resolve(&state.expand(target).map_err(refuse)?);
                Ok(if path == "/" { path } else { path.trim_end_matches('/').to_owned() })
            }
            (None, MountKind::Secret { id, .. }) => {
                Ok(format!("/run/secrets/{}", id.as_deref().unwrap_or_default()))
            }
            (None, MountKind::Ssh { id, .. }) => Ok(format!("/run/ssh/{id}")),
            (None, _) => Err(refuse("a mount has no target".into())),
        }
    }

    /// What of a mount decides the step's result.
    fn described(&mut self, state: &State, mount: &Mount) -> Result<Value> {
        let target = self.target(state, mount)?;
        let MountKind::Bind { from, source } = &mount.kind else {
            return Ok(json!([format!("{:?}", mount.kind), target]));
        };
        let tree = self.tree(from.as_deref())?;
        let mut digests = Vec::new();
        for chosen in tree.choose(source, &Ignore::default())? {
            digests.push(select::digest(&tree, &chosen)?.to_string());
        }
        Ok(json!(["bind", target, digests, mount.writable]))
    }

    fn prepare(
        &mut self,
        (state, mount): (&State, &Mount),
        mounts: &mut Mounts,
        own: &Path,
    ) -> Result<()> {
        let target = self.target(state, mount)?;
        match &mount.kind {
            MountKind::Cache { .. } => {
                let parent = self.workshop.store().build_cache().join("mounts");
                mounts.cache(mount, &target, &parent)
            }
            MountKind::Secret { id, .. } => {
                let last = target.rsplit('/').next().unwrap_or_default();
                let source = self.options.secrets.get(id.as_deref().unwrap_or(last));
                mounts.secret(mount, source.map(std::path::PathBuf::as_path), &target, own)
            }
            MountKind::Ssh { id, .. } => {
                let socket = self.options.agents.get(id).map(std::path::PathBuf::as_path);
                mounts.agent(mount, socket, &target, own.parent().unwrap_or(own))
            }
            MountKind::Tmpfs { size } => {
                mounts.tmpfs(&target, *size);
                Ok(())
            }
            MountKind::Bind { from, source } => {
                let (root, _) = self.origin(from.as_deref())?;
                self.bind((&root, source), mount.writable, (mounts, &target), own)
            }
        }
    }

    /// A bind mount; one that may be written to is written beside its source.
    fn bind(
        &mut self,
        (root, source): (&Path, &str),
        writable: bool,
        (mounts, target): (&mut Mounts, &str),
        own: &Path,
    ) -> Result<()> {
        let fd = sys::dir::open_root(root).at("opening", root)?;
        let inner = format!("./{}", crate::ignore::clean(source));
        let found = sys::dir::find_in_root(&fd, inner.as_bytes()).at("looking for", root)?;
        let facts = sys::survey::look_fd(&found).at("looking at", root)?;
        // Not by its path: links in it are the tree's (CVE-2024-1753).
        let path = mounts.show(&found, facts.form, own.parent().unwrap_or(own))?;
        if !writable || facts.form != sys::survey::Form::Folder {
            mounts.bind(&path, target, false);
            return Ok(());
        }
        let folder = self.fresh("writable")?;
        let part = |name: &str| {
            let path = folder.join(name);
            std::fs::create_dir(&path).at("making", &path).map(|()| path)
        };
        let (upper, work, merged) = (part("upper")?, part("work")?, part("merged")?);
        let changes = overlay::Upper { changes: &upper, work: &work };
        overlay::mount(&[path], Some(changes), &merged).at("mounting", &merged)?;
        mounts.bind(&merged, target, true);
        Ok(())
    }
}
