//! startContainer hooks: programs of the container, and no more than that.
//!
//! Their path is the image's. So each is one more process of the container, as `exec` makes them:
//! with the user, the capabilities, the filter, the cgroup and the namespaces of the command that
//! it precedes, and in its working folder. runc and crun run them so, too. What is not the
//! command's: the hook's words, and its variables where it has a list of them.

use std::os::fd::{BorrowedFd, OwnedFd};

use oci::State;
use oci::runtime::{Hook, Process, Spec};

use super::session::Session;
use super::{Told1, bytes};
use crate::cgroup::Cgroup;
use crate::create::Stdio;
use crate::error::{Error, Result};
use crate::plan::{self, Joining, Streams};
use crate::spawn::{self, Child};
use crate::store::Record;
use crate::{Runtime, exec};

/// The container that the hooks are of.
pub(crate) struct Home<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) record: &'a Record,
    pub(crate) spec: &'a Spec,
    /// Its first process.
    pub(crate) process: BorrowedFd<'a>,
}

/// Runs the startContainer hooks.
///
/// # Errors
/// The first that fails.
pub(crate) fn run(home: &Home<'_>, state: &State) -> Result<()> {
    let hooks = home.spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_deref());
    for (index, hook) in hooks.unwrap_or_default().iter().enumerate() {
        one(home, hook, state).map_err(|problem| Error::Hook {
            name: super::List::StartContainer.name(),
            index,
            path: hook.path().clone(),
            problem,
        })?;
    }
    Ok(())
}

fn one(home: &Home<'_>, hook: &Hook, state: &State) -> Told1<()> {
    let (session, stdio) = Session::begin(hook, state)?;
    let child = begin(home, hook, (&session, stdio)).map_err(|error| match error {
        Error::Command { errno, .. } => sys::errno::full(errno),
        other => other.to_string(),
    })?;
    let (_, pidfd, _) = child.release().map_err(|error| error.to_string())?;
    session.finish(&pidfd)
}

fn begin(
    home: &Home<'_>,
    hook: &Hook,
    (session, stdio): (&Session, [OwnedFd; 3]),
) -> Result<Child> {
    let hurry = |child: &Child| child.limit_waits(session.silence_max_ms());
    let Home { runtime, record, spec, process } = home;
    let cgroup: Cgroup = record.open_cgroup()?;
    let init = process.try_clone_to_owned().map_err(|source| Error::Clone { source })?;
    let mut given = exec::given(&cgroup, init, Stdio::Fds(stdio))?;
    given.root = exec::root(record, spec)?;
    let unprivileged = sys::seqpacket::own_uid() != 0;
    let joining = Joining {
        keyring: !record.foreign_keyring,
        tasks: given.tasks.len(),
        streams: Streams::Given,
        preserve_fds: 0,
        unprivileged,
        no_groups: crate::idmaps::denied_to(record.pid),
        first: exec::number_inside(spec, record.pid),
    };
    let (mut draft, birth) = plan::joined(spec, &command(spec, hook), &joining);
    if hook.env().is_some() {
        draft.program.ops.retain(|op| !matches!(op, child::Op::Home { .. }));
    }
    draft.program.candidates = draft.strings([bytes(hook.path())]);
    let mut child = spawn::begin(draft, given, &birth, Some(&cgroup), "")?;
    hurry(&child)?;
    child.settle()?;
    if let Some(group) = &record.rdt {
        group.enter(child.pid())?;
    }
    let filter = spawn::filter(&runtime.store.root, plan::loads_filter(spec))?;
    child.last_word(filter.as_ref())?;
    hurry(&child)?;
    if plan::listens(spec) {
        child.await_listener()?;
        hurry(&child)?;
    }
    // Nobody answers for a hook: what the filter asks about does not exist for it.
    drop(child.listener.take());
    child.await_ready()?;
    hurry(&child)?;
    child.await_begin()?;
    Ok(child)
}

/// The hook as a process of the container.
fn command(spec: &Spec, hook: &Hook) -> Process {
    let mut process = spec.process().clone().unwrap_or_default();
    let name = || vec![hook.path().display().to_string()];
    let args = hook.args().clone().filter(|args| !args.is_empty()).unwrap_or_else(name);
    if let Some(env) = hook.env() {
        process.set_env(Some(env.clone()));
    }
    process.set_args(Some(args)).set_terminal(None).set_exec_cpu_affinity(None);
    process
}
