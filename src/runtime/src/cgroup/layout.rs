//! What is mounted: found once, by plain splitting of two `/proc` files.
//!
//! Invariants: v1 hierarchies come before v2 for a controller (a controller lives in one only); a
//! path never leaves its hierarchy. Not here: any write.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::Error;

/// Which of the three shapes this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Version 1 hierarchies only.
    V1,
    /// Version 1 controllers and a cgroup2 mount beside them.
    Hybrid,
    /// One cgroup2 tree with all controllers.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Controllers; a named one is `name=systemd`. For v2, the root's `cgroup.controllers`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Which cgroup the mount shows as its root ("/" but for bind mounts).
    pub root: String,
    /// The cgroup of this process, as `/proc/self/cgroup` tells.
    pub own: String,
    /// True for cgroup2.
    pub v2: bool,
}

/// All mounted hierarchies.
#[derive(Debug, Clone)]
pub struct Layout {
    hierarchies: Vec<Hierarchy>,
    mode: Mode,
}

impl Layout {
    /// Reads `/proc/self/cgroup`, and `/proc/self/mountinfo` where the usual place does not say it
    /// all: that table is as long as the host has mounts.
    ///
    /// # Errors
    /// [`Error::NotMounted`] when there is no cgroup file system at all.
    pub fn detect() -> Result<Layout, Error> {
        let read = |path: &str| {
            sys::kernel_file::read(path)
                .map_err(|source| Error::Detect { path: path.into(), source })
        };
        let own = read("/proc/self/cgroup")?;
        let mut layout = match pure_v2(&own) {
            Some(hierarchy) => Layout { hierarchies: vec![hierarchy], mode: Mode::V2 },
            None => Layout::parse(&read("/proc/self/mountinfo")?, &own)?,
        };
        for hierarchy in layout.hierarchies.iter_mut().filter(|h| h.v2) {
            let path = hierarchy.mount.join("cgroup.controllers");
            let text =
                sys::kernel_file::read(&path).map_err(|source| Error::Detect { path, source })?;
            hierarchy.controllers = text.split_whitespace().map(str::to_owned).collect();
        }
        Ok(layout)
    }

    /// The pure half of [`Layout::detect`]; a v2 hierarchy comes without its controllers.
    ///
    /// # Errors
    /// [`Error::NotMounted`] when `mountinfo` names no cgroup file system.
    pub fn parse(mountinfo: &str, own: &str) -> Result<Layout, Error> {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for line in mountinfo.lines() {
            let Some(found) = hierarchy(line, own) else { continue };
            if found.v2 {
                // Mounted over a tree of v1 hierarchies, which is still listed and out of sight.
                let hidden = |h: &Hierarchy| h.mount.starts_with(&found.mount);
                hierarchies.retain(|h| h.v2 || !hidden(h));
            }
            // The same hierarchy may be mounted again elsewhere, for example by a container.
            match hierarchies.iter_mut().find(|h| same(h, &found)) {
                Some(known) if preference(&found) < preference(known) => *known = found,
                Some(_) => {}
                None => hierarchies.push(found),
            }
        }
        if hierarchies.iter().any(|h| h.v2 && h.mount == Path::new(USUAL)) {
            hierarchies.retain(|h| h.v2 || h.controllers.iter().any(|c| V1_ALONE.contains(&&**c)));
        }
        hierarchies.sort_by_key(|h| h.v2);
        let v2 = hierarchies.iter().any(|h| h.v2);
        let v1 = hierarchies.iter().any(|h| !h.v2);
        let mode = match (v1, v2) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::V1,
            (false, true) => Mode::V2,
            (false, false) => return Err(Error::NotMounted),
        };
        Ok(Layout { hierarchies, mode })
    }

    /// V1, hybrid or V2.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// All hierarchies, v1 first.
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// The hierarchy that has `controller`.
    pub fn with_controller(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|h| h.controllers.iter().any(|c| c == controller))
    }
}

impl Hierarchy {
    /// The folder of the cgroup `path`: absolute below the root that the mount shows, relative
    /// below the own cgroup (v2: below its parent, for the own one holds processes).
    ///
    /// # Errors
    /// [`Error::Path`] for a path that is empty, holds NUL or newline, or climbs with `..`.
    pub fn folder(&self, path: &str) -> Result<PathBuf, Error> {
        let inner = clean(path)?;
        if path.starts_with('/') {
            return Ok(self.mount.join(inner));
        }
        let own = self.own_below_root();
        let base = if self.v2 { own.parent().unwrap_or(Path::new("")) } else { own };
        Ok(self.mount.join(base).join(inner))
    }

    /// The folder of the caller's own cgroup, or of the mount's root when that does not show it.
    pub fn own_folder(&self) -> PathBuf {
        self.mount.join(self.own_below_root())
    }

    /// The own cgroup relative to the mount; the root when it is outside of what the mount shows.
    fn own_below_root(&self) -> &Path {
        let below = Path::new(&self.own).strip_prefix(&self.root).unwrap_or(Path::new(""));
        let climbs = below.components().any(|c| c == Component::ParentDir);
        let plain = below.strip_prefix("/").unwrap_or(below);
        if climbs { Path::new("") } else { plain }
    }
}

fn clean(path: &str) -> Result<PathBuf, Error> {
    let bad = |problem| Error::Path { path: path.to_owned(), problem };
    if path.contains(['\0', '\n']) {
        return Err(bad("holds a NUL or a newline"));
    }
    let mut inner = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => inner.push(name),
            Component::ParentDir => return Err(bad("must not contain \"..\"")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if inner.as_os_str().is_empty() {
        return Err(bad("names no cgroup below the root"));
    }
    Ok(inner)
}

fn same(a: &Hierarchy, b: &Hierarchy) -> bool {
    a.v2 == b.v2 && (a.v2 || a.controllers == b.controllers)
}

/// Lower is better: the usual place first, then the shortest path.
fn preference(h: &Hierarchy) -> (bool, usize) {
    (!h.mount.starts_with(USUAL), h.mount.as_os_str().len())
}

/// The one hierarchy of a host whose usual place is the root of cgroup2, without its controllers.
/// As with runc and crun that place says which version counts, whatever else is mounted elsewhere,
/// but for the controllers that version 2 has not.
fn pure_v2(own: &str) -> Option<Hierarchy> {
    let marks = own.lines().filter_map(|line| line.split(':').nth(1));
    if marks.flat_map(|names| names.split(',')).any(|name| V1_ALONE.contains(&name)) {
        return None;
    }
    let own = own_path(own, &[]).unwrap_or("/").to_owned();
    // Of which cgroup that mount is matters to those below it, unless both begin at the whole tree.
    let is_whole = || fs::metadata(USUAL).is_ok_and(|found| found.ino() == ROOT_INODE);
    if !sys::machine::is_cgroup2(Path::new(USUAL))
        || own != "/" && !(is_whole() && sys::machine::is_first_cgroup_namespace())
    {
        return None;
    }
    let (mount, root) = (PathBuf::from(USUAL), "/".to_owned());
    Some(Hierarchy { controllers: Vec::new(), mount, root, own, v2: true })
}

/// One line of mountinfo: `36 35 98:0 ROOT MOUNT opts [tags] - TYPE SOURCE SUPER-OPTS`.
fn hierarchy(line: &str, own: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    let v2 = match kind {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (unescape(left.next()?), unescape(left.next()?));
    // One that cannot be reached from the caller's root would be taken for a relative path.
    if !Path::new(&mount).is_absolute() {
        return None;
    }
    let named = |o: &str| o.starts_with("name=");
    let controllers: Vec<String> = options
        .split(',')
        .filter(|o| !v2 && (named(o) || V1_CONTROLLERS.contains(o)))
        .map(str::to_owned)
        .collect();
    if !v2 && controllers.is_empty() {
        return None;
    }
    let own = own_path(own, &controllers).unwrap_or("/").to_owned();
    Some(Hierarchy { controllers, mount: mount.into(), root, own, v2 })
}

/// Where cgroups are mounted but on rare hosts.
const USUAL: &str = "/sys/fs/cgroup";

/// Inode of the root of a whole tree: the first that its file system hands out.
const ROOT_INODE: u64 = 1;

/// Controllers that version 2 has no successor of.
const V1_ALONE: &[&str] = &["net_cls", "net_prio"];

const V1_CONTROLLERS: &[&str] = &[
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "net_prio",
    "blkio",
    "perf_event",
    "hugetlb",
    "pids",
    "rdma",
    "misc",
];

/// `ID:CONTROLLERS:PATH`; v2 is the line with no controllers.
fn own_path<'a>(own: &'a str, controllers: &[String]) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (names, path) = (parts.nth(1)?, parts.next()?);
        let matches = match controllers.first() {
            None => names.is_empty(),
            Some(first) => names.split(',').any(|n| n == first),
        };
        matches.then_some(path)
    })
}

/// mountinfo writes space, tab, newline and backslash as `\ooo`.
pub(crate) fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = text.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, plain);
    }
    out
}
