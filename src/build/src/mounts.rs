//! The mounts of a RUN step: what is made for each on the host's side, and what is taken away from
//! the image afterwards.
//!
//! Invariant: a mount leaves nothing in the layer. The runtime makes missing mount points in the
//! root file system; those that were not there before and are still empty are removed again.

use std::fs::{self, File, TryLockError};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use image::Digest;
use serde_json::{Value, json};
use sys::dir::{self, Stamp};
use sys::survey::{self, Form};

use crate::agent::Agent;
use crate::error::{At, Error, Result};
use crate::ignore::clean;
use crate::instruction::{Mount, MountKind};
use crate::interrupt::Interrupt;

/// Prepared mounts.
#[derive(Default)]
pub(crate) struct Mounts {
    /// For config.json.
    pub(crate) list: Vec<Value>,
    /// Secrets that are given as variables.
    pub(crate) env: Vec<(String, String)>,
    /// Folders of cache mounts, and whether they are to be the step's alone.
    caches: Vec<(PathBuf, File, bool)>,
    /// Sockets that lead to an agent.
    agents: Vec<Agent>,
    /// Where files of other trees are shown meanwhile.
    shown: Vec<PathBuf>,
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for path in &self.shown {
            // It is read-only, and gone with this process's mount namespace at the latest.
            let _ = sys::volume::unmount(path);
        }
    }
}

fn bind(source: &Path, target: &str, writable: bool) -> Value {
    let access = if writable { "rw" } else { "ro" };
    json!({ "destination": target, "type": "bind", "source": source,
        "options": ["rbind", "rprivate", access, "nosuid", "nodev"] })
}

impl Mounts {
    /// Shows a file or folder of the host.
    pub(crate) fn bind(&mut self, source: &Path, target: &str, writable: bool) {
        self.list.push(bind(source, target, writable));
    }

    /// A path of ours in `folder` for an opened file or folder of another tree: whatever its own
    /// names lead to by the time that the runtime mounts it.
    pub(crate) fn show(&mut self, found: &OwnedFd, form: Form, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("shown-{}", self.shown.len()));
        match form {
            Form::Folder => fs::create_dir(&path),
            _ => File::create_new(&path).map(drop),
        }
        .at("making", &path)?;
        sys::volume::show(found.as_fd(), &path).at("showing", &path)?;
        self.shown.push(path.clone());
        Ok(path)
    }

    /// A folder that outlives the build, below `parent`.
    pub(crate) fn cache(&mut self, mount: &Mount, target: &str, parent: &Path) -> Result<()> {
        let MountKind::Cache { id, locked } = &mount.kind else { return Ok(()) };
        let name = id.as_deref().unwrap_or(target);
        let path = parent.join(Digest::of(name.as_bytes()).hex());
        if !path.is_dir() {
            fs::create_dir_all(&path).at("making", &path)?;
            let mode = fs::Permissions::from_mode(mount.mode.unwrap_or(0o755));
            fs::set_permissions(&path, mode).at("setting the rights of", &path)?;
            chown(&path, Some(mount.uid), Some(mount.gid)).at("giving an owner to", &path)?;
        }
        let folder = File::open(&path).at("opening", &path)?;
        self.bind(&path, target, mount.writable);
        self.caches.push((path, folder, *locked));
        Ok(())
    }

    /// Locks the folders of cache mounts for as long as these are: whoever prunes sees that they
    /// are used. In one order everywhere, so that no two steps wait for each other.
    pub(crate) fn lock(&mut self, interrupt: &Interrupt) -> Result<()> {
        self.caches.sort_by(|a, b| (&a.0, !a.2).cmp(&(&b.0, !b.2)));
        self.caches.dedup_by(|a, b| a.0 == b.0);
        for (path, folder, alone) in &self.caches {
            loop {
                let locked = if *alone { folder.try_lock() } else { folder.try_lock_shared() };
                match locked {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) => interrupt.check()?,
                    Err(TryLockError::Error(e)) => return Err(e).at("locking", path),
                }
                interrupt.pause();
            }
        }
        Ok(())
    }

    /// A socket in `folder` that leads to an agent of the command line.
    pub(crate) fn agent(
        &mut self,
        mount: &Mount,
        socket: Option<&Path>,
        target: &str,
        folder: &Path,
    ) -> Result<()> {
        let MountKind::Ssh { id, required } = &mount.kind else { return Ok(()) };
        let Some(socket) = socket else {
            let problem = format!("the SSH agent {id} is not given");
            return match required {
                true => Err(Error::refused(problem, &format!("give it: --ssh {id}"))),
                false => Ok(()),
            };
        };
        let name = format!("agent-{}", self.agents.len());
        let owner = (mount.uid, mount.gid, mount.mode.unwrap_or(0o600));
        let agent = Agent::new(folder, &name, socket, owner).at("making a socket in", folder)?;
        if self.agents.is_empty() {
            self.env.push(("SSH_AUTH_SOCK".into(), target.to_owned()));
        }
        self.agents.push(agent);
        self.bind(&folder.join(name), target, false);
        Ok(())
    }

    /// A secret of the command line, copied to `copy` for the step.
    pub(crate) fn secret(
        &mut self,
        mount: &Mount,
        source: Option<&Path>,
        target: &str,
        copy: &Path,
    ) -> Result<()> {
        let MountKind::Secret { env, required, id } = &mount.kind else { return Ok(()) };
        let Some(source) = source else {
            let name = id.as_deref().unwrap_or(target);
            let hint = format!("give it: --secret id={name},src=FILE");
            return match required {
                true => Err(Error::refused(format!("the secret {name} is not given"), &hint)),
                false => Ok(()),
            };
        };
        let bytes = fs::read(source).at("reading the secret", source)?;
        if let Some(name) = env {
            let value = String::from_utf8_lossy(&bytes).into_owned();
            self.env.push((name.clone(), value));
            if mount.target.is_none() {
                return Ok(());
            }
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(copy);
        let file = file.as_mut().map_err(|e| std::io::Error::from(e.kind())).at("making", copy)?;
        std::io::Write::write_all(file, &bytes).at("writing", copy)?;
        let mode = fs::Permissions::from_mode(mount.mode.unwrap_or(0o400));
        file.set_permissions(mode).at("setting the rights of", copy)?;
        chown(copy, Some(mount.uid), Some(mount.gid)).at("giving an owner to", copy)?;
        self.bind(copy, target, false);
        Ok(())
    }

    /// Memory.
    pub(crate) fn tmpfs(&mut self, target: &str, size: Option<u64>) {
        let mut options = vec!["nosuid".to_owned(), "nodev".to_owned(), "mode=1777".to_owned()];
        options.extend(size.map(|bytes| format!("size={bytes}")));
        self.list.push(json!({ "destination": target, "type": "tmpfs", "source": "tmpfs",
            "options": options }));
    }
}

/// Mount points that a root file system lacks.
pub(crate) struct Stubs {
    root: OwnedFd,
    /// Paths, deeper ones first.
    missing: Vec<String>,
    /// Folders that get an entry, and their times.
    above: Vec<(String, Stamp)>,
}

impl Stubs {
    /// Looks which of the targets of a config.json are not there.
    pub(crate) fn of(root: &Path, config: &Value) -> Result<Stubs> {
        let fd = dir::open_root(root).at("opening", root)?;
        let mut stubs = Stubs { root: fd, missing: Vec::new(), above: Vec::new() };
        let mounts = config["mounts"].as_array().into_iter().flatten();
        for target in mounts.filter_map(|mount| mount["destination"].as_str()) {
            let mut have = String::new();
            for part in clean(target).split('/') {
                let path = format!("{have}/{part}");
                if stubs.look(&path).is_none() && !stubs.missing.contains(&path) {
                    if let Some(stamp) = stubs.look(&format!("{have}/.")) {
                        stubs.above.push((have.clone(), stamp));
                    }
                    stubs.missing.push(path.clone());
                }
                have = path;
            }
        }
        stubs.missing.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        Ok(stubs)
    }

    fn look(&self, path: &str) -> Option<Stamp> {
        let found = dir::find_in_root(&self.root, path.as_bytes());
        found.and_then(survey::look_fd).ok().map(|facts| facts.modified)
    }

    /// Removes what is still empty.
    pub(crate) fn remove(self) {
        for path in &self.missing {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let above = dir::open_in_root(&self.root, format!("{folder}/.").as_bytes());
            let Ok(above) = above else { continue };
            // What is not empty the step has made its own.
            match survey::look(&above, name.as_bytes()) {
                Ok(facts) if facts.form == Form::Folder => {
                    let _ = dir::remove_folder(&above, name.as_bytes());
                }
                Ok(facts) if facts.form == Form::File && facts.size == 0 => {
                    let _ = dir::remove_file(&above, name.as_bytes());
                }
                _ => {}
            }
        }
        for (folder, stamp) in &self.above {
            // Only a time: better a wrong one than a failed step.
            if let Ok(folder) = dir::open_in_root(&self.root, format!("{folder}/.").as_bytes()) {
                let _ = dir::set_times_fd(&folder, *stamp);
            }
        }
    }
}

/// A file of ours with this text.
pub(crate) fn written(path: PathBuf, text: &str, mode: u32) -> Result<PathBuf> {
    fs::write(&path, text).at("writing", &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).at("writing", &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red where the order of one folder's entries is another: shared with others.
    #[test]
    fn a_cache_that_is_used_twice_is_alone_where_one_use_wants_it() {
        let folder = scope::Folder::new("caches");
        let mut mounts = Mounts::default();
        for locked in [false, true, false] {
            let kind = MountKind::Cache { id: Some("one".into()), locked };
            let mount = Mount { kind, target: None, writable: true, mode: None, uid: 0, gid: 0 };
            mounts.cache(&mount, "/c", &folder).unwrap();
        }
        mounts.lock(&Interrupt::default()).unwrap();
        assert_eq!((mounts.list.len(), mounts.caches.len()), (3, 1));
        let other = File::open(&mounts.caches[0].0).unwrap();
        assert!(matches!(other.try_lock_shared(), Err(TryLockError::WouldBlock)));
        drop(mounts);
        other.try_lock().unwrap();
    }
}
