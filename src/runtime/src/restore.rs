//! `restore`: a container is made anew from the images of `checkpoint`.
//!
//! State and cgroup are made as by `create`; criu then makes the processes, in the cgroup and as
//! our children. It works in a mount namespace of its own, where the root is a mount, as criu
//! needs it: the host's mounts stay as they are, however it ends. Of the hooks prestart and
//! createRuntime run, when the namespaces are there, as runc has it.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use child::{NO_SLOT, Op};
use oci::Status;
use oci::runtime::{LinuxNamespaceType, Mount};

use crate::bundle::Bundle;
use crate::cgroup::Layout;
use crate::checkpoint::{self, CriuOptions, DESCRIPTORS, PLACES, Places};
use crate::create::{Console, CreateOptions, Created, Making};
use crate::criu::{Criu, Field, Options, Request, Step};
use crate::draft::Draft;
use crate::error::{Error, Result};
use crate::hooks::{self, List};
use crate::plan::{self, absolute};
use crate::{Runtime, modules};

/// How a container is restored, beside what is said for its making.
#[derive(Debug, Default)]
pub struct RestoreOptions {
    /// What checkpoint has as well.
    pub criu: CriuOptions,
    /// Another AppArmor profile or SELinux label than it had.
    pub lsm_profile: Option<String>,
    /// Another SELinux context of its mounts.
    pub lsm_mount_context: Option<String>,
    /// Connections that were established are closed.
    pub tcp_close: bool,
}

pub(crate) fn restore(
    runtime: &Runtime,
    id: &str,
    bundle: &Bundle,
    mut create: CreateOptions,
    options: &RestoreOptions,
) -> Result<Created> {
    fs::metadata(&options.criu.images).map_err(Error::io("open images", &options.criu.images))?;
    let places = places(&options.criu.images)?;
    let mut making = Making::begin(runtime, id, bundle, &mut create)?;
    let layout = Layout::detect()?;
    making.prepare(&layout)?;
    making.confine()?;
    making.record.cgroups = making.cgroup.as_ref().map(|c| c.paths()).unwrap_or_default();
    let program = options.criu.program.as_deref();
    // Open until criu has been asked: it gets them by number.
    let mut handed_down = joined(&making)?;
    handed_down.extend(descriptors(&options.criu.images)?);
    let mounts = u64::from(sys::abi::CLONE_NEWNS.cast_unsigned());
    let criu = Criu::start(program, set_up(&making, &places), mounts)?;
    if let Some(cgroup) = &making.cgroup {
        cgroup.enter(criu.pid())?;
    }
    let mut asked = Options::default();
    let log_file = "restore.log";
    let folders = checkpoint::common(&mut asked, &options.criu, log_file, criu.pid())?;
    let external = checkpoint::external(&bundle.spec, &layout, making.record.own_cgroup());
    external_mounts(&mut asked, external, &bundle.path, &places);
    request(&mut asked, &making, options, criu.pid())?;
    for (key, fd) in &handed_down {
        asked.numbered(Field::InheritFd, key, fd.as_raw_fd());
    }
    let mut master = None;
    let log = folders.log(log_file);
    let (maker, process) = (criu.pid(), bundle.spec.process().as_ref());
    let pid = criu.ask(Request::Restore, asked, &log, |step| {
        let profile = options.lsm_profile.as_deref();
        let done = match step.name.as_str() {
            "pre-resume" => modules::check_restored(process, profile, making.record.pid, maker),
            _ => reached(&mut making, step, &mut master),
        };
        // criu still holds what it has made: what is let go of then has ended.
        if done.is_err() && making.record.pid != 0 {
            end(making.record.pid);
        }
        done
    })?;
    if making.record.pid == 0 {
        making.has_process(pid)?;
    }
    let failed = |source| Error::Clone { source };
    let pidfd = sys::teardown::open_process(pid).map_err(failed)?;
    let console = master.filter(|_| matches!(making.options.console, Console::Keep));
    making.keep();
    Ok(Created { pid, pidfd, console, readiness: None })
}

/// Ends a process and all that it has made, which stand still.
fn end(pid: i32) {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        next += 1;
    }
    for pid in all {
        let process = sys::teardown::open_process(pid);
        let _ = process.map(|it| sys::teardown::signal_process(it.as_fd(), sys::abi::SIGKILL));
    }
}

/// What is done before criu goes on.
fn reached(making: &mut Making<'_>, step: Step, master: &mut Option<OwnedFd>) -> Result<()> {
    match step.name.as_str() {
        "setup-namespaces" => {
            let spec = &making.bundle.spec;
            let state = hooks::state(&making.record, Status::Creating, step.pid);
            hooks::run(spec, List::Prestart, &state, None)?;
            hooks::run(spec, List::CreateRuntime, &state, None)
        }
        "post-restore" => making.has_process(step.pid),
        "orphan-pts-master" => {
            let Some(fd) = step.fd else { return Ok(()) };
            if let Console::Socket(path) = &making.options.console {
                crate::handover::send_terminal(&fd, path)?;
            }
            *master = Some(fd);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn request(
    asked: &mut Options,
    making: &Making<'_>,
    options: &RestoreOptions,
    criu: i32,
) -> Result<()> {
    let spec = &making.bundle.spec;
    asked.set(Field::EvasiveDevices, true);
    asked.set(Field::RstSibling, true);
    asked.set_if(Field::TcpClose, options.tcp_close);
    asked.text(Field::Root, making.record.rootfs.as_os_str().as_encoded_bytes());
    checkpoint::config_file(asked, &making.record);
    for (kind, path) in plan::joined_namespaces(spec) {
        if checkpoint::namespace_key(kind).is_some() {
            continue;
        }
        if kind == LinuxNamespaceType::Cgroup {
            let problem = std::io::Error::other("criu joins no cgroup namespace");
            return Err(Error::io("join", path)(problem));
        }
        let path = path.as_os_str().as_encoded_bytes();
        asked.texts(Field::JoinNs, plan::namespace_name(kind), path);
    }
    // Where criu is now, the processes are to be.
    let place = fs::read_to_string(format!("/proc/{criu}/cgroup")).unwrap_or_default();
    for line in place.lines() {
        let mut words = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (words.next(), words.next()) {
            asked.texts(Field::CgRoot, controllers, path);
        }
    }
    if let Some(profile) = &options.lsm_profile {
        asked.text(Field::LsmProfile, profile);
    }
    if let Some(context) = &options.lsm_mount_context {
        asked.text(Field::LsmMountContext, context);
    }
    Ok(())
}

/// The host's part of the mounts, by where they are.
fn external_mounts(
    asked: &mut Options,
    external: Vec<(PathBuf, PathBuf)>,
    bundle: &Path,
    places: &Places,
) {
    for (destination, source) in external {
        let source = bundle.join(source);
        let place = places.get(&destination).unwrap_or(&destination).as_os_str();
        let (key, value) = (place.as_encoded_bytes(), source.as_os_str().as_encoded_bytes());
        asked.texts(Field::ExtMnt, key, value);
    }
    asked.texts(Field::ExtMnt, "/dev/null", "/dev/null");
}

/// Network and PID namespaces by path, open, with their keys in the images.
fn joined(making: &Making<'_>) -> Result<Vec<(String, OwnedFd)>> {
    let mut all = Vec::new();
    for (kind, path) in plan::joined_namespaces(&making.bundle.spec) {
        let Some((_, key)) = checkpoint::namespace_key(kind) else { continue };
        let file = sys::tree::namespace(&path)
            .and_then(|file| sys::seqpacket::hand_down(file.as_fd()))
            .map_err(Error::io("open namespace", path))?;
        all.push((key.to_owned(), file));
    }
    Ok(all)
}

/// What descriptors 0 to 2 led to is what they lead to now. By copies: criu closes what it was
/// given, and looks at its own input, too, when it is told of a shell's job.
fn descriptors(images: &Path) -> Result<Vec<(String, OwnedFd)>> {
    let path = images.join(DESCRIPTORS);
    let text = fs::read(&path).map_err(Error::io("read", &path))?;
    let all: Vec<String> = serde_json::from_slice(&text)
        .map_err(|error| Error::Config { path, problem: error.to_string() })?;
    let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let own = [input.as_fd(), output.as_fd(), errors.as_fd()];
    let mut copies = Vec::new();
    for (key, fd) in all.into_iter().zip(own) {
        if ["pipe:", "file[", "tty["].iter().any(|kind| key.starts_with(kind)) {
            let copy = sys::seqpacket::hand_down(fd);
            copies.push((key, copy.map_err(|source| Error::Clone { source })?));
        }
    }
    Ok(copies)
}

/// Where links had led mounts to; images of others do not tell.
fn places(images: &Path) -> Result<Places> {
    let path = images.join(PLACES);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Places::new()),
        other => other.map_err(Error::io("read", &path))?,
    };
    let problem = |error: serde_json::Error| error.to_string();
    serde_json::from_slice(&text).map_err(|e| Error::Config { path, problem: problem(e) })
}

/// Before criu: the root as a mount, and the places that mounts go to.
fn set_up(making: &Making<'_>, places: &Places) -> Draft {
    let mut draft = Draft::default();
    let path = draft.text("/");
    draft.op(Op::Propagate { path, flags: sys::abi::MS_SLAVE | sys::abi::MS_REC });
    let (source, at) = (draft.path(&making.record.rootfs), draft.path(&making.record.rootfs));
    draft.op(Op::RootBind { source, slot: NO_SLOT, at });
    let mut above: Vec<PathBuf> = Vec::new();
    for mount in making.bundle.spec.mounts().iter().flatten() {
        let destination = absolute(mount.destination());
        let place = places.get(&destination).unwrap_or(&destination).clone();
        // What is below another mount comes with that.
        let hidden = above.iter().any(|other| place.starts_with(other));
        above.push(place.clone());
        if !hidden {
            make_place(&mut draft, mount, &place, &making.bundle.path);
        }
    }
    draft
}

/// A folder, or a file where one is bound.
fn make_place(draft: &mut Draft, mount: &Mount, place: &Path, bundle: &Path) {
    let source = bundle.join(mount.source().as_deref().unwrap_or(Path::new("")));
    let is_file = plan::is_bind(mount) && fs::metadata(&source).is_ok_and(|s| !s.is_dir());
    let folder = if is_file { place.parent().unwrap_or(place) } else { place };
    let target = draft.path(folder);
    draft.op(Op::Folder { target });
    if is_file {
        let target = draft.path(place);
        let mode = sys::abi::S_IFREG | 0o755;
        draft.op(Op::Node { target, mode, device: 0, uid: 0, gid: 0 });
    }
}
