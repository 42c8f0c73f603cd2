//! `podvisor init`: hands over to crate `init`, which never returns where it is PID 1.

use std::ffi::OsString;
use std::process::ExitCode;

/// Becomes PID 1 with a supervisor of these arguments below.
#[must_use]
pub fn be_init(program: Option<OsString>, arguments: &[String]) -> ExitCode {
    let own = std::env::current_exe().map(std::path::PathBuf::into_os_string).ok();
    let mut words = vec![own.or(program).unwrap_or_else(|| "/usr/bin/podvisor".into())];
    match arguments {
        [] => words.push("serve".into()),
        some => words.extend(some.iter().map(OsString::from)),
    }
    ExitCode::from(u8::try_from(init::run(&words)).unwrap_or(1))
}
