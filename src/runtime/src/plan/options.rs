//! fstab-style mount options to flags. Pure.
//!
//! Source: mount(8), runtime-spec config.md "Linux mount options", crun(1) for links and maps. A
//! word that is none of these is data for the file system, which refuses what it does not know.

use child::{Attributes, Links};

const RDONLY: u64 = sys::abi::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = sys::abi::MOUNT_ATTR_NOSUID;
const NODEV: u64 = sys::abi::MOUNT_ATTR_NODEV;
const NOEXEC: u64 = sys::abi::MOUNT_ATTR_NOEXEC;
const NOATIME: u64 = sys::abi::MOUNT_ATTR_NOATIME;
const STRICTATIME: u64 = sys::abi::MOUNT_ATTR_STRICTATIME;
const ATIME: u64 = sys::abi::MOUNT_ATTR__ATIME;
const NODIRATIME: u64 = sys::abi::MOUNT_ATTR_NODIRATIME;
const NOSYMFOLLOW: u64 = sys::abi::MOUNT_ATTR_NOSYMFOLLOW;
/// MS_POSIXACL of linux/mount.h.
const POSIXACL: u64 = 1 << 16;

/// What the options of one mount say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// MS_* flags for mount(2).
    pub(super) flags: u64,
    /// The same for mount_setattr(2).
    pub(super) own: Attributes,
    /// For the whole tree (`rro` and its like).
    pub(super) deep: Attributes,
    /// bind (`false`) or rbind (`true`).
    pub(super) bind: Option<bool>,
    pub(super) remount: bool,
    pub(super) copy_up: bool,
    pub(super) links: Links,
    /// idmap (`false`) or ridmap (`true`).
    pub(super) map_ids: Option<bool>,
    /// What is left for the file system.
    pub(super) data: String,
}

/// One word's meaning on a mount's attributes: MS_* flag, bits to set, bits to clear; whether the
/// word switches the flag on.
type Row = (&'static str, u64, u64, u64, bool);

const ROWS: &[Row] = &[
    ("ro", sys::abi::MS_RDONLY, RDONLY, 0, true),
    ("rw", sys::abi::MS_RDONLY, 0, RDONLY, false),
    ("nosuid", sys::abi::MS_NOSUID, NOSUID, 0, true),
    ("suid", sys::abi::MS_NOSUID, 0, NOSUID, false),
    ("nodev", sys::abi::MS_NODEV, NODEV, 0, true),
    ("dev", sys::abi::MS_NODEV, 0, NODEV, false),
    ("noexec", sys::abi::MS_NOEXEC, NOEXEC, 0, true),
    ("exec", sys::abi::MS_NOEXEC, 0, NOEXEC, false),
    ("nodiratime", sys::abi::MS_NODIRATIME, NODIRATIME, 0, true),
    ("diratime", sys::abi::MS_NODIRATIME, 0, NODIRATIME, false),
    ("nosymfollow", 256, NOSYMFOLLOW, 0, true),
    ("symfollow", 256, 0, NOSYMFOLLOW, false),
    ("noatime", sys::abi::MS_NOATIME, NOATIME, ATIME, true),
    ("atime", sys::abi::MS_NOATIME, 0, ATIME, false),
    ("relatime", sys::abi::MS_RELATIME, 0, ATIME, true),
    ("norelatime", sys::abi::MS_RELATIME, 0, ATIME, false),
    ("strictatime", sys::abi::MS_STRICTATIME, STRICTATIME, ATIME, true),
    ("nostrictatime", sys::abi::MS_STRICTATIME, 0, ATIME, false),
    ("sync", sys::abi::MS_SYNCHRONOUS, 0, 0, true),
    ("async", sys::abi::MS_SYNCHRONOUS, 0, 0, false),
    ("dirsync", sys::abi::MS_DIRSYNC, 0, 0, true),
    ("mand", sys::abi::MS_MANDLOCK, 0, 0, true),
    ("nomand", sys::abi::MS_MANDLOCK, 0, 0, false),
    ("lazytime", sys::abi::MS_LAZYTIME, 0, 0, true),
    ("nolazytime", sys::abi::MS_LAZYTIME, 0, 0, false),
    ("iversion", sys::abi::MS_I_VERSION, 0, 0, true),
    ("noiversion", sys::abi::MS_I_VERSION, 0, 0, false),
    ("silent", sys::abi::MS_SILENT, 0, 0, true),
    ("loud", sys::abi::MS_SILENT, 0, 0, false),
    ("acl", POSIXACL, 0, 0, true),
    ("noacl", POSIXACL, 0, 0, false),
];

/// Words that are more than a flag.
const OTHERS: [&str; 10] = [
    "bind",
    "copy-symlink",
    "defaults",
    "dest-nofollow",
    "idmap",
    "rbind",
    "remount",
    "ridmap",
    "src-nofollow",
    "tmpcopyup",
];

const PROPAGATIONS: &[(&str, u64)] = &[
    ("private", sys::abi::MS_PRIVATE),
    ("shared", sys::abi::MS_SHARED),
    ("slave", sys::abi::MS_SLAVE),
    ("unbindable", sys::abi::MS_UNBINDABLE),
];

/// The propagation flag of a word, and whether it is meant for the whole tree.
pub(super) fn propagation(word: &str) -> Option<(u64, bool)> {
    let find = |name: &str| PROPAGATIONS.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
    let deep = || word.strip_prefix('r').and_then(find).map(|flag| (flag, true));
    find(word).map(|flag| (flag, false)).or_else(deep)
}

/// Every word that is not left for the file system, sorted.
pub(crate) fn known() -> Vec<String> {
    let deep = |row: &Row| (row.2 | row.3 != 0).then(|| format!("r{}", row.0));
    let plain = ROWS.iter().map(|row| row.0.to_owned()).chain(ROWS.iter().filter_map(deep));
    let spread = PROPAGATIONS.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("r{name}")]);
    let mut all: Vec<String> = plain.chain(spread).chain(OTHERS.map(str::to_owned)).collect();
    all.sort();
    all
}

/// The words that are left for the file system, by commas.
pub(crate) fn unknown(words: &[String]) -> String {
    read(words).data
}

/// Reads the options of a mount.
pub(super) fn read(words: &[String]) -> Options {
    let mut out = Options::default();
    for word in words {
        out.word(word);
    }
    out
}

impl Options {
    fn word(&mut self, word: &str) {
        match word {
            "defaults" | "" => {}
            "bind" => self.bind = Some(false),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "src-nofollow" => self.links.source = true,
            "dest-nofollow" => self.links.target = true,
            // The link is not to be followed before it is read.
            "copy-symlink" => (self.links.source, self.links.copy) = (true, true),
            "idmap" => self.map_ids = Some(false),
            "ridmap" => self.map_ids = Some(true),
            _ => {
                if let Some((flag, deep)) = propagation(word) {
                    let to = if deep { &mut self.deep } else { &mut self.own };
                    to.propagation = flag;
                } else if !self.attribute(word) {
                    if !self.data.is_empty() {
                        self.data.push(',');
                    }
                    self.data.push_str(word);
                }
            }
        }
    }

    fn attribute(&mut self, word: &str) -> bool {
        if let Some((_, flag, set, clear, on)) = ROWS.iter().find(|row| row.0 == word) {
            self.flags = if *on { self.flags | flag } else { self.flags & !flag };
            change(&mut self.own, *set, *clear);
            return true;
        }
        let deep = word.strip_prefix('r').and_then(|w| ROWS.iter().find(|row| row.0 == w));
        match deep.filter(|row| row.2 | row.3 != 0) {
            Some((_, _, set, clear, _)) => {
                change(&mut self.deep, *set, *clear);
                true
            }
            None => false,
        }
    }
}

/// What a word that takes a flag away may have taken: atime's words take nothing by themselves.
const TAKEN: u64 = RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW;

impl Options {
    /// The attributes of a bind mount, and those of its source that go because they were not asked
    /// for, where they can. As runc reads mount(8): without any flag all stays as it is; with one,
    /// the mount has what was asked for alone, and atime changes when it was spoken of.
    pub(super) fn of_bind(&self) -> (Attributes, u64) {
        let clear = self.own.clear & TAKEN;
        let mut own = Attributes { set: self.own.set & TAKEN, clear, ..self.own };
        if self.flags | self.own.set | self.own.clear == 0 {
            return (own, 0);
        }
        let asked = |flag: u64| self.flags & flag != 0;
        let [strict, never] = [sys::abi::MS_STRICTATIME, sys::abi::MS_NOATIME].map(asked);
        let no_folders = asked(sys::abi::MS_NODIRATIME);
        if strict || never || no_folders || asked(sys::abi::MS_RELATIME) {
            own.set |= match (strict, never) {
                (true, _) => STRICTATIME,
                (_, true) => NOATIME,
                _ => 0,
            };
            own.set |= if no_folders { NODIRATIME } else { 0 };
            own.clear |= ATIME | if no_folders { 0 } else { NODIRATIME };
        }
        (own, TAKEN & !own.set & !own.clear)
    }
}

/// The last word wins.
fn change(to: &mut Attributes, set: u64, clear: u64) {
    to.set = to.set & !clear | set;
    to.clear = to.clear & !set | clear;
}
