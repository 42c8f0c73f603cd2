//! What exists at one moment, as sorted sets of words that can be compared.
//!
//! Reads only procfs, cgroupfs and folders. Kernel threads and the reader itself are not counted.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything of one kind that was there, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    kinds: Vec<(&'static str, BTreeSet<String>)>,
}

/// One thing that appeared or vanished between two censuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `mount`, `cgroup`, `namespace`, `process`, `fd`, `link`, `rule` or `file`.
    pub kind: &'static str,
    /// `+` appeared, `-` vanished.
    pub sign: char,
    /// The thing itself.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.sign, self.kind, self.what)
    }
}

impl Census {
    /// What the caller's namespaces and the given folders hold now.
    ///
    /// `cgroup_name` selects the cgroups to count (those of that name with all below, or each when
    /// it is empty); `folders` are listed whole.
    pub fn take(cgroup_name: &str, folders: &[PathBuf]) -> Census {
        Census {
            kinds: vec![
                ("mount", mounts()),
                ("cgroup", cgroups(cgroup_name)),
                ("namespace", namespaces()),
                ("process", processes()),
                ("fd", fds()),
                ("link", links()),
                ("rule", rules()),
                ("file", files(folders)),
            ],
        }
    }

    /// The same census without one kind: outside a scope, other processes of the host come and go.
    pub fn without(mut self, kind: &str) -> Census {
        self.kinds.retain(|(k, _)| *k != kind);
        self
    }

    /// What changed from `self` to `after`.
    pub fn differences(&self, after: &Census) -> Vec<Difference> {
        let mut found = Vec::new();
        for ((kind, before), (_, now)) in self.kinds.iter().zip(&after.kinds) {
            let gone = before.difference(now).map(|w| ('-', w));
            let new = now.difference(before).map(|w| ('+', w));
            found.extend(gone.chain(new).map(|(sign, what)| Difference {
                kind,
                sign,
                what: what.clone(),
            }));
        }
        found
    }
}

fn mounts() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // Mount ids are renumbered by any mount elsewhere: root, target and type identify a mount.
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut fields = left.split(' ').skip(2);
            let (device, root, target) = (fields.next()?, fields.next()?, fields.next()?);
            Some(format!("{target} {device}{root} {}", right.split(' ').next()?))
        })
        .collect()
}

fn cgroups(name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                let path = entry.path();
                if name.is_empty() || path.iter().any(|part| part == name) {
                    found.insert(path.display().to_string());
                }
                open.push(path);
            }
        }
    }
    found
}

/// What stands behind a process that has ended and was not reaped.
pub(crate) const ZOMBIE: &str = " (zombie)";

/// The processes of this pid namespace, by pid and command, without kernel threads.
fn processes() -> BTreeSet<String> {
    let own = std::process::id();
    numbered("/proc")
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let field = |name: &str| {
                status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim).unwrap_or("?")
            };
            let kernel = field("Kthread:") == "1" || field("PPid:") == "2" || pid == 2;
            // Running or sleeping is a matter of the moment; a zombie is not.
            let zombie = if field("State:").starts_with('Z') { ZOMBIE } else { "" };
            (!kernel).then(|| format!("{pid} {}{zombie}", field("Name:")))
        })
        .collect()
}

fn namespaces() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for pid in numbered("/proc") {
        for entry in fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten() {
            if let Ok(link) = fs::read_link(entry.path()) {
                found.insert(link.display().to_string());
            }
        }
    }
    // Those that only a bind mount keeps.
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let pins = text.lines().filter(|l| l.contains(" - nsfs "));
    found.extend(pins.filter_map(|l| l.split(' ').nth(3)).map(str::to_owned));
    found
}

fn fds() -> BTreeSet<String> {
    fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| fs::read_link(e.path()).ok().map(|t| (e, t)))
        .filter(|(_, target)| !target.to_string_lossy().starts_with("/proc/"))
        .map(|(e, target)| format!("{} {}", e.file_name().display(), target.display()))
        .collect()
}

fn links() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let names = text.lines().filter_map(|l| l.split_once(':')).map(|(n, _)| n.trim().to_owned());
    let addresses = fs::read_to_string("/proc/self/net/fib_trie").unwrap_or_default();
    let local = addresses.lines().zip(addresses.lines().skip(1)).filter_map(|(line, next)| {
        let address = line.trim().strip_prefix("|-- ")?;
        next.contains("host LOCAL").then(|| format!("address {address}"))
    });
    names.chain(local).collect()
}

/// The nftables rule set without its counters, where the `nft` program is there to list it.
fn rules() -> BTreeSet<String> {
    match Command::new("nft").args(["--stateless", "list", "ruleset"]).output() {
        Ok(out) => {
            String::from_utf8_lossy(&out.stdout).lines().map(|l| l.trim().to_owned()).collect()
        }
        Err(_) => BTreeSet::new(),
    }
}

fn files(folders: &[PathBuf]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<PathBuf> = folders.to_vec();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            found.insert(path.display().to_string());
            if entry.file_type().is_ok_and(|t| t.is_dir()) && !is_mount_point(&path) {
                open.push(path);
            }
        }
    }
    found
}

fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |p: &Path| fs::metadata(p).map(|m| m.dev()).ok();
    path.parent().is_some_and(|parent| device(parent) != device(path))
}

fn numbered(dir: &str) -> impl Iterator<Item = u32> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()))
}
