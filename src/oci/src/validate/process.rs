//! `process`: command, identity, limits, capabilities.

use std::collections::BTreeSet;

use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, Spec};

use super::Findings;

pub(super) fn check(spec: &Spec, found: &mut Findings) {
    match spec.process() {
        None => found.add("process", "is missing"),
        Some(process) => check_process(process, found),
    }
}

pub(super) fn check_process(process: &Process, found: &mut Findings) {
    let args = process.args().as_deref().unwrap_or_default();
    found.need(!args.is_empty(), "process.args", "is empty: there is nothing to run");
    for (index, arg) in args.iter().enumerate() {
        found.need(!arg.contains('\0'), format!("process.args[{index}]"), "must not contain NUL");
    }
    for (index, variable) in process.env().iter().flatten().enumerate() {
        let at = format!("process.env[{index}]");
        found.need(!variable.contains('\0'), at.clone(), "must not contain NUL");
        let name = variable.split_once('=').map(|(name, _)| name);
        found.need(name.is_some_and(|n| !n.is_empty()), at, "is not NAME=value");
    }
    found.need(process.cwd().is_absolute(), "process.cwd", "is not an absolute path");
    found.plain("process.cwd", &process.cwd().to_string_lossy());
    check_user(process, found);
    check_limits(process, found);
    if let Some(sets) = process.capabilities() {
        check_capabilities(sets, found);
    }
    if let Some(priority) = process.io_priority() {
        let within = (0..=7).contains(&priority.priority());
        found.need(within, "process.ioPriority.priority", "is not in 0 to 7");
    }
    if let Some(score) = process.oom_score_adj() {
        let within = (-1000..=1000).contains(&score);
        found.need(within, "process.oomScoreAdj", "is not in -1000 to 1000");
    }
    for (field, label) in [
        ("process.apparmorProfile", process.apparmor_profile()),
        ("process.selinuxLabel", process.selinux_label()),
    ] {
        found.plain(field, label.as_deref().unwrap_or_default());
    }
    super::schedule::check(process, found);
    let none = process.command_line().is_none();
    found.need(none, "process.commandLine", "is for Windows: use process.args");
}

fn check_user(process: &Process, found: &mut Findings) {
    let user = process.user();
    let groups = user.additional_gids().as_deref().unwrap_or_default();
    let ids = [("uid", user.uid()), ("gid", user.gid())];
    for (field, id) in ids {
        // The kernel reads it as "leave as it is", which would be root.
        let at = format!("process.user.{field}");
        found.need(id != u32::MAX, at, "4294967295 is no id");
    }
    for (index, gid) in groups.iter().enumerate() {
        let at = format!("process.user.additionalGids[{index}]");
        found.need(*gid != u32::MAX, at, "4294967295 is no id");
    }
    found.need(groups.len() <= 65_536, "process.user.additionalGids", "are more than 65536");
    let umask = user.umask().unwrap_or(0);
    found.need(umask <= 0o777, "process.user.umask", "is more than 0777");
}

fn check_limits(process: &Process, found: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, limit) in process.rlimits().iter().flatten().enumerate() {
        let at = format!("process.rlimits[{index}]");
        let once = seen.insert(limit.typ().to_string());
        found.need(once, at.clone(), format!("{} stands twice", limit.typ()));
        let ordered = limit.soft() <= limit.hard();
        found.need(ordered, at, format!("{}: soft is above hard", limit.typ()));
    }
}

fn check_capabilities(sets: &LinuxCapabilities, found: &mut Findings) {
    let empty = Capabilities::new();
    let of = |set: &Option<Capabilities>| set.clone().unwrap_or_else(|| empty.clone());
    let permitted = of(sets.permitted());
    let mut within = |name: &str, set: Capabilities, other: &Capabilities, of: &str| {
        let mut missing: Vec<String> = set.difference(other).map(ToString::to_string).collect();
        missing.sort();
        if !missing.is_empty() {
            let problem = format!("{} not in {of}", missing.join(", "));
            found.add(format!("process.capabilities.{name}"), problem);
        }
    };
    within("effective", of(sets.effective()), &permitted, "permitted");
    // Ambient ones that are not inheritable too cannot be raised: as in runc, they are left out.
}
