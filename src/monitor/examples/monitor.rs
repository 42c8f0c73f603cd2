//! The monitor as a program of its own, for its tests: `monitor POD-DIR READY-FD`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let pod_dir = args.next().unwrap_or_default();
    let ready = args.next().and_then(|number| number.to_str()?.parse().ok());
    let code = monitor::run(Path::new(&pod_dir), ready);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
