//! Containers on disk: `ROOT/<id>/state`, one line of JSON and then config.json as it was.
//!
//! The folder is the claim on the id (mkdir is atomic); whoever changes a container holds a lock on
//! it. A state is written to a temporary file and renamed. What is written before the kernel is
//! touched is enough to remove everything: an operation killed at any point leaves a container that
//! `delete --force` can clean. It gets its name only when the cgroup has been found to be nobody
//! else's: until then nothing is ended for it.
//! A process is known by pid and start time. The boot id tells the state of a former boot.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci::Status;
use oci::runtime::{LinuxNamespaceType, Spec};
use serde::{Deserialize, Serialize};
use sys::children::Birth;

use crate::bundle;
use crate::cgroup::{Cgroup, Layout};
use crate::error::{Error, Result};
use crate::{plan, rdt, readiness};

const STATE: &str = "state";
/// A state under way; without the other one, that of a container which owns nothing yet.
const UNFINISHED: &str = "state.new";
/// Where a created container waits.
const SOCKET: &str = "start.sock";
/// Longest wait for whoever else works on a container.
pub(crate) const CLAIM_WITHIN: Duration = Duration::from_secs(5);
/// How often the lock is asked for meanwhile.
const LOCK_STEP: Duration = Duration::from_millis(5);
/// Version of the file.
const VERSION: u32 = 2;

/// The first line of a state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) id: String,
    /// The boot that it belongs to.
    pub(crate) boot: String,
    /// First process; 0 while it is being made.
    pub(crate) pid: i32,
    /// Of its birth one of the two; 0 is none. Who knows the first alone, and would take the
    /// other's process for another one, misses it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) start_time: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) pidfd_inode: u64,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) created_unix_ns: u64,
    pub(crate) uid: u32,
    /// linux.cgroupsPath, or what stands for it.
    pub(crate) cgroup: String,
    /// Its folders by controller, once they are made.
    #[serde(default)]
    pub(crate) cgroups: BTreeMap<String, PathBuf>,
    /// Its systemd scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    /// There are poststart or startContainer hooks for `start`, or poststop ones.
    #[serde(default)]
    pub(crate) hooks: bool,
    /// Its processes keep the caller's session keyring.
    #[serde(default)]
    pub(crate) foreign_keyring: bool,
    /// Its PID namespace is not its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) shares_pids: bool,
    /// It has none: its maker had no right to make one, or was told not to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) no_cgroup: bool,
    /// Its resctrl group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rdt: Option<rdt::Group>,
    /// Its cgroup, scope and resctrl group are its own: what is in them may be ended. Told by the
    /// name of the file.
    #[serde(skip)]
    pub(crate) owns: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's way to ask")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

/// What a state of any version has.
#[derive(Debug, Deserialize)]
struct Version {
    version: u32,
}

/// Where the cgroup is, of a state that tells little else.
#[derive(Debug, Deserialize)]
struct Place {
    cgroup: String,
}

impl Record {
    /// A record before anything of the container exists.
    pub(crate) fn new(id: &str, bundle: &bundle::Bundle, cgroup: &str) -> Record {
        let spec = &bundle.spec;
        let root = spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path());
        let annotations = spec.annotations().iter().flatten();
        Record {
            version: VERSION,
            id: id.to_owned(),
            boot: boot_id(),
            pid: 0,
            start_time: 0,
            pidfd_inode: 0,
            bundle: bundle.path.clone(),
            rootfs: bundle.path.join(root),
            created_unix_ns: sys::clock::unix_ns(),
            uid: sys::seqpacket::own_uid(),
            cgroup: cgroup.to_owned(),
            cgroups: BTreeMap::new(),
            unit: None,
            annotations: annotations.map(|(k, v)| (k.clone(), v.clone())).collect(),
            hooks: spec.hooks().is_some(),
            foreign_keyring: false,
            shares_pids: !plan::has_new(spec, LinuxNamespaceType::Pid),
            no_cgroup: false,
            rdt: None,
            owns: false,
        }
    }

    /// Where its cgroup is, if it has one.
    pub(crate) fn own_cgroup(&self) -> Option<&str> {
        (!self.no_cgroup).then_some(self.cgroup.as_str())
    }

    /// The cgroup that there is; one that is gone, or not its own yet, is empty.
    pub(crate) fn open_cgroup(&self) -> Result<Cgroup> {
        if self.owns && self.cgroups.is_empty() && !self.no_cgroup {
            return Ok(Cgroup::open(&Layout::detect()?, &self.cgroup)?);
        }
        Ok(Cgroup::from_paths(&self.cgroups)?)
    }

    /// From now on `pid` is the first process.
    pub(crate) fn begins_with(&mut self, pid: i32) -> std::io::Result<()> {
        self.pid = pid;
        match sys::children::birth(pid)? {
            Birth::Inode(inode) => self.pidfd_inode = inode,
            Birth::StartTime(time) => self.start_time = time,
        }
        Ok(())
    }

    /// A pidfd of the first process while it lives.
    pub(crate) fn process(&self) -> Option<OwnedFd> {
        if self.pid == 0 {
            return None;
        }
        let birth = match self.pidfd_inode {
            0 => Birth::StartTime(self.start_time),
            inode => Birth::Inode(inode),
        };
        let process = sys::children::open_born(self.pid, birth).ok().flatten()?;
        if self.boot != boot_id() {
            return None;
        }
        // A zombie has ended, whether or not somebody has asked how.
        let now = Instant::now();
        let ended = sys::teardown::any_ended(std::slice::from_ref(&process), now);
        let ended = ended.unwrap_or(false);
        (!ended).then_some(process)
    }
}

/// The folder of one container, locked.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) folder: PathBuf,
    _lock: File,
}

/// All containers below a root.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) root: PathBuf,
}

impl Store {
    pub(crate) fn folder(&self, id: &str) -> Result<PathBuf> {
        if !is_valid_id(id) {
            return Err(Error::BadId { id: id.to_owned() });
        }
        Ok(self.root.join(id))
    }

    /// Makes the folder of a new container.
    pub(crate) fn claim_new(&self, id: &str) -> Result<Claim> {
        let folder = self.folder(id)?;
        let make = || DirBuilder::new().mode(0o711).create(&folder);
        let made = match make() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let root = || DirBuilder::new().recursive(true).mode(0o700).create(&self.root);
                root().map_err(Error::io("make", &self.root))?;
                make()
            }
            other => other,
        };
        match made {
            Ok(()) => lock(folder.clone(), Instant::now() + CLAIM_WITHIN).inspect_err(|_| {
                // Empty, or somebody else's by now; the failure is the one to tell.
                let _ = fs::remove_dir(folder);
            }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::Exists { id: id.to_owned() })
            }
            Err(error) => Err(Error::io("make", folder)(error)),
        }
    }

    /// Waits for whoever works on the container and keeps others away.
    pub(crate) fn claim(&self, id: &str, deadline: Instant) -> Result<Claim> {
        let folder = self.folder(id)?;
        match lock(folder, deadline) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Err(Error::NotFound { id: id.to_owned() })
            }
            other => other,
        }
    }

    /// The record of a container; one that was never finished is made up from its name.
    pub(crate) fn record(&self, id: &str) -> Result<Record> {
        Ok(self.read(id)?.0)
    }

    /// The record and the document.
    pub(crate) fn record_and_spec(&self, id: &str) -> Result<(Record, Spec)> {
        let (record, rest) = self.read(id)?;
        let spec = bundle::parse(&rest, &self.folder(id)?.join(STATE), |_| ())?;
        Ok((record, spec))
    }

    fn read(&self, id: &str) -> Result<(Record, Vec<u8>)> {
        let (path, line, rest) = self.lines(id)?;
        match serde_json::from_slice::<Record>(&line) {
            // Of another version, too: what it adds is not needed here.
            Ok(record) => Ok((Record { owns: path.ends_with(STATE), ..record }, rest)),
            // Its maker writes it now, or died while it did.
            Err(_) if path.ends_with(UNFINISHED) => Err(Error::NotFound { id: id.to_owned() }),
            Err(error) => {
                let version = serde_json::from_slice::<Version>(&line).map(|v| v.version);
                let other = version.ok().filter(|version| *version != VERSION);
                let of = |v| format!("has version {v}, not {VERSION}: {error}");
                Err(Error::Config { path, problem: other.map_or_else(|| error.to_string(), of) })
            }
        }
    }

    /// The file of a container's state, its first line and the rest.
    fn lines(&self, id: &str) -> Result<(PathBuf, Vec<u8>, Vec<u8>)> {
        let folder = self.folder(id)?;
        for path in [STATE, UNFINISHED].map(|name| folder.join(name)) {
            match fs::read(&path) {
                Ok(mut text) => {
                    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
                    let rest = text.split_off((end + 1).min(text.len()));
                    return Ok((path, text, rest));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("read", path)(error)),
            }
        }
        Err(Error::NotFound { id: id.to_owned() })
    }

    /// Where a container's cgroup most likely is whose record cannot be read.
    pub(crate) fn likely_cgroup(&self, id: &str) -> String {
        let (line, rest) = self.lines(id).map(|(_, line, rest)| (line, rest)).unwrap_or_default();
        let told = || Some(serde_json::from_slice::<Place>(&line).ok()?.cgroup);
        let asked = || {
            let spec = bundle::parse(&rest, Path::new(STATE), |_| ()).ok()?;
            let path = spec.linux().as_ref()?.cgroups_path().as_ref()?;
            Some(path.to_string_lossy().into_owned())
        };
        let some = |path: &String| !path.is_empty();
        told().filter(some).or_else(|| asked().filter(some)).unwrap_or_else(|| format!("/{id}"))
    }

    /// Ids below the root, sorted.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.root)(error)),
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|id| is_valid_id(id) && self.has_state(id))
            .collect();
        ids.sort();
        Ok(ids)
    }

    fn has_state(&self, id: &str) -> bool {
        [STATE, UNFINISHED].iter().any(|name| self.root.join(id).join(name).is_file())
    }
}

impl Claim {
    /// Writes the state as a whole.
    pub(crate) fn write(&self, record: &Record, config: &[u8]) -> Result<()> {
        self.draft(record, config)?;
        self.own()
    }

    /// The state that was drafted is that of a container whose cgroup is its own.
    pub(crate) fn own(&self) -> Result<()> {
        let (path, unfinished) = (self.folder.join(STATE), self.folder.join(UNFINISHED));
        fs::rename(unfinished, &path).map_err(Error::io("write", path))
    }

    /// Writes the state of a container that owns nothing yet.
    pub(crate) fn draft(&self, record: &Record, config: &[u8]) -> Result<()> {
        let path = self.folder.join(UNFINISHED);
        let mut bytes =
            serde_json::to_vec(record).map_err(|error| Error::io("write", &path)(error.into()))?;
        bytes.push(b'\n');
        bytes.extend_from_slice(config);
        // Not synced: what is below /run ends with the boot, as the container does.
        // For its owner alone, whatever the caller's umask is.
        let mut options = File::options();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&bytes))
            .map_err(Error::io("write", path))
    }

    /// Writes the record anew and keeps the document.
    pub(crate) fn rewrite(&self, record: &Record) -> Result<()> {
        let path = self.folder.join(STATE);
        let text = fs::read(&path).map_err(Error::io("read", path))?;
        let line = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        self.write(record, text.get(line..).unwrap_or_default())
    }

    /// Where the container waits for `start`.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// Removes all that is kept of the container.
    pub(crate) fn remove(self) -> Result<()> {
        readiness::remove(&self.folder)?;
        for name in [SOCKET, UNFINISHED, STATE] {
            let path = self.folder.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("remove", path)(error));
                }
                _ => {}
            }
        }
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io("remove", self.folder)(error))
            }
            _ => Ok(()),
        }
    }
}

fn lock(folder: PathBuf, deadline: Instant) -> Result<Claim> {
    let file = File::open(&folder).map_err(Error::io("open", &folder))?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                sys::teardown::until((Instant::now() + LOCK_STEP).min(deadline));
            }
            Err(TryLockError::WouldBlock) => {
                let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let holder = file.metadata().ok().and_then(|of| holder(of.ino()));
                return Err(Error::Locked { id, holder });
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", folder)(source)),
        }
    }
    // It may have been removed while we waited, and even made anew by somebody else.
    let ours = file.metadata().map_err(Error::io("open", &folder))?.ino();
    if fs::metadata(&folder).is_ok_and(|now| now.ino() == ours) {
        return Ok(Claim { folder, _lock: file });
    }
    Err(Error::io("open", folder)(ErrorKind::NotFound.into()))
}

/// Who holds a lock on the file of this inode: `1: FLOCK  ADVISORY  WRITE PID MAJ:MIN:INODE 0 EOF`.
fn holder(inode: u64) -> Option<i32> {
    let locks = sys::kernel_file::read("/proc/locks").ok()?;
    let of = |line: &str| {
        let mut words = line.split_whitespace().skip(4);
        let (pid, file) = (words.next()?, words.next()?);
        (file.rsplit(':').next()? == inode.to_string()).then(|| pid.parse().ok()).flatten()
    };
    locks.lines().find_map(of)
}

/// Where a container is in its life.
pub(crate) fn status(record: &Record, folder: &Path) -> Result<Status> {
    Ok(match status_by_files(record, folder)? {
        // Its `start` was killed before it could remove the socket.
        Status::Created if !waits(folder) => Status::Running,
        other => other,
    })
}

/// Whether the process waits for `start`. It goes on waiting: nothing is said to it.
pub(crate) fn waits(folder: &Path) -> bool {
    match sys::seqpacket::connect_now(&folder.join(SOCKET)) {
        Ok(_) => true,
        // Others wait before us.
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// As [`status`], for who connects to its socket anyway: a container that was started may still
/// count as created.
pub(crate) fn status_by_files(record: &Record, folder: &Path) -> Result<Status> {
    if record.pid == 0 {
        // Without a maker it will never be more.
        let made = File::open(folder).is_ok_and(|file| file.try_lock().is_err());
        return Ok(if made { Status::Creating } else { Status::Stopped });
    }
    if record.process().is_none() {
        return Ok(Status::Stopped);
    }
    if record.open_cgroup()?.is_frozen()? {
        return Ok(Status::Paused);
    }
    Ok(if folder.join(SOCKET).exists() { Status::Created } else { Status::Running })
}

fn is_valid_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    (1..=1024).contains(&id.len())
        && !id.starts_with('.')
        && id != "seccomp"
        && id.bytes().all(plain)
}

fn boot_id() -> String {
    let text = sys::kernel_file::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests;
