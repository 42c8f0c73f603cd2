//! `exec`: one more process in a container.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci::runtime::{Process, Spec};
use sys::launch::above_stdio;

use crate::Runtime;
use crate::cgroup::Cgroup;
use crate::create::{Console, Created, Stdio};
use crate::error::{Error, Result};
use crate::handover::{PidFile, send_listener, send_master, send_pidfd};
use crate::lifecycle::Operation;
use crate::plan::{self, Joining, Streams};
use crate::spawn::{self, Given};
use crate::store::Record;

/// How a process is started, beside what it is.
#[derive(Debug, Default)]
pub struct ExecOptions {
    /// Descriptors 0 to 2, unless it has a terminal.
    pub stdio: Stdio,
    /// The pty's master.
    pub console: Console,
    /// How many descriptors from 3 on are passed.
    pub preserve_fds: u32,
    /// Where the pid is written.
    pub pid_file: Option<PathBuf>,
    /// The unix socket that gets the pidfd.
    pub pidfd_socket: Option<PathBuf>,
    /// Cgroups below the container's own: `PATH`, or `CONTROLLER,...:PATH`.
    pub cgroups: Vec<String>,
    /// Also when the container is paused.
    pub ignore_paused: bool,
}

pub(crate) fn exec(
    runtime: &Runtime,
    id: &str,
    process: &Process,
    options: ExecOptions,
) -> Result<Created> {
    oci::validate::validate_process(process)
        .map_err(|findings| Error::Invalid { what: "process".to_owned(), findings })?;
    crate::modules::check_process(process)?;
    let (record, spec) = runtime.store.record_and_spec(id)?;
    let operation = Operation::Exec { even_paused: options.ignore_paused };
    let status = runtime.check(&record, &runtime.store.folder(id)?, operation)?;
    let refused = || Error::Refused { operation: "exec in", id: id.to_owned(), status };
    let init = record.process().ok_or_else(refused)?;
    let cgroup = cgroup(&record.cgroups, &options.cgroups)?;
    let pid_file = options.pid_file.as_deref().map(PidFile::open).transpose()?;
    let mut given = given(&cgroup, init, options.stdio)?;
    given.root = root(&record, &spec)?;
    given.notes = runtime.notes.clone();
    let terminal = process.terminal() == Some(true);
    let unprivileged = sys::seqpacket::own_uid() != 0;
    let joining = Joining {
        keyring: !record.foreign_keyring,
        tasks: given.tasks.len(),
        streams: match (terminal, &given.stdio) {
            (true, _) => Streams::Terminal,
            (false, Some(_)) => Streams::Given,
            (false, None) => Streams::Inherit,
        },
        preserve_fds: options.preserve_fds,
        unprivileged,
        no_groups: crate::idmaps::denied_to(record.pid),
        first: number_inside(&spec, record.pid),
    };
    if joining.no_groups {
        crate::idmaps::refuse_groups(Some(process))?;
    }
    let process = &*complete(process, &spec);
    let (draft, birth) = plan::joined(&spec, process, &joining);
    let command = process.args().as_ref().and_then(|args| args.first()).map_or("", String::as_str);
    let mut child = spawn::begin(draft, given, &birth, Some(&cgroup), command)?;
    child.hurry()?;
    child.settle()?;
    if birth.cpus.is_none() {
        sys::cpus::use_all_cpus(child.pid());
    }
    if let Some(group) = &record.rdt {
        group.enter(child.pid())?;
    }
    child.score(Some(process))?;
    let filter = spawn::filter(&runtime.store.root, plan::loads_filter(&spec))?;
    if terminal && matches!(options.console, Console::Keep) {
        child.keep_console()?;
    }
    child.last_word(filter.as_ref())?;
    if plan::listens(&spec) {
        child.await_listener()?;
    }
    if let Some(listener) = child.listener.take() {
        send_listener(&spec, &record, listener, child.pid())?;
    }
    child.await_ready()?;
    if let Some(file) = pid_file {
        file.write(child.pid())?;
    }
    if let Console::Socket(path) = &options.console {
        send_master(&mut child, path)?;
    }
    if let Some(path) = &options.pidfd_socket {
        send_pidfd(&child, path)?;
    }
    child.await_begin()?;
    let (pid, pidfd, master) = child.release()?;
    let console = master.filter(|_| matches!(options.console, Console::Keep));
    Ok(Created { pid, pidfd, console, readiness: None })
}

/// What a process leaves out of its confinement is as the container's own process has it.
fn complete<'a>(process: &'a Process, spec: &Spec) -> Cow<'a, Process> {
    let (mut whole, own) = (Cow::Borrowed(process), spec.process().as_ref());
    let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if let Some(sets) = own.and_then(|own| own.capabilities().as_ref())
        && process.capabilities().is_none()
    {
        whole.to_mut().set_capabilities(Some(sets.clone()));
    }
    if let Some(profile) = own.and_then(|own| own.apparmor_profile().as_ref())
        && !said(process.apparmor_profile())
    {
        whole.to_mut().set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = own.and_then(|own| own.selinux_label().as_ref())
        && !said(process.selinux_label())
    {
        whole.to_mut().set_selinux_label(Some(label.clone()));
    }
    if let Some(score) = own.and_then(Process::oom_score_adj)
        && process.oom_score_adj().is_none()
    {
        whole.to_mut().set_oom_score_adj(Some(score));
    }
    whole
}

/// The number of a container's first process in its own PID namespace, where it is asked for.
pub(crate) fn number_inside(spec: &Spec, pid: i32) -> u32 {
    if !oci::core_scheduling::read(spec).unwrap_or(false) {
        return 0;
    }
    let status = sys::kernel_file::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let last = numbers.and_then(|all| all.split_ascii_whitespace().next_back());
    last.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The root folder of the first process, where no mount namespace leads there.
pub(crate) fn root(record: &Record, spec: &Spec) -> Result<Option<OwnedFd>> {
    if !plan::shares_mounts(spec) {
        return Ok(None);
    }
    let path = PathBuf::from(format!("/proc/{}/root", record.pid));
    let root = sys::tree::folder(&path).and_then(above_stdio);
    let root = root.map_err(Error::io("open", path))?;
    // While it lives the number is nobody else's: neither was it when this was opened.
    record.process().map(|_| Some(root)).ok_or(Error::Vanished)
}

/// What fills a joining process's slots.
pub(crate) fn given(cgroup: &Cgroup, init: OwnedFd, stdio: Stdio) -> Result<Given> {
    let failed = |source| Error::Clone { source };
    let tasks = cgroup.v1_task_files()?.into_iter().map(above_stdio);
    let tasks = tasks.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    let process = Some(above_stdio(init).map_err(failed)?);
    let stdio = match stdio {
        Stdio::Inherit => None,
        Stdio::Fds(fds) => {
            let all = fds.into_iter().map(above_stdio).collect::<std::io::Result<Vec<_>>>();
            <[OwnedFd; 3]>::try_from(all.map_err(failed)?).ok()
        }
    };
    Ok(Given { tasks, process, stdio, ..Given::default() })
}

/// The container's cgroup, or what `--cgroup` names below it.
fn cgroup(paths: &std::collections::BTreeMap<String, PathBuf>, below: &[String]) -> Result<Cgroup> {
    let mut paths = paths.clone();
    for text in below.iter().filter(|text| !text.is_empty()) {
        let (controllers, path) = match text.split_once(':') {
            Some((controllers, path)) => (Some(controllers), path),
            None => (None, text.as_str()),
        };
        let refused = |words: String| Error::io("--cgroup", text)(std::io::Error::other(words));
        let inner = std::path::Path::new(path.trim_start_matches('/'));
        let climbs = inner.components().any(|c| !matches!(c, std::path::Component::Normal(_)));
        if climbs {
            return Err(refused(format!("{path} is not a sub cgroup path")));
        }
        let names = || controllers.into_iter().flat_map(|all| all.split(','));
        if let Some(unknown) = names().find(|name| !paths.contains_key(*name)) {
            return Err(refused(format!("unknown controller {unknown}")));
        }
        for (controller, folder) in &mut paths {
            if controllers.is_some() && !names().any(|name| name == controller) {
                continue;
            }
            *folder = folder.join(inner);
            if !folder.is_dir() {
                let tasks = folder.join("cgroup.procs");
                let missing = std::io::Error::other("no such file or directory");
                return Err(Error::io("--cgroup: adding pid of the new process to", tasks)(
                    missing,
                ));
            }
        }
    }
    Ok(Cgroup::from_paths(&paths)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Red when `exec` takes the process as it is.
    #[test]
    fn what_a_process_leaves_out_is_the_containers() {
        let user = json!({"uid": 0, "gid": 0});
        let confined = json!({"cwd": "/", "user": user, "apparmorProfile": "own",
            "selinuxLabel": "l", "oomScoreAdj": 7, "capabilities": {"bounding": ["CAP_KILL"]}});
        let spec = serde_json::from_value(json!({"ociVersion": "1.2.0", "process": confined}));
        let spec: Spec = spec.unwrap();
        let own = spec.process().as_ref().unwrap();
        let read = |document| serde_json::from_value::<Process>(document).unwrap();
        let given =
            read(json!({"cwd": "/tmp", "user": user, "apparmorProfile": "", "args": ["a"]}));
        let whole = complete(&given, &spec);
        assert_eq!(whole.apparmor_profile(), own.apparmor_profile());
        assert_eq!(whole.selinux_label(), own.selinux_label());
        assert_eq!(whole.capabilities(), own.capabilities());
        assert_eq!(whole.oom_score_adj(), Some(7));
        assert_eq!((whole.cwd(), whole.args()), (given.cwd(), given.args()));
        let given = read(json!({"cwd": "/", "user": user, "apparmorProfile": "other",
            "selinuxLabel": "m", "oomScoreAdj": 0, "capabilities": {}}));
        assert!(matches!(complete(&given, &spec), Cow::Borrowed(_)));
        assert_eq!(*complete(&given, &Spec::default()), given);
    }
}
