//! `process`: command, variables, identity. Pure.
//!
//! Source: Kubernetes' rules of command and args against an image's entrypoint and cmd, and
//! containerd's CRI for users and groups.

use pod::env;
use pod::resources;
use serde_json::{Value, json};

use super::privileges::Privileges;
use super::{BundleError, Defaults, Facts, Subject};
use crate::id_pool::IDS_OF_POD;
use crate::pod_files;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole of `process`.
pub(super) fn process(
    subject: Subject<'_>,
    image: &Defaults<'_>,
    facts: &Facts<'_>,
    privileges: &Privileges,
) -> Result<Value, BundleError> {
    let Subject { pod, container } = subject;
    let known = env::Facts {
        pod_ip: facts.pod_ip,
        host_ip: facts.host_ip,
        node_name: facts.node_name.to_owned(),
    };
    let own_env = env::environment(pod, container, &[], &known);
    let env = env::environment(pod, container, &defaults(subject, image, facts), &known);
    let args = arguments(subject, image, &own_env)?;
    let user = identity(subject, facts)?;
    let class = resources::qos_class(&pod.spec);
    let caps = &privileges.capabilities;
    Ok(json!({
        "terminal": container.tty == Some(true),
        "user": user,
        "args": args,
        "env": env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "cwd": working_dir(subject, image),
        // Neither inheritable nor ambient: a set-user-id program of the image gains nothing
        // (CVE-2022-24769).
        "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        "noNewPrivileges": privileges.no_new,
        "oomScoreAdj": resources::oom_score_adj(class, container, facts.capacity_bytes),
    }))
}

/// `command` replaces the image's entrypoint and cmd, `args` its cmd alone. Only the manifest's
/// words are expanded, and only by the manifest's variables.
fn arguments(
    subject: Subject<'_>,
    image: &Defaults<'_>,
    own_env: &[(String, String)],
) -> Result<Vec<String>, BundleError> {
    let container = subject.container;
    let command = env::expand_all(&container.command, own_env);
    let args = env::expand_all(&container.args, own_env);
    let (first, rest) = match (command.is_empty(), args.is_empty()) {
        (false, _) => (command, args),
        (true, false) => (image.entrypoint.to_vec(), args),
        (true, true) => (image.entrypoint.to_vec(), image.cmd.to_vec()),
    };
    let words: Vec<String> = first.into_iter().chain(rest).collect();
    if words.is_empty() {
        return Err(BundleError::NoCommand {
            container: container.name.clone(),
            image: container.image.clone(),
        });
    }
    Ok(words)
}

/// What a container has before its manifest speaks: defaults, then the image's variables. Entries
/// of the image that are no `NAME=value` are left out.
fn defaults(
    subject: Subject<'_>,
    image: &Defaults<'_>,
    facts: &Facts<'_>,
) -> Vec<(String, String)> {
    let mut list = vec![
        ("PATH".to_owned(), DEFAULT_PATH.to_owned()),
        ("HOSTNAME".to_owned(), pod_files::hostname(subject.pod, facts.node_name)),
        ("HOME".to_owned(), home(subject, facts)),
    ];
    if subject.container.tty == Some(true) {
        list.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let pairs = image.env.iter().filter_map(|pair| pair.split_once('='));
    for (name, value) in pairs.filter(|(name, _)| !name.is_empty()) {
        match list.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value.to_owned(),
            None => list.push((name.to_owned(), value.to_owned())),
        }
    }
    list
}

fn home(subject: Subject<'_>, facts: &Facts<'_>) -> String {
    let same = run_as_user(subject).is_none_or(|uid| uid == facts.user.uid);
    if same { facts.user.home.clone() } else { "/".to_owned() }
}

fn run_as_user(subject: Subject<'_>) -> Option<u32> {
    let own = subject.own().and_then(|context| context.run_as_user);
    own.or_else(|| subject.pods().and_then(|context| context.run_as_user))
}

/// User, group and further groups. The primary group stands among the further ones, too, so that a
/// process that changes it keeps it (CVE-2022-36109).
fn identity(subject: Subject<'_>, facts: &Facts<'_>) -> Result<Value, BundleError> {
    let (own, pods, name) = (subject.own(), subject.pods(), &subject.container.name);
    let uid = run_as_user(subject).unwrap_or(facts.user.uid);
    let non_root = own
        .and_then(|context| context.run_as_non_root)
        .or_else(|| pods.and_then(|context| context.run_as_non_root));
    if non_root == Some(true) && uid == 0 {
        return Err(BundleError::Root { container: name.clone() });
    }
    let known = uid == facts.user.uid;
    let gid = own
        .and_then(|context| context.run_as_group)
        .or_else(|| pods.and_then(|context| context.run_as_group))
        .unwrap_or(if known { facts.user.gid } else { 0 });
    let mut groups = vec![gid];
    if known {
        groups.extend(&facts.user.groups);
    }
    if let Some(context) = pods {
        groups.extend(&context.supplemental_groups);
        groups.extend(context.fs_group);
    }
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    if subject.pod.spec.host_users == Some(false) {
        let beyond = |(what, id): &(&'static str, u32)| (*id >= IDS_OF_POD).then_some((*what, *id));
        let groups = groups.iter().map(|group| ("group", *group));
        let all = [("user", uid)].into_iter().chain(groups);
        if let Some((what, id)) = all.collect::<Vec<_>>().iter().find_map(beyond) {
            return Err(BundleError::Unmapped { container: name.clone(), what, id });
        }
    }
    Ok(json!({"uid": uid, "gid": gid, "additionalGids": groups}))
}

fn working_dir(subject: Subject<'_>, image: &Defaults<'_>) -> String {
    let own = subject.container.working_dir.as_deref().filter(|path| !path.is_empty());
    let path = own.or(image.working_dir).unwrap_or("/");
    // An image may say a relative one; it means the root.
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}
