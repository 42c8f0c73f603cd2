//! `scope [--v2] COMMAND [ARG...]`: runs a command inside a scope of its own, prints what it left
//! behind and exits with its status, or with 99 when something was left.

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<_> = env::args_os().skip(1).collect();
    let pure_v2 = args.first().is_some_and(|a| a == "--v2");
    if pure_v2 {
        args.remove(0);
    }
    let Some((program, rest)) = args.split_first() else {
        eprintln!("usage: scope [--v2] COMMAND [ARG...]");
        return ExitCode::from(2);
    };
    match scope::run_command(Path::new(program), rest, pure_v2) {
        Ok((status, leaks)) => {
            leaks.iter().for_each(|leak| eprintln!("scope: left behind: {leak}"));
            let code = if leaks.is_empty() { status.code().unwrap_or(98) } else { 99 };
            ExitCode::from(u8::try_from(code).unwrap_or(98))
        }
        Err(error) => {
            eprintln!("scope: {error}");
            ExitCode::from(97)
        }
    }
}
