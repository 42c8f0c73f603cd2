//! Landlock: a rule set is made, filled and taken on; every later process keeps to it.
//!
//! Rights that this kernel does not know are not asked for. Ports and scopes are never left out:
//! a kernel without them refuses the set. Source: landlock(7), linux/landlock.h.

use core::ffi::c_int;

use crate::op::{Op, Text};
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::{Child, NONE};
use crate::target::{is_folder, stat};

const CREATE_RULESET_VERSION: c_int = 1;
const RULE_PATH_BENEATH: c_int = 1;
const RULE_NET_PORT: c_int = 2;
/// Rights on a file: execute, write, read, truncate, ioctl.
const ON_FILES: u64 = 0b111 | 1 << 14 | 1 << 15;

/// The kernel's struct landlock_ruleset_attr.
#[repr(C)]
struct Ruleset {
    files: u64,
    ports: u64,
    scoped: u64,
}

/// The kernel's struct landlock_path_beneath_attr, of which 12 bytes are read.
#[repr(C)]
struct Beneath {
    rights: u64,
    parent: c_int,
}

impl Child<'_> {
    pub(crate) fn landlock(&mut self, op: &Op) -> Done {
        match *op {
            Op::LandlockBegin { files, ports, scoped } => {
                let version =
                    syscall!(libc::SYS_landlock_create_ruleset, 0, 0, CREATE_RULESET_VERSION)?;
                self.rights = files & known_rights(version);
                let set = Ruleset { files: self.rights, ports, scoped };
                // Older kernels take a shorter structure.
                let size = if scoped != 0 { 24 } else { 8 + 8 * usize::from(ports != 0) };
                let made = syscall!(libc::SYS_landlock_create_ruleset, &raw const set, size, 0)?;
                self.ruleset = made as c_int;
                Ok(())
            }
            Op::LandlockPath { path, rights } => self.allow_beneath(path, rights),
            Op::LandlockPort { port, rights } => {
                let rule = [rights, u64::from(port)];
                let (set, kind) = (self.ruleset, RULE_NET_PORT);
                unit(syscall!(libc::SYS_landlock_add_rule, set, kind, rule.as_ptr(), 0))
            }
            Op::LandlockEnd => {
                syscall!(libc::SYS_landlock_restrict_self, self.ruleset, 0)?;
                close(self.ruleset);
                self.ruleset = NONE;
                Ok(())
            }
            _ => Err(libc::ENOSYS),
        }
    }

    fn allow_beneath(&self, path: Text, rights: u64) -> Done {
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        let parent = fd(syscall!(libc::SYS_openat, libc::AT_FDCWD, self.text(path)?, flags, 0))?;
        let found = stat(parent)?;
        let possible = if is_folder(&found) { u64::MAX } else { ON_FILES };
        let rule = Beneath { rights: rights & self.rights & possible, parent };
        let (set, kind, rule) = (self.ruleset, RULE_PATH_BENEATH, &raw const rule);
        let done = unit(syscall!(libc::SYS_landlock_add_rule, set, kind, rule, 0));
        close(parent);
        done
    }
}

/// The rights on files of a version: 13 of the first, then link and rename, truncate, ioctl.
fn known_rights(version: usize) -> u64 {
    match version {
        0 | 1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    }
}
