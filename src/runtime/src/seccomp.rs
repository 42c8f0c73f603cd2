//! Seccomp profiles to filter programs, by an own compiler.
//!
//! [`compile`] is pure: `rules` reads the profile into one table of decisions per ABI, `code` turns
//! the tables into classic BPF (architecture check, ENOSYS above the newest call the profile knows,
//! binary search over call numbers, compares of 64-bit arguments). [`compile_cached`] keeps the
//! result on disk by content. `syscalls` is generated data; see `generate-syscalls.sh`.
//!
//! Invariants: what the profile says and the kernel cannot do is an error, never left out; the one
//! exception is the specification's own, call names that no ABI here has, which are skipped as
//! runc and crun do. An ABI that the profile does not list is killed.
//! Not here: loading the program (`sys`, `child`) and serving its notifications.

use oci::runtime::{LinuxSeccomp, LinuxSeccompAction};

mod abi;
mod cache;
mod code;
mod error;
mod rules;
mod syscalls;

pub use cache::compile_cached;
pub use error::Error;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: in [`Filter::flags`] when the profile notifies.
pub const FLAG_NEW_LISTENER: u32 = 1 << 3;

/// A program ready for `seccomp(2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// `struct sock_filter`s, native endian; at most 4096.
    pub program: Vec<[u8; 8]>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
    /// Whether a rule notifies: the loader gets a listener fd, which goes to `listenerPath`.
    pub notify: bool,
}

/// Compiles a profile for this machine.
///
/// # Errors
/// Every way a profile can be wrong, by field; see [`Error`].
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, Error> {
    let policy = rules::read(profile)?;
    let program = code::assemble(&policy);
    if program.len() > code::INSTRUCTIONS_MAX {
        return Err(Error::TooLong { instructions: program.len() });
    }
    Ok(Filter { program, flags: policy.flags, notify: policy.notify })
}

/// The flags that [`compile`] will give, without compiling.
#[must_use]
pub fn load_flags(profile: &LinuxSeccomp) -> u32 {
    let rules = profile.syscalls().iter().flatten();
    let notify = rules.map(|rule| rule.action()).any(|a| a == LinuxSeccompAction::ScmpActNotify);
    rules::flags(profile.flags().as_deref().unwrap_or_default(), notify)
}

/// Whether the native call `name` is executed whatever its arguments; false where it may depend.
#[must_use]
pub fn lets_pass(profile: &LinuxSeccomp, name: &str) -> bool {
    decided(profile, name).is_some_and(|(action, _)| passes(action))
}

/// Whether it is refused, or asked about, whatever its arguments; false where it may depend.
#[must_use]
pub fn refuses(profile: &LinuxSeccomp, name: &str) -> bool {
    decided(profile, name).is_some_and(|(action, _)| !passes(action))
}

/// Whether it does not exist, whatever its arguments.
#[must_use]
pub fn denies_existence(profile: &LinuxSeccomp, name: &str) -> bool {
    let absent = (LinuxSeccompAction::ScmpActErrno, Some(ENOSYS));
    decided(profile, name) == Some(absent)
}

/// The kernel's errno of a call that there is not.
const ENOSYS: u32 = 38;

fn passes(action: LinuxSeccompAction) -> bool {
    matches!(action, LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog)
}

/// What becomes of a call, and by which errno, when that depends on no argument.
fn decided(profile: &LinuxSeccomp, name: &str) -> Option<(LinuxSeccompAction, Option<u32>)> {
    let rules = profile.syscalls().iter().flatten();
    let mut rules = rules.filter(|rule| rule.names().iter().any(|named| named == name)).peekable();
    let mut without_arguments =
        rules.clone().filter(|rule| rule.args().as_deref().unwrap_or_default().is_empty());
    match without_arguments.next() {
        Some(rule) => Some((rule.action(), rule.errno_ret())),
        None if rules.peek().is_none() => {
            Some((profile.default_action(), profile.default_errno_ret()))
        }
        None => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
