//! The end of the machine: sync, power off, restart. Only PID 1 of a machine has use for it.

use std::convert::Infallible;
use std::io::Result;

use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};

/// What is to become of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Power off; stops the CPU where the machine cannot.
    PowerOff,
    /// Start again.
    Restart,
    /// Stop the CPU, leave the power on.
    Halt,
}

/// Writes every dirty page and inode to its device; returns when that is done (sync(2)).
pub fn sync() {
    nix::unistd::sync();
}

/// Ends the machine without syncing. In a PID namespace other than the first it ends the namespace
/// instead (pid_namespaces(7)).
///
/// # Errors
/// EPERM without CAP_SYS_BOOT. It does not return otherwise.
pub fn end(ending: Ending) -> Result<Infallible> {
    let mode = match ending {
        Ending::PowerOff => RebootMode::RB_POWER_OFF,
        Ending::Restart => RebootMode::RB_AUTOBOOT,
        Ending::Halt => RebootMode::RB_HALT_SYSTEM,
    };
    Ok(reboot(mode)?)
}

/// Makes ctrl-alt-del send SIGINT to PID 1 instead of restarting at once.
///
/// # Errors
/// EPERM without CAP_SYS_BOOT, EINVAL outside of the first PID namespace.
pub fn disable_ctrl_alt_del() -> Result<()> {
    Ok(set_cad_enabled(false)?)
}
