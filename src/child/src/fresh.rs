//! File systems that are made before they are anywhere, by fsopen(2) to fsmount(2), and what is
//! kept open of them.
//!
//! Invariant: who changes, labels, fills or hides what was just mounted does it by its handle. A
//! second look-up of its path could find what somebody has put there meanwhile.

use core::ffi::{CStr, c_int};

use crate::op::{Keep, Text};
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::{Child, NONE};

const FSOPEN_CLOEXEC: c_int = 1;
const FSMOUNT_CLOEXEC: c_int = 1;
const SET_FLAG: c_int = 0;
const SET_STRING: c_int = 1;
const CREATE: c_int = 6;
/// Longest name or value that fsconfig(2) takes.
const WORD_MAX: usize = 256;

/// mount(2)'s flags that are the mount's, and what fsmount(2) calls them.
const ATTRIBUTES: [(u64, u64); 7] = [
    (libc::MS_RDONLY, libc::MOUNT_ATTR_RDONLY),
    (libc::MS_NOSUID, libc::MOUNT_ATTR_NOSUID),
    (libc::MS_NODEV, libc::MOUNT_ATTR_NODEV),
    (libc::MS_NOEXEC, libc::MOUNT_ATTR_NOEXEC),
    (libc::MS_NOATIME, libc::MOUNT_ATTR_NOATIME),
    (libc::MS_STRICTATIME, libc::MOUNT_ATTR_STRICTATIME),
    (libc::MS_NODIRATIME, libc::MOUNT_ATTR_NODIRATIME),
];
/// MS_NOSYMFOLLOW of linux/mount.h.
const NOSYMFOLLOW: u64 = 256;
/// Those that are the file system's.
const SYSTEM: [(u64, &CStr); 5] = [
    (libc::MS_RDONLY, c"ro"),
    (libc::MS_SYNCHRONOUS, c"sync"),
    (libc::MS_MANDLOCK, c"mand"),
    (libc::MS_DIRSYNC, c"dirsync"),
    (libc::MS_LAZYTIME, c"lazytime"),
];

/// A mount that is kept open, and where it is.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) target: Text,
    pub(crate) mount: c_int,
}

/// Nothing kept.
pub(crate) const NOTHING: Kept = Kept { target: 0, mount: NONE };

/// A new file system's mount, attached nowhere. Flags and options are mount(2)'s.
pub(crate) fn make(kind: &CStr, source: &CStr, flags: u64, options: Option<&CStr>) -> Done<c_int> {
    let system = fd(syscall!(libc::SYS_fsopen, kind, FSOPEN_CLOEXEC))?;
    let made = configure(system, source, flags, options).and_then(|()| {
        let attributes = attributes(flags);
        fd(syscall!(libc::SYS_fsmount, system, FSMOUNT_CLOEXEC, attributes))
    });
    close(system);
    made
}

fn attributes(flags: u64) -> u64 {
    let of = |all: u64, row: &(u64, u64)| if flags & row.0 != 0 { all | row.1 } else { all };
    let plain = ATTRIBUTES.iter().fold(0, of);
    if flags & NOSYMFOLLOW != 0 { plain | libc::MOUNT_ATTR_NOSYMFOLLOW } else { plain }
}

fn configure(system: c_int, source: &CStr, flags: u64, options: Option<&CStr>) -> Done {
    set(system, SET_STRING, c"source", Some(source))?;
    for (flag, name) in SYSTEM {
        if flags & flag != 0 {
            set(system, SET_FLAG, name, None)?;
        }
    }
    let mut rest = options.map_or(&[][..], CStr::to_bytes);
    while !rest.is_empty() {
        let (option, more) = first_option(rest);
        rest = more;
        set_option(system, option)?;
    }
    unit(syscall!(libc::SYS_fsconfig, system, CREATE, 0, 0, 0))
}

fn set(system: c_int, how: c_int, name: &CStr, value: Option<&CStr>) -> Done {
    unit(syscall!(libc::SYS_fsconfig, system, how, name, value, 0))
}

/// What stands before the next comma that is in no quotes, and what behind it.
fn first_option(options: &[u8]) -> (&[u8], &[u8]) {
    let mut quoted = false;
    let end = options.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    match end.and_then(|end| options.split_at_checked(end)) {
        Some((option, rest)) => (option, rest.get(1..).unwrap_or_default()),
        None => (options, &[]),
    }
}

fn set_option(system: c_int, option: &[u8]) -> Done {
    let mut parts = option.splitn(2, |byte| *byte == b'=');
    let name = Word::of(parts.next().unwrap_or_default())?;
    match parts.next() {
        None => set(system, SET_FLAG, name.text()?, None),
        Some(value) => {
            let value = Word::of(value)?;
            set(system, SET_STRING, name.text()?, Some(value.text()?))
        }
    }
}

/// A name or a value, without its quotes.
struct Word {
    bytes: [u8; WORD_MAX],
}

impl Word {
    fn of(text: &[u8]) -> Done<Word> {
        let mut bytes = [0; WORD_MAX];
        let mut room = bytes.iter_mut();
        for byte in text.iter().filter(|byte| **byte != b'"') {
            *room.next().ok_or(libc::EINVAL)? = *byte;
        }
        // The NUL behind it.
        room.next().ok_or(libc::EINVAL)?;
        Ok(Word { bytes })
    }

    fn text(&self) -> Done<&CStr> {
        crate::raw::text_of(&self.bytes)
    }
}

impl Child<'_> {
    /// Keeps what was mounted, for as long as later operations are about it.
    pub(crate) fn keep(&mut self, target: Text, mount: c_int, keep: Keep) {
        if self.is_root(target) {
            close(self.root);
            self.root = mount;
            return;
        }
        let slot = match keep {
            Keep::Always => self.kept.iter_mut().find(|kept| kept.mount == NONE),
            Keep::Next | Keep::No => None,
        };
        match slot {
            Some(slot) => *slot = Kept { target, mount },
            // Without room for one more it is the last one, which is enough for what comes next.
            None => self.keep_last(target, mount),
        }
    }

    /// Whether it is the root: what is mounted there hides what the root was.
    pub(crate) fn is_root(&self, target: Text) -> bool {
        self.text(target) == Ok(c"/")
    }

    /// Keeps a mount until the next one is kept so.
    fn keep_last(&mut self, target: Text, mount: c_int) {
        if self.last.mount != NONE {
            close(self.last.mount);
        }
        self.last = Kept { target, mount };
    }

    /// What is kept of a mount at exactly `path`.
    pub(crate) fn kept_at(&self, path: &CStr) -> Option<c_int> {
        self.all_kept().find(|kept| self.text(kept.target) == Ok(path)).map(|kept| kept.mount)
    }

    /// The kept mount that `path` is below, and the rest of the path.
    pub(crate) fn kept_above<'a>(&self, path: &'a CStr) -> Option<(c_int, &'a CStr)> {
        self.all_kept().find_map(|kept| {
            let above = self.text(kept.target).ok()?.to_bytes();
            let rest = path.to_bytes_with_nul().strip_prefix(above)?.strip_prefix(b"/")?;
            let climbs = rest.split(|b| *b == b'/').any(|name| name == b".." || name == b"..\0");
            let rest = crate::raw::text_of(rest).ok()?;
            (!climbs && !rest.is_empty()).then_some((kept.mount, rest))
        })
    }

    fn all_kept(&self) -> impl Iterator<Item = &Kept> {
        let all = self.kept.iter().chain([&self.last]);
        all.filter(|kept| kept.mount != NONE)
    }
}
