//! Namespaces of a pod with a user namespace of its own.
//!
//! A namespace belongs to the user namespace it was made in, and only who has rights there may
//! mount its procfs, sysfs or mqueue, or change its network. So the pod's are made together, by a
//! child that is born into all of them, sets them up from inside and waits for its end: the caller
//! pins them meanwhile. Who is in another user namespace cannot come back, so the caller never
//! enters them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use child::Op;
use oci::IdRange;
use sys::pin::Kind;

use crate::draft::{Draft, Source};
use crate::error::Result;
use crate::idmaps;
use crate::plan::{Birthplace, point};
use crate::spawn::{self, Child, Given};

/// What the namespaces are to be like.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The host's ids that are the pod's.
    pub ids: IdRange,
    /// The host name.
    pub hostname: &'a str,
    /// Files below /proc/sys and what is written to them.
    pub sysctls: Vec<(PathBuf, &'a str)>,
}

/// New user, network, IPC and UTS namespaces, which end with this unless they are pinned.
pub struct Held(Child);

impl Held {
    /// Of whom they are, as below /proc.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.pid()
    }
}

/// Makes them.
///
/// # Errors
/// [`crate::Error::Step`], [`crate::Error::Clone`].
pub fn hold(wanted: &Wanted<'_>) -> Result<Held> {
    let mut draft = Draft::default();
    draft.op(Op::Sync { point: point::MAPS, tell: true });
    draft.op(Op::BecomeRoot { groups: true });
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
    let name = draft.text(wanted.hostname);
    draft.op(Op::Hostname { name, length: length(wanted.hostname) });
    draft.op(Op::Loopback);
    for (path, value) in &wanted.sysctls {
        let (path, text) = (draft.path(path), draft.text(value));
        draft.op(Op::Write { path, text, length: length(value) });
    }
    draft.op(Op::Sync { point: point::BEGIN, tell: true });
    let all = [sys::abi::CLONE_NEWUSER, sys::abi::CLONE_NEWNET]
        .into_iter()
        .chain([sys::abi::CLONE_NEWIPC, sys::abi::CLONE_NEWUTS]);
    let flags = all.fold(0, |flags, flag| flags | u64::from(flag.cast_unsigned()));
    let birth = Birthplace { flags, mapped: true, user: true, ..Birthplace::default() };
    let mut child = spawn::begin(draft, Given::default(), &birth, None, "")?;
    child.await_point(point::MAPS)?;
    let map = wanted.ids.map();
    idmaps::write_both(child.pid(), &map, &map)?;
    child.go_on()?;
    child.await_point(point::BEGIN)?;
    Ok(Held(child))
}

/// A PID namespace for all of the pod's containers, within the namespaces pinned in `folder`: pid
/// and pidfd of its first process (`child::pid1`), a child of the caller.
///
/// # Errors
/// [`crate::Error::Step`], [`crate::Error::Clone`]; [`crate::Error::Io`] for a pin that is missing.
pub fn pid1(folder: &Path) -> Result<(i32, OwnedFd)> {
    let mut draft = Draft::default();
    let kinds = [
        (Kind::User, sys::abi::CLONE_NEWUSER),
        (Kind::Ipc, sys::abi::CLONE_NEWIPC),
        (Kind::Uts, sys::abi::CLONE_NEWUTS),
        (Kind::Net, sys::abi::CLONE_NEWNET),
    ];
    for (pin, flag) in kinds {
        let (path, kind) = (folder.join(pin.name()), flag.cast_unsigned());
        let slot = draft.slot(Source::Namespace { path, kind, changed_by: None });
        draft.op(Op::Setns { slot, kind });
        if pin == Kind::User {
            draft.op(Op::BecomeRoot { groups: true });
        }
    }
    let own = sys::abi::CLONE_NEWPID | sys::abi::CLONE_NEWNS;
    draft.op(Op::Fork { flags: u64::from(own.cast_unsigned()) });
    draft.op(Op::Reap);
    let birth = Birthplace { user: true, ..Birthplace::default() };
    let mut child = spawn::begin(draft, Given::default(), &birth, None, "")?;
    child.settle()?;
    // Its end of the socket is closed when it has set itself up, or has ended.
    child.await_begin()?;
    let (pid, pidfd, _) = child.release()?;
    Ok((pid, pidfd))
}
