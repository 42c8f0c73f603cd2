//! `mounts`: bind mounts come to a container that lives, and go.
//!
//! Nothing remembers them: they end with the container's mount namespace. The trees are cloned
//! here, in the caller's view; a child that has entered the container attaches them. Not here: its
//! program (`plan::live`).

use std::borrow::Cow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use oci::Finding;
use oci::idmap::spelled_out;
use oci::runtime::{Mount, Spec};
use oci::validate::LINK_OPTIONS;
use sys::launch::above_stdio;

use crate::Runtime;
use crate::error::{Error, Result};
use crate::lifecycle::Operation;
use crate::plan::{self, Live, point};
use crate::spawn::{self, Given};

/// Longest silence of the child, in ms: a file system of the container's may never answer it.
const SILENT_MAX_MS: u64 = 5_000;

/// Adds the mounts, or takes them away.
pub(crate) fn change(runtime: &Runtime, id: &str, mounts: &[Mount], add: bool) -> Result<()> {
    let (record, spec) = runtime.store.record_and_spec(id)?;
    check(&spec, mounts, add)
        .map_err(|findings| Error::Invalid { what: "mounts".to_owned(), findings })?;
    let status = runtime.check(&record, &runtime.store.folder(id)?, Operation::Mounts)?;
    if add && sys::seqpacket::own_uid() != 0 {
        let step = "clone mounts for a container".to_owned();
        return Err(Error::Mounts { step, errno: sys::abi::EPERM });
    }
    let user = plan::has_user_namespace(&spec);
    let (mounts_of, users) = namespaces(record.pid, user)?;
    // While it lives the number is nobody else's: neither was it when these were opened.
    let name = Operation::Mounts.name();
    let refused = || Error::Refused { operation: name, id: id.to_owned(), status };
    drop(record.process().ok_or_else(refused)?);
    let linux = spec.linux().as_ref();
    let spelled = |mount| spelled_out(mount, linux).unwrap_or(Cow::Borrowed(mount)).into_owned();
    let mounts: Vec<Mount> = mounts.iter().map(spelled).collect();
    let change = if add { Live::Add(&mounts, &record.bundle) } else { Live::Remove(&mounts) };
    let path = |users: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", users.as_raw_fd()));
    let (draft, birth) = plan::live(users.as_ref().map(path), change);
    let nothing = || sys::stdio::open_null().and_then(above_stdio);
    let stdio = [nothing(), nothing(), nothing()].into_iter().collect::<std::io::Result<Vec<_>>>();
    let stdio = stdio.map_err(Error::io("open", "/dev/null"))?;
    let given = Given {
        mounts: Some(mounts_of),
        users,
        stdio: <[OwnedFd; 3]>::try_from(stdio).ok(),
        notes: runtime.notes.clone(),
        ..Given::default()
    };
    let mut child = spawn::begin(draft, given, &birth, None, "")?;
    child.limit_waits(SILENT_MAX_MS)?;
    // It has nothing more to do then, and ends with its handle here.
    child.await_point(point::MOUNTED).map_err(|error| match error {
        Error::Step { step, errno, .. } => Error::Mounts { step, errno },
        Error::Silent { .. } => Error::MountsSilent,
        other => other,
    })
}

/// The mount namespace of a container's first process, and the user namespace that owns it where
/// the container has one.
///
/// The kernel locks what a mount forbids when it is copied into a user namespace of fewer rights:
/// one that the process has made for itself, in which it has all rights over mounts, would get them
/// unlocked.
fn namespaces(pid: i32, user: bool) -> Result<(OwnedFd, Option<OwnedFd>)> {
    let open = |path: &str| {
        let file = sys::tree::namespace(Path::new(path)).and_then(above_stdio);
        file.map_err(Error::io("open namespace", path))
    };
    let mounts = open(&format!("/proc/{pid}/ns/mnt"))?;
    let own = open("/proc/self/ns/user")?;
    let of_container = |file: BorrowedFd<'_>| -> std::io::Result<Option<OwnedFd>> {
        let owner = sys::tree::namespace_owner(file)?;
        let given = match user {
            true => sys::tree::namespace_parent(owner.as_fd())?,
            false => owner.try_clone()?,
        };
        sys::tree::is_same(given.as_fd(), own.as_fd()).map(|same| same.then_some(owner))
    };
    match of_container(mounts.as_fd()) {
        Ok(Some(owner)) => {
            let owner = user.then(|| above_stdio(owner)).transpose();
            Ok((mounts, owner.map_err(|source| Error::Clone { source })?))
        }
        _ => Err(Error::ForeignMounts { pid }),
    }
}

/// What of the mounts cannot be, by field.
fn check(spec: &Spec, mounts: &[Mount], add: bool) -> std::result::Result<(), Vec<Finding>> {
    let mut found = Vec::new();
    let linux = spec.linux().as_ref();
    let kept = [
        linux.and_then(|linux| linux.masked_paths().as_deref()),
        linux.and_then(|linux| linux.readonly_paths().as_deref()),
    ];
    let kept: Vec<&String> = kept.into_iter().flatten().flatten().collect();
    let mut say = |index: usize, field: &str, problem: &str| {
        let path = format!("mounts[{index}].{field}");
        found.push(Finding { path, problem: problem.to_owned() });
    };
    for (index, mount) in mounts.iter().enumerate() {
        let destination = plan::absolute(mount.destination());
        if destination.components().any(|component| component == Component::ParentDir) {
            say(index, "destination", "has .. in it");
        }
        if destination.components().as_path() == Path::new("/") {
            say(index, "destination", "is the container's root");
        }
        if kept.iter().any(|path| plan::absolute(Path::new(path)) == destination) {
            say(index, "destination", "is one of linux.maskedPaths or linux.readonlyPaths");
        }
        // Maps that are none are told with the rest.
        let mount = spelled_out(mount, linux).unwrap_or(Cow::Borrowed(mount));
        let words = mount.options().as_deref().unwrap_or_default();
        if add && words.iter().any(|word| LINK_OPTIONS.contains(&word.as_str())) {
            say(index, "options", "says what to make of links: none is followed here");
        }
        if add && (!plan::is_bind(&mount) || words.iter().any(|word| word == "remount")) {
            say(index, "type", "is not bind: nothing else comes to a container that lives");
        } else if add
            && let unknown = plan::unknown_options(words)
            && !unknown.is_empty()
        {
            say(index, "options", &format!("no such option: {unknown}"));
        }
    }
    if plan::shares_mounts(spec) {
        let path = "linux.namespaces".to_owned();
        let problem = "has no mount namespace: what is mounted would be the host's".to_owned();
        found.push(Finding { path, problem });
    }
    if !found.is_empty() {
        return Err(found);
    }
    // The rest is as in config.json, beside what the container is.
    let mut whole = spec.clone();
    let place = |mount: &Mount| {
        let mut bare = Mount::default();
        bare.set_destination(mount.destination().clone()).set_typ(Some("bind".to_owned()));
        bare.set_source(Some(PathBuf::from("/"))).set_options(None);
        bare
    };
    let all = if add { mounts.to_vec() } else { mounts.iter().map(place).collect() };
    whole.set_mounts(Some(all));
    oci::validate::validate(&whole)
}
