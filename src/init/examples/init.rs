//! PID 1 as a program of its own, for its tests: `init SUPERVISOR ARGS…`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().skip(1).collect();
    ExitCode::from(u8::try_from(init::run(&argv)).unwrap_or(1))
}
