//! `checkpoint`: a container's processes are written into files by criu, and end.
//!
//! What belongs to the host is not written but named, by the same keys as runc's, so that
//! `restore` can put the host's of that time in its place: bind mounts, files hidden by
//! /dev/null, devices, namespaces joined by path, and what descriptors 0 to 2 lead to
//! (`descriptors.json` and `places.json` in the folder of images).

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use oci::runtime::{LinuxNamespaceType, Spec};

use crate::cgroup::Layout;
use crate::criu::{self, Criu, Field, Options, Request, Step};
use crate::draft::Draft;
use crate::error::{Error, Result};
use crate::lifecycle::Operation;
use crate::plan::{self, absolute};
use crate::store::{CLAIM_WITHIN, Record};
use crate::{Runtime, remove};

/// What the host's descriptors 0 to 2 were, in the folder of images.
pub(crate) const DESCRIPTORS: &str = "descriptors.json";
/// Where mounts are, by their destinations, where these lead through links; beside it.
pub(crate) const PLACES: &str = "places.json";
pub(crate) type Places = BTreeMap<PathBuf, PathBuf>;
/// criu's log levels; 4 is all that helps to find an error.
pub(crate) const LOG_LEVEL: i32 = 4;

/// What criu does about cgroups.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum CgroupsMode {
    /// Nothing.
    Ignore = 0,
    /// Properties of what it makes anew.
    #[default]
    Soft = 3,
    /// Properties of all.
    Full = 4,
    /// All of them, and none may be there before.
    Strict = 5,
}

/// How criu keeps packets away while connections are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkLock {
    /// By iptables.
    Iptables = 1,
    /// By nf_tables.
    Nftables = 2,
    /// Not at all.
    Skip = 3,
}

/// What checkpoint and restore have in common. The bools are criu's options of these names.
#[allow(missing_docs, reason = "the bools are criu's options of these names")]
#[derive(Debug, Default, Clone)]
pub struct CriuOptions {
    /// criu's path; without, PATH says where it is.
    pub program: Option<PathBuf>,
    /// The folder of images.
    pub images: PathBuf,
    /// Where logs go; without, to the images.
    pub work: Option<PathBuf>,
    pub tcp_established: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub auto_dedup: bool,
    pub lazy_pages: bool,
    /// criu's default without.
    pub cgroups: CgroupsMode,
    /// The network namespace is made, and left empty.
    pub empty_network: bool,
    /// Without, iptables where that is installed, else nf_tables.
    pub network_lock: Option<NetworkLock>,
}

/// How a container is written.
#[derive(Debug, Default)]
pub struct CheckpointOptions {
    /// What restore has as well.
    pub criu: CriuOptions,
    /// The images of an earlier pre-dump, relative to the images.
    pub parent: Option<PathBuf>,
    /// It goes on afterwards.
    pub leave_running: bool,
    /// Memory alone, and it goes on.
    pub pre_dump: bool,
    /// Connections that are not yet established are left out.
    pub tcp_skip_in_flight: bool,
    /// Files that have been removed are linked again for the time.
    pub link_remap: bool,
    /// Where memory goes instead of into the images.
    pub page_server: Option<(String, u16)>,
    /// Gets a NUL when the server of lazy pages is ready.
    pub status: Option<File>,
}

pub(crate) fn checkpoint(
    runtime: &Runtime,
    id: &str,
    mut options: CheckpointOptions,
) -> Result<()> {
    let claim = runtime.store.claim(id, Instant::now() + CLAIM_WITHIN)?;
    let (record, spec) = runtime.store.record_and_spec(id)?;
    runtime.check(&record, &claim.folder, Operation::Checkpoint)?;
    if plan::shares_mounts(&spec) {
        let problem = "criu cannot write mounts that are in no mount namespace";
        return Err(Error::io("checkpoint", id)(std::io::Error::other(problem)));
    }
    let criu = Criu::start(options.criu.program.as_deref(), Draft::default(), 0)?;
    let mut asked = Options::default();
    let log_file = "dump.log";
    if plan::has_user_namespace(&spec) {
        // Its root has to find out at restore which images there are not; each is root's alone.
        make_folder(&options.criu.images, 0o711)?;
    }
    let folders = common(&mut asked, &options.criu, log_file, criu.pid())?;
    asked.set(Field::Pid, record.pid);
    asked.text(Field::Root, record.rootfs.as_os_str().as_encoded_bytes());
    asked.set_if(Field::LeaveRunning, options.leave_running);
    asked.set_if(Field::TcpSkipInFlight, options.tcp_skip_in_flight);
    asked.set_if(Field::LinkRemap, options.link_remap);
    if let Some((address, port)) = &options.page_server {
        asked.numbered(Field::PageServer, address, i32::from(*port));
    }
    if let Some(parent) = &options.parent {
        asked.text(Field::ParentImg, parent.as_os_str().as_encoded_bytes());
        asked.set(Field::TrackMem, true);
    }
    config_file(&mut asked, &record);
    if let Some(path) = freezer(&record) {
        asked.text(Field::FreezeCgroup, path.as_os_str().as_encoded_bytes());
    }
    if !options.pre_dump {
        let external = external(&spec, &Layout::detect()?, record.own_cgroup());
        mounts(&mut asked, external, &options.criu.images, record.pid)?;
        masked(&mut asked, &spec, record.pid);
        namespaces(&mut asked, &spec)?;
        descriptors(&mut asked, &options.criu.images, record.pid)?;
    }
    let request = if options.pre_dump { Request::PreDump } else { Request::Dump };
    let log = folders.log(log_file);
    criu.ask(request, asked, &log, |step: Step| match step.name.as_str() {
        "status-ready" => options.status.take().map_or(Ok(()), |mut file| {
            file.write_all(b"\0").map_err(Error::io("write to", "--status-fd"))
        }),
        _ => Ok(()),
    })?;
    drop(claim);
    if options.leave_running || options.pre_dump {
        return Ok(());
    }
    remove::delete(runtime, id, true)
}

/// The folders that criu is given; open while it works.
pub(crate) struct Folders {
    _images: File,
    _work: Option<File>,
    logs: PathBuf,
}

impl Folders {
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(name)
    }
}

/// What both requests say; `criu` is who will see the folders.
pub(crate) fn common(
    asked: &mut Options,
    options: &CriuOptions,
    log: &str,
    criu: i32,
) -> Result<Folders> {
    let images = folder(&options.images, criu)?;
    asked.set(Field::ImagesDirFd, images.as_raw_fd());
    let work = options.work.as_deref().map(|path| folder(path, criu)).transpose()?;
    if let Some(work) = &work {
        asked.set(Field::WorkDirFd, work.as_raw_fd());
    }
    asked.set(Field::LogLevel, LOG_LEVEL);
    asked.text(Field::LogFile, log);
    asked.set(Field::NotifyScripts, true);
    asked.set(Field::OrphanPtsMaster, true);
    asked.set(Field::ManageCgroups, true);
    asked.set(Field::ManageCgroupsMode, options.cgroups as i32);
    asked.set_if(Field::TcpEstablished, options.tcp_established);
    asked.set_if(Field::ExtUnixSk, options.ext_unix_sk);
    asked.set_if(Field::ShellJob, options.shell_job);
    asked.set_if(Field::FileLocks, options.file_locks);
    asked.set_if(Field::AutoDedup, options.auto_dedup);
    asked.set_if(Field::LazyPages, options.lazy_pages);
    if options.empty_network {
        asked.set(Field::EmptyNs, sys::abi::CLONE_NEWNET);
    }
    // criu's default calls iptables, which a host with nf_tables has no need of.
    let missing = || !criu::is_installed("iptables-restore");
    let method = options.network_lock.or_else(|| missing().then_some(NetworkLock::Nftables));
    if let Some(method) = method {
        asked.set(Field::NetworkLock, method as i32);
    }
    let logs = options.work.as_ref().unwrap_or(&options.images).clone();
    Ok(Folders { _images: images, _work: work, logs })
}

/// Makes a folder if it is missing, and opens it among the mounts that criu sees: it mounts below
/// it, which the kernel refuses on mounts of another namespace.
fn folder(path: &Path, criu: i32) -> Result<File> {
    make_folder(path, 0o700)?;
    let open = || {
        let own = File::open(path)?;
        let at = fs::read_link(format!("/proc/self/fd/{}", own.as_raw_fd()))?;
        let at = at.strip_prefix("/").unwrap_or(&at);
        File::open(Path::new(&format!("/proc/{criu}/root")).join(at))
    };
    open().map_err(Error::io("open", path))
}

fn make_folder(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Error::io("make", path)(error))
        }
        _ => Ok(()),
    }
}

/// runc's annotation.
pub(crate) const CONFIG: &str = "org.criu.config";

/// criu's own configuration wins over what it is asked; an annotation names another file.
pub(crate) fn config_file(asked: &mut Options, record: &Record) {
    match record.annotations.get(CONFIG).map(String::as_str) {
        Some("") => {}
        Some(path) => asked.text(Field::ConfigFile, path),
        None => asked.text(Field::ConfigFile, "/etc/criu/podvisor-oci.conf"),
    }
}

fn freezer(record: &Record) -> Option<PathBuf> {
    let of = |name: &str| record.cgroups.get(name).cloned();
    of("freezer").or_else(|| of(""))
}

/// The host's part of the mounts: where each is and, for `restore`, its source.
pub(crate) fn external(
    spec: &Spec,
    layout: &Layout,
    cgroup: Option<&str>,
) -> Vec<(PathBuf, PathBuf)> {
    let binds = spec.mounts().iter().flatten().filter(|mount| plan::is_bind(mount));
    let mut all: Vec<(PathBuf, PathBuf)> = binds
        .filter_map(|mount| Some((absolute(mount.destination()), mount.source().clone()?)))
        .collect();
    all.extend(plan::bound_devices(spec).into_iter().map(|path| (path.clone(), path)));
    all.extend(plan::cgroup_folders(spec, layout, cgroup));
    all
}

/// Names the host's mounts by where they are, which links may have led to, and keeps that.
fn mounts(
    asked: &mut Options,
    external: Vec<(PathBuf, PathBuf)>,
    images: &Path,
    pid: i32,
) -> Result<()> {
    let mut places = Places::new();
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let root = sys::tree::folder(&root).map_err(Error::io("open", root))?;
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    for (destination, _) in external {
        let place = place(&root, &table, &destination).unwrap_or_else(|| destination.clone());
        let key = place.as_os_str().as_encoded_bytes();
        asked.texts(Field::ExtMnt, key, key);
        if place != destination {
            places.insert(destination, place);
        }
    }
    let path = images.join(PLACES);
    let text =
        serde_json::to_vec(&places).map_err(|error| Error::io("write", &path)(error.into()))?;
    fs::write(&path, text).map_err(Error::io("write", path))
}

/// Files hidden by the host's /dev/null.
fn masked(asked: &mut Options, spec: &Spec, pid: i32) {
    for path in spec.linux().iter().filter_map(|l| l.masked_paths().as_ref()).flatten() {
        let inside = PathBuf::from(format!("/proc/{pid}/root{path}"));
        if fs::metadata(inside).is_ok_and(|found| !found.is_dir()) {
            asked.texts(Field::ExtMnt, path, "/dev/null");
        }
    }
}

/// The mount point of what is at a path of the container, by the number of its mount.
fn place(root: &OwnedFd, table: &str, destination: &Path) -> Option<PathBuf> {
    let destination = destination.as_os_str().as_encoded_bytes();
    let found = sys::dir::find_in_root(root, destination).ok()?;
    let info = sys::kernel_file::read(format!("/proc/self/fdinfo/{}", found.as_raw_fd())).ok()?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    mount_point(table, mount)
}

/// Where the mount of a number is, by mountinfo.
fn mount_point(table: &str, mount: &str) -> Option<PathBuf> {
    let line = table.lines().find(|line| line.split(' ').next() == Some(mount))?;
    line.split(' ').nth(4).map(|path| PathBuf::from(crate::cgroup::unescape(path)))
}

/// The key that a namespace joined by path has in the images.
pub(crate) fn namespace_key(kind: LinuxNamespaceType) -> Option<(&'static str, &'static str)> {
    match kind {
        LinuxNamespaceType::Network => Some(("net", "extRootNetNS")),
        LinuxNamespaceType::Pid => Some(("pid", "extRootPidNS")),
        _ => None,
    }
}

fn namespaces(asked: &mut Options, spec: &Spec) -> Result<()> {
    for (kind, path) in plan::joined_namespaces(spec) {
        let Some((name, key)) = namespace_key(kind) else { continue };
        let found = fs::metadata(&path).map_err(Error::io("open namespace", path))?;
        asked.text(Field::External, format!("{name}[{}]:{key}", found.ino()));
    }
    Ok(())
}

/// What descriptors 0 to 2 lead to outside of the container.
fn descriptors(asked: &mut Options, images: &Path, pid: i32) -> Result<()> {
    let own = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let is_own = |id: &str| own.lines().any(|line| line.split(' ').next() == Some(id));
    let mut all = Vec::new();
    for number in 0..3 {
        let path = format!("/proc/{pid}/fd/{number}");
        let link = fs::read_link(&path).unwrap_or_default().to_string_lossy().into_owned();
        let info = sys::kernel_file::read(format!("/proc/{pid}/fdinfo/{number}"));
        let info = info.unwrap_or_default();
        let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
        all.push(match (mount, fs::metadata(&path)) {
            (Some(mount), Ok(found)) if link.starts_with('/') && !is_own(mount) => {
                let mount: u32 = mount.parse().unwrap_or(0);
                let key = match is_terminal(&found) {
                    true => format!("tty[{:x}:{:x}]", found.rdev(), found.dev()),
                    false => format!("file[{mount:x}:{:x}]", found.ino()),
                };
                asked.text(Field::External, &key);
                key
            }
            _ => link,
        });
    }
    let path = images.join(DESCRIPTORS);
    let text = serde_json::to_vec(&all).map_err(|error| Error::io("write", &path)(error.into()))?;
    fs::write(&path, text).map_err(Error::io("write", path))
}

/// Majors 136 to 143 are ptys.
fn is_terminal(found: &fs::Metadata) -> bool {
    found.file_type().is_char_device() && (136..=143).contains(&(found.rdev() >> 8 & 0xfff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_writes_spaces_its_own_way() {
        let table =
            "21 1 0:2 / /proc rw - proc proc rw\n30 21 0:5 /x /my\\040data rw - ext4 d rw\n";
        assert_eq!(mount_point(table, "30"), Some(PathBuf::from("/my data")));
        assert_eq!(mount_point(table, "3"), None);
    }
}
