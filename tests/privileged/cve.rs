//! Attacks that worked on other runtimes, a file a class, one test named after its CVEs. Each says
//! in its comment how to see it red: `red without X` is a defence taken out.

use crate::trial::Trial;

/// A scope for the test of this name, with a bundle whose container runs the arguments.
macro_rules! trial {
    ($test:ident, $($arg:expr),*) => {
        $crate::cve::trial(concat!(module_path!(), "::", stringify!($test)), &[$($arg),*])
    };
}

mod credentials;
mod device;
mod fd_leak;
mod hook;
mod image_path;
mod image_user;
mod information_leak;
mod large_input;
mod mask_source;
mod mount_target;
mod own_binary;
mod paths;
mod permissions;
mod procfs_redirect;
mod residue;
#[cfg(target_arch = "x86_64")]
mod seccomp_gap;
mod smuggled;
mod strangers;
mod taking_hold;
mod terminal;

/// A trial and its bundle's path; nothing outside the scope.
fn trial(test: &str, args: &[&str]) -> Option<(Trial, String)> {
    let test = test.split_once("::").map_or(test, |(_, test)| test);
    let trial = Trial::new(scope::enter(test)?, args);
    let bundle = trial.path("b").display().to_string();
    Some((trial, bundle))
}
