//! Device rules: what config.json says, checked once and read in one way by both versions.
//!
//! Semantics: each access (read, write, mknod) to a device is decided by the last rule that matches
//! it; without any the answer is no. After the caller's rules come those of runc's default devices,
//! so that /dev/null and its like always work. v1 writes `devices.allow`/`devices.deny`
//! ([`transition`]); v2 compiles a program ([`program`]). Both modules are pure.

mod program;
mod table;

pub(super) use program::program;
pub(super) use table::{Table, transition};

use oci::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Error, field_error};

/// May make a device node.
pub(super) const MKNOD: u8 = 1;
/// May read.
pub(super) const READ: u8 = 2;
/// May write.
pub(super) const WRITE: u8 = 4;
/// All three.
pub(super) const ALL: u8 = MKNOD | READ | WRITE;

/// Block or character, in the numbers of `bpf_cgroup_dev_ctx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Block devices (1).
    Block = 1,
    /// Character devices (2).
    Char = 2,
}

/// One checked rule; `None` matches any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    /// Allow or deny.
    pub(super) allow: bool,
    /// Which kind, or both.
    pub(super) kind: Option<Kind>,
    /// Which major number, or all.
    pub(super) major: Option<u32>,
    /// Which minor number, or all.
    pub(super) minor: Option<u32>,
    /// Bits of [`MKNOD`], [`READ`], [`WRITE`]; never zero.
    pub(super) access: u8,
}

impl Rule {
    const fn char(major: u32, minor: Option<u32>, access: u8) -> Rule {
        Rule { allow: true, kind: Some(Kind::Char), major: Some(major), minor, access }
    }

    const fn mknod(kind: Kind) -> Rule {
        Rule { allow: true, kind: Some(kind), major: None, minor: None, access: MKNOD }
    }

    /// Matches everything with every access.
    pub(super) fn is_total(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == ALL
    }
}

/// Allowed in every container: making any node (its use is another matter), null, zero, full,
/// random, urandom, tty, the multiplexer and the slaves of the container's own ptys.
const ALWAYS: [Rule; 10] = [
    Rule::mknod(Kind::Char),
    Rule::mknod(Kind::Block),
    Rule::char(1, Some(3), ALL),
    Rule::char(1, Some(5), ALL),
    Rule::char(1, Some(7), ALL),
    Rule::char(1, Some(8), ALL),
    Rule::char(1, Some(9), ALL),
    Rule::char(5, Some(0), ALL),
    Rule::char(5, Some(2), ALL),
    Rule::char(136, None, ALL),
];

/// Checks the rules of config.json and adds the ones that always hold.
///
/// # Errors
/// [`Error::Field`] naming the rule's index.
pub(super) fn rules(given: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, Error> {
    let mut out = Vec::with_capacity(given.len() + ALWAYS.len());
    for (index, rule) in given.iter().enumerate() {
        let field = |problem: String| {
            field_error("linux.resources.devices", format!("[{index}]: {problem}"))
        };
        let kind = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => None,
            LinuxDeviceType::B => Some(Kind::Block),
            LinuxDeviceType::C | LinuxDeviceType::U => Some(Kind::Char),
            LinuxDeviceType::P => return Err(field("a fifo is no device to allow or deny".into())),
        };
        let number = |name: &str, value: Option<i64>| match value {
            None | Some(-1) => Ok(None),
            Some(n) => u32::try_from(n)
                .map(Some)
                .map_err(|_| field(format!("{name} {n} is not a device number"))),
        };
        let access = match rule.access().as_deref().filter(|a| !a.is_empty()) {
            // Docker writes the bare `{"allow": false}` and means everything.
            None => ALL,
            Some(text) => access_bits(text).ok_or_else(|| {
                field(format!("access {text:?} has letters other than r, w, m and a"))
            })?,
        };
        let (major, minor) = (number("major", rule.major())?, number("minor", rule.minor())?);
        out.push(Rule { allow: rule.allow(), kind, major, minor, access });
    }
    out.extend(ALWAYS);
    Ok(out)
}

fn access_bits(text: &str) -> Option<u8> {
    text.chars().try_fold(0, |bits, letter| match letter {
        'r' => Some(bits | READ),
        'w' => Some(bits | WRITE),
        'm' => Some(bits | MKNOD),
        // As runc takes it: a type's letter, which is no access and adds none.
        'a' => Some(bits),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
