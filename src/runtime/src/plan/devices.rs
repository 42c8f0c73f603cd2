//! /dev of a container: the nodes and links that every one has, and those of `linux.devices`.
//!
//! In a user namespace no node can be made. Of those of `linux.devices` the parent makes what it
//! may in a file system of its own, from which they are bound; all others are the host's, bound.
//! Source: runtime-spec config-linux.md "Default Devices", "Dev symbolic links".

use std::path::{Path, PathBuf};

use child::Op;
use oci::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use sys::dir::Node as Kind;

use super::Birthplace;
use super::mounts::{absolute, is_bind};
use crate::draft::{Draft, Source};
use crate::idmaps::host_id;
use crate::nodes::Node;

const NODES: &[(&str, u64, u64)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: &[(&str, &str, bool)] = &[
    ("fd", "/proc/self/fd", false),
    ("stdin", "/proc/self/fd/0", false),
    ("stdout", "/proc/self/fd/1", false),
    ("stderr", "/proc/self/fd/2", false),
    ("core", "/proc/kcore", false),
    ("ptmx", "pts/ptmx", true),
];

const DEFAULT_MODE: u32 = 0o666;

/// Plans the devices; a /dev that is bound from elsewhere is left as it is.
pub(super) fn plan(draft: &mut Draft, spec: &Spec, birth: &Birthplace) {
    let foreign = spec.mounts().iter().flatten().any(|mount| {
        let path = absolute(mount.destination());
        is_bind(mount) && path.components().eq(Path::new("/dev").components())
    });
    if !foreign {
        defaults(draft, birth.user);
    }
    let listed = spec.linux().as_ref().and_then(|l| l.devices().as_deref()).unwrap_or_default();
    // An engine's privileged container lists the host's /dev/ptmx: it would be the host's ptys.
    let own = |device: &&LinuxDevice| foreign || !is_ptmx(device.path());
    let listed: Vec<&LinuxDevice> = listed.iter().filter(own).collect();
    let makes = birth.mapped && !birth.unprivileged;
    let nodes: Vec<Option<Node>> =
        listed.iter().map(|device| made(device, spec).filter(|_| makes)).collect();
    let any = nodes.iter().any(Option::is_some);
    if any {
        let slot = draft.slot(Source::Nodes(nodes.clone()));
        draft.op(Op::NodesBegin { slot });
    }
    for (index, (device, node)) in listed.iter().zip(&nodes).enumerate() {
        let made = node.as_ref().map_or_else(String::new, |_| index.to_string());
        one(draft, device, birth.user.then_some(made.as_str()));
    }
    if any {
        draft.op(Op::NodesEnd);
    }
}

/// A device that the parent is to make, its owners as the host has them.
fn made(device: &LinuxDevice, spec: &Spec) -> Option<Node> {
    let linux = spec.linux().as_ref()?;
    let number = |number: i64| u32::try_from(number).ok();
    let (major, minor) = (number(device.major())?, number(device.minor())?);
    let node = match device.typ() {
        LinuxDeviceType::P => return None,
        LinuxDeviceType::B => Kind::Block { major, minor },
        _ => Kind::Char { major, minor },
    };
    Some(Node {
        path: device.path().clone(),
        node,
        mode: device.file_mode().unwrap_or(DEFAULT_MODE) & 0o7777,
        uid: host_id(linux.uid_mappings().as_deref()?, device.uid().unwrap_or(0))?,
        gid: host_id(linux.gid_mappings().as_deref()?, device.gid().unwrap_or(0))?,
    })
}

/// The devices that are the host's own, bound: all of them in a user namespace.
pub(crate) fn bound(spec: &Spec) -> Vec<PathBuf> {
    if !super::has_user_namespace(spec) {
        return Vec::new();
    }
    let listed = spec.linux().as_ref().and_then(|l| l.devices().as_deref()).unwrap_or_default();
    let listed = listed.iter().filter(|device| device.typ() != LinuxDeviceType::P);
    let own = NODES.iter().map(|(name, _, _)| Path::new("/dev").join(name));
    own.chain(listed.map(|device| device.path().clone())).collect()
}

/// Whether this is the link to the container's own ptys, as every container has it.
fn is_ptmx(path: &Path) -> bool {
    absolute(path).components().eq(Path::new("/dev/ptmx").components())
}

fn defaults(draft: &mut Draft, bound: bool) {
    for (name, major, minor) in NODES.iter().filter(|_| bound) {
        let (path, made) = (draft.text(format!("/dev/{name}")), draft.text(""));
        let (mode, device) = (sys::abi::S_IFCHR, number(*major, *minor));
        draft.op(Op::NodeBind { target: path, source: path, made, mode, device });
    }
    let target = draft.text("/dev");
    draft.op(Op::Enter { target });
    for (name, major, minor) in NODES.iter().filter(|_| !bound) {
        let host = draft.text(format!("/dev/{name}"));
        let (name, device) = (draft.text(name), number(*major, *minor));
        let mode = sys::abi::S_IFCHR | DEFAULT_MODE;
        draft.op(Op::NodeHere { name, host, mode, device, uid: 0, gid: 0 });
    }
    for (name, to, replace) in LINKS {
        let (name, to) = (draft.text(name), draft.text(to));
        draft.op(Op::LinkHere { name, to, replace: *replace });
    }
}

/// In a user namespace `bound` is the name of the node that the parent makes, or empty.
fn one(draft: &mut Draft, device: &LinuxDevice, bound: Option<&str>) {
    // Without a slash at its end: a node is no folder.
    let path: PathBuf = device.path().components().collect();
    let target = draft.path(&path);
    let (kind, number) = match device.typ() {
        LinuxDeviceType::B => (sys::abi::S_IFBLK, numbers(device)),
        LinuxDeviceType::P => (sys::abi::S_IFIFO, 0),
        _ => (sys::abi::S_IFCHR, numbers(device)),
    };
    if let Some(made) = bound.filter(|_| device.typ() != LinuxDeviceType::P) {
        let made = draft.text(made);
        let (source, mode, device) = (target, kind, number);
        return draft.op(Op::NodeBind { target, source, made, mode, device });
    }
    let mode = kind | device.file_mode().unwrap_or(DEFAULT_MODE) & 0o7777;
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    draft.op(Op::Node { target, mode, device: number, uid, gid });
}

fn numbers(device: &LinuxDevice) -> u64 {
    number(device.major().unsigned_abs(), device.minor().unsigned_abs())
}

/// The kernel's encoding of a device number for mknod(2): 12 bits major, 20 bits minor.
fn number(major: u64, minor: u64) -> u64 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12
}
