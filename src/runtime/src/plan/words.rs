//! What an operation is about, for people: "mount proc at /proc".

use child::{Op, Text, stage};
use sys::launch::Compiled;

use super::process::{APPARMOR, SELINUX};
use crate::draft::text_at;

/// The stage of an operation in words.
pub(crate) fn place(number: u32) -> &'static str {
    match number {
        1 => "set up namespaces",
        2 => "set up the root file system",
        3 => "set up the process",
        _ => "start the process",
    }
}

/// The operation of this index in words.
pub(crate) fn step(program: &Compiled, index: u32) -> String {
    let Some(op) = program.ops.get(index as usize) else { return format!("step {index}") };
    let text = |at: Text| text_at(program, at);
    match *op {
        Op::Mount { target, source, kind, options, .. } => {
            let (kind, source, target) = (text(kind), text(source), text(target));
            let how = spelled(&text(options));
            format!("error mounting {source:?} ({kind}) to rootfs at {target:?}{how}")
        }
        Op::Bind { target, source, .. } => {
            format!("error mounting {:?} to rootfs at {:?}", text(source), text(target))
        }
        Op::Unmount { target } => format!("take away what is mounted at {:?}", text(target)),
        Op::Change { target, .. } => format!("set the mount options of {}", text(target)),
        Op::Label { target, label, .. } => {
            format!("label {} with linux.mountLabel {:?}", text(target), text(label))
        }
        Op::CopyUp { target, .. } => format!("copy {} up into a tmpfs", text(target)),
        Op::Enter { target } | Op::Folder { target } => format!("make folder {}", text(target)),
        Op::MountHere { name, kind, .. } => format!("mount {} at {}", text(kind), text(name)),
        Op::BindHere { name, source, .. } => format!("bind {} at {}", text(source), text(name)),
        Op::LinkHere { name, to, .. } => format!("link {} to {}", text(name), text(to)),
        Op::Node { target, .. } | Op::NodeBind { target, .. } => {
            format!("make device {}", text(target))
        }
        Op::NodeHere { name, .. } => format!("make device /dev/{}", text(name)),
        Op::RootBind { source, .. } => format!("take {} as the root", text(source)),
        Op::RootOverlay { folder, .. } => format!("mount the overlay of {}", text(folder)),
        Op::Propagate { path, .. } => format!("set the propagation of {}", text(path)),
        Op::Mask { target, .. } => format!("mask {}", text(target)),
        Op::ReadOnly { target } => format!("make {} read-only", text(target)),
        Op::Loopback => "set link lo up".to_owned(),
        Op::Hostname { name, .. } => format!("set hostname {}", text(name)),
        Op::Domainname { name, .. } => format!("set domainname {}", text(name)),
        Op::Write { path, text: value, .. } => written(&text(path), &text(value)),
        Op::Limit { resource, soft, hard } => {
            format!("set rlimit {resource} to {soft}/{hard} (raising it needs CAP_SYS_RESOURCE)")
        }
        Op::LandlockPath { path, .. } => {
            format!("allow {} by org.podvisor.landlock", text(path))
        }
        Op::Chdir { path } | Op::ChdirAgain { path } => {
            format!("change to process.cwd {}", text(path))
        }
        Op::Identity { uid, gid, .. } => format!("become uid {uid}, gid {gid}"),
        _ => plain(op).to_owned(),
    }
}

/// What is said of mount options with the SELinux context of `linux.mountLabel`.
/// The options of a file system, of which one may be why it is refused. A password stays hidden.
fn spelled(options: &str) -> String {
    let label = options.split_once("context=\"").and_then(|(_, rest)| rest.split_once('"'));
    if let Some((label, _)) = label {
        return format!(" with linux.mountLabel {label:?}");
    }
    let hidden = |option: &str| match option.split_once('=') {
        Some((name, _)) if name.starts_with("pass") => format!("{name}=..."),
        _ => option.to_owned(),
    };
    let shown: Vec<String> = options.split(',').filter(|o| !o.is_empty()).map(hidden).collect();
    if shown.is_empty() { String::new() } else { format!(" with options {}", shown.join(",")) }
}

fn written(path: &str, value: &str) -> String {
    match path {
        APPARMOR => {
            let name = value.strip_prefix("exec ").unwrap_or(value);
            format!("take on process.apparmorProfile {name:?}")
        }
        SELINUX => format!("take on process.selinuxLabel {value:?}"),
        _ => format!("write {value:?} to {path}"),
    }
}

fn plain(op: &Op) -> &'static str {
    match op {
        Op::EnterCgroups { .. } => "enter the cgroups",
        Op::Setns { .. } | Op::TrySetns { .. } => "join a namespace",
        Op::Network => "join the new network namespace",
        Op::Hide => "become undumpable",
        Op::Unshare { .. } => "make a namespace",
        Op::Sync { .. } | Op::Receive => "wait for the runtime",
        Op::BecomeRoot { .. } => "become root of the user namespace",
        Op::Fork { .. } => "go on in the new namespaces",
        Op::RootHere => "open the root",
        Op::NodesBegin { .. } | Op::NodesEnd => "show the devices that were made",
        Op::RootOf { .. } => "take the container's root",
        Op::Leave { .. } => "go back to the caller's mount namespace",
        Op::Console { .. } => "make the terminal",
        Op::TakeTerminal => "take the terminal",
        Op::RootReadOnly => "make the root read-only",
        Op::Pivot { .. } => "pivot_root",
        Op::MoveRoot => "move the root",
        Op::Detach { .. } => "take the host's procfs away",
        Op::Keyring => "make a session keyring",
        Op::Session => "make a session",
        Op::Stdio { .. } | Op::OwnStdio { .. } => "set up stdio",
        Op::Personality { .. } => "set the personality",
        Op::IoPriority { .. } => "set the I/O priority",
        Op::Scheduler(_) => {
            "set the scheduler (real-time ones need CAP_SYS_NICE and time of the cgroup)"
        }
        Op::Cores { .. } => {
            "share cores by org.podvisor.core-scheduling (needs CONFIG_SCHED_CORE of the kernel)"
        }
        Op::MemoryPolicy { .. } => "set linux.memoryPolicy",
        Op::Affinity { .. } => "set the CPU affinity",
        Op::LandlockBegin { .. } | Op::LandlockPort { .. } | Op::LandlockEnd => {
            "restrict by org.podvisor.landlock (ports need Linux 6.7, scopes 6.12)"
        }
        Op::Umask { .. } => "set the umask",
        Op::CloseFrom { .. } | Op::CloseOthers => "close descriptors",
        Op::Home { .. } => "look up HOME",
        Op::Signals => "reset signals",
        Op::Bounding { .. } => "drop bounding capabilities",
        Op::Capabilities { .. } => "set capabilities",
        Op::NoNewPrivileges => "set no_new_privs",
        Op::Seccomp { .. } => "load the seccomp filter",
        Op::Find => "find the command",
        Op::Await => "wait for start",
        Op::Exec => "exec",
        Op::Reap => "stay as the first process of the PID namespace",
        _ => place(stage(op)),
    }
}
