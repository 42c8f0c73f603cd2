//! `mounts` of config.json, in their order.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use child::{Attributes, Keep, NO_SLOT, Op};
use oci::idmap::spelled_out;
use oci::runtime::{Mount, Spec};
use sys::tree::Shape;

use super::options::{self, Options};
use super::{Birthplace, Facts, cgroups};
use crate::bundle::lexical;
use crate::draft::{Deferred, Draft, Source};
use crate::idmaps::{Mapping, Users, lines};

/// How the folder of the socket for readiness is mounted.
const NOTIFY_OPTIONS: [&str; 5] = ["bind", "ro", "nosuid", "nodev", "noexec"];

/// Plans every mount of the document.
pub(super) fn plan(draft: &mut Draft, spec: &Spec, facts: &Facts<'_>, birth: &Birthplace) {
    let label = spec.linux().as_ref().and_then(|linux| linux.mount_label().as_deref());
    let label = label.filter(|label| !label.is_empty());
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    for (index, mount) in mounts.iter().enumerate() {
        let earlier = mounts.get(..index).unwrap_or_default();
        let inner = is_bind(mount) && is_inner(mount, earlier, spec, facts.bundle);
        let place = Place { lasts: lasts(mounts, index), late: is_late(mounts, index), inner };
        let linux = spec.linux().as_ref();
        // What cannot be spelled out was refused with the document.
        let mount = spelled_out(mount, linux).unwrap_or(Cow::Borrowed(mount));
        one(draft, &mount, place, facts, (birth, label));
    }
    if let Some((folder, place)) = facts.notify {
        let mut mount = Mount::default();
        mount.set_source(Some(folder.to_owned())).set_destination(place.to_owned());
        let options = NOTIFY_OPTIONS.map(str::to_owned).to_vec();
        mount.set_options(Some(options));
        one(draft, &mount, Place { lasts: false, late: false, inner: false }, facts, (birth, None));
    }
}

/// What the other mounts make of one.
#[derive(Clone, Copy)]
struct Place {
    /// See [`lasts`].
    lasts: bool,
    /// See [`is_late`].
    late: bool,
    /// See [`is_inner`].
    inner: bool,
}

/// Whether its source has earlier mounts of the container in it, or is in one: those are seen by
/// the child alone.
fn is_inner(mount: &Mount, earlier: &[Mount], spec: &Spec, bundle: &Path) -> bool {
    let root = spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path().as_path());
    let source = mount.source().as_ref().map(|source| lexical(&bundle.join(source)));
    let Some(source) = source else { return false };
    let Ok(inside) = source.strip_prefix(lexical(&bundle.join(root))) else { return false };
    let inside = Path::new("/").join(inside);
    let meets = |other: &Mount| {
        let other = absolute(other.destination());
        inside.starts_with(&other) || other.starts_with(&inside)
    };
    earlier.iter().any(meets)
}

/// What is read-only at the end alone: more is to be put into it.
fn is_late(mounts: &[Mount], index: usize) -> bool {
    let Some((mount, later)) = mounts.get(index..).and_then(<[Mount]>::split_first) else {
        return false;
    };
    let words = mount.options().as_deref().unwrap_or_default();
    if is_bind(mount) || is_remount(mount) || cgroups::is_cgroup(mount) {
        return false;
    }
    let own = absolute(mount.destination());
    let holds = |other: &Mount| absolute(other.destination()).starts_with(&own);
    // Whoever looks it up at the end finds the other.
    if later.iter().any(|other| absolute(other.destination()) == own) {
        return false;
    }
    options::read(words).flags & sys::abi::MS_RDONLY != 0
        && (own == Path::new("/dev") || later.iter().any(holds))
}

/// Makes read-only what was left writable for what goes into it.
pub(super) fn finish(draft: &mut Draft, spec: &Spec) {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    for (_, mount) in mounts.iter().enumerate().filter(|(index, _)| is_late(mounts, *index)) {
        let own = Attributes { set: sys::abi::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        change(draft, &absolute(mount.destination()), own, Attributes::default());
    }
}

/// Whether this is the container's /proc, /sys or /dev, and no other mount goes onto it.
fn lasts(mounts: &[Mount], index: usize) -> bool {
    let normal = |mount: &Mount| absolute(mount.destination()).components().collect::<PathBuf>();
    let Some(own) = mounts.get(index).map(normal) else { return false };
    let covers = |other: &Mount| {
        let other = normal(other);
        own.starts_with(&other) || other.components().any(|c| c == Component::ParentDir)
    };
    let mut others = mounts.iter().enumerate().filter(|(other, _)| *other != index);
    ["/proc", "/sys", "/dev"].iter().any(|place| own == Path::new(place))
        && !others.any(|(_, other)| !is_remount(other) && covers(other))
}

fn is_remount(mount: &Mount) -> bool {
    mount.options().iter().flatten().any(|option| option == "remount")
}

/// How long a mount is kept open: to the end, for what follows at once, or not.
fn keep(options: &Options, lasts: bool, labelled: bool) -> Keep {
    let changes = options.own.propagation != 0 || !options.deep.is_empty();
    match (options.remount, lasts) {
        (true, _) => Keep::No,
        (_, true) => Keep::Always,
        _ if changes || labelled => Keep::Next,
        _ => Keep::No,
    }
}

/// Mount options with the SELinux context of `linux.mountLabel`, quoted for its commas.
pub(super) fn labelled(options: &str, label: Option<&str>) -> String {
    match label.filter(|_| !options.split(',').any(|o| o.starts_with("context="))) {
        None => options.to_owned(),
        Some(label) if options.is_empty() => format!("context=\"{label}\""),
        Some(label) => format!("{options},context=\"{label}\""),
    }
}

/// The kind of a mount, bind mounts included.
pub(crate) fn is_bind(mount: &Mount) -> bool {
    let words = mount.options().as_deref().unwrap_or_default();
    mount.typ().as_deref() == Some("bind") || words.iter().any(|w| w == "bind" || w == "rbind")
}

fn one(
    draft: &mut Draft,
    mount: &Mount,
    place: Place,
    facts: &Facts<'_>,
    (birth, label): (&Birthplace, Option<&str>),
) {
    let options = options::read(mount.options().as_deref().unwrap_or_default());
    let kind = mount.typ().as_deref().unwrap_or("none");
    let destination: PathBuf = absolute(mount.destination()).components().collect();
    if is_bind(mount) && !options.remount {
        let inner = place.inner;
        return bind(
            draft,
            mount,
            &options,
            &Way { bundle: facts.bundle, birth, inner, live: false },
        );
    }
    if is_bind(mount) {
        return change(draft, &destination, options.own, options.deep);
    }
    if cgroups::is_cgroup(mount) {
        return cgroups::plan(draft, &destination, &options, (facts, label, birth.user));
    }
    let target = draft.path(&destination);
    let source = mount.source().as_deref().unwrap_or(Path::new(kind)).to_owned();
    let source = draft.path(&source);
    // procfs and sysfs have a policy of their own; an mqueue takes its label afterwards.
    let own_label = label.filter(|_| !matches!(kind, "proc" | "sysfs" | "mqueue"));
    let data = draft.text(labelled(&options.data, own_label));
    if options.copy_up && kind == "tmpfs" {
        draft.op(Op::CopyUp { target, options: data, source, flags: options.flags });
    } else {
        let remount = if options.remount { sys::abi::MS_REMOUNT } else { 0 };
        let late = if place.late { sys::abi::MS_RDONLY } else { 0 };
        let flags = options.flags & !late | remount;
        let has_mode = options.data.split(',').any(|option| option.starts_with("mode="));
        let inherit = kind == "tmpfs" && !has_mode && !options.remount;
        let firm = matches!(kind, "proc" | "sysfs");
        let kind = draft.text(kind);
        let keep = keep(&options, place.lasts, label.is_some());
        draft.op(Op::Mount { target, source, kind, flags, options: data, firm, inherit, keep });
    }
    if let Some(label) = label.filter(|_| mount.typ().as_deref() == Some("mqueue")) {
        let length = u32::try_from(label.len()).unwrap_or(u32::MAX);
        let label = draft.text(label);
        draft.op(Op::Label { target, label, length });
    }
    // mount(2) has taken the flags; what it cannot do is left.
    let own = Attributes { propagation: options.own.propagation, ..Attributes::default() };
    change(draft, &destination, own, options.deep);
}

/// Plans bind mounts for a container that lives: the child never sees the host's files, and what
/// the container has put on the way to a target does not lead it elsewhere.
pub(super) fn live(draft: &mut Draft, mounts: &[Mount], bundle: &Path, birth: &Birthplace) {
    for mount in mounts {
        let options = options::read(mount.options().as_deref().unwrap_or_default());
        bind(draft, mount, &options, &Way { bundle, birth, inner: false, live: true });
    }
}

/// How a bind mount comes to be.
struct Way<'a> {
    bundle: &'a Path,
    birth: &'a Birthplace,
    /// See [`is_inner`].
    inner: bool,
    /// The container lives.
    live: bool,
}

fn bind(draft: &mut Draft, mount: &Mount, options: &Options, way: &Way<'_>) {
    let Way { bundle, birth, inner, live } = *way;
    let source = bundle.join(mount.source().as_deref().unwrap_or(Path::new("")));
    let recursive = options.bind.unwrap_or(mount.typ().as_deref() == Some("bind"));
    let target = draft.path(&absolute(mount.destination()));
    let ((own, implied), mut deep) = (options.of_bind(), options.deep);
    let path = source.clone();
    let links = options.links;
    let shape = Shape { recursive, link: links.source };
    let mut deferred = None;
    let tree = match mapping(mount, options, birth) {
        Some(map) if inner => {
            deferred = Some((path, map));
            None
        }
        Some(map) => Some(Source::MappedTree { path, shape, map }),
        None => (live || birth.user && !birth.unprivileged && !inner)
            .then_some(Source::Tree { path, shape }),
    };
    let slot = match tree {
        Some(tree) => {
            // A clone of the host's namespace would send mounts back there.
            if own.propagation | deep.propagation == 0 {
                deep.propagation = sys::abi::MS_SLAVE;
            }
            draft.slot(tree)
        }
        None => NO_SLOT,
    };
    let source = draft.path(&source);
    let (firm, mapped) = (live, deferred.is_some());
    draft.op(Op::Bind { target, source, slot, recursive, mapped, firm, links, own, implied, deep });
    if let Some((path, map)) = deferred {
        let index = draft.program.ops.len().saturating_sub(1);
        draft.maps.push(Deferred { index, path, map });
    }
}

/// How a mount's owners are mapped: by its own maps, or as in the container's user namespace.
fn mapping(mount: &Mount, options: &Options, birth: &Birthplace) -> Option<Mapping> {
    let text = |maps: &Option<Vec<_>>| lines(maps.as_deref().unwrap_or_default());
    let (uids, gids) = (text(mount.uid_mappings()), text(mount.gid_mappings()));
    if options.map_ids.is_none() && uids.is_empty() && gids.is_empty() {
        return None;
    }
    let by = if uids.is_empty() && gids.is_empty() {
        birth.users.clone()?
    } else {
        Users::New { uids, gids }
    };
    Some(Mapping { deep: options.map_ids.unwrap_or(false), by })
}

fn change(draft: &mut Draft, destination: &Path, own: Attributes, deep: Attributes) {
    for (attributes, recursive) in [(own, false), (deep, true)] {
        if !attributes.is_empty() {
            let target = draft.path(destination);
            draft.op(Op::Change { target, attributes, recursive });
        }
    }
}

/// Relative destinations were allowed once, and meant the root.
pub(crate) fn absolute(destination: &Path) -> PathBuf {
    Path::new("/").join(destination)
}
