//! podvisor: understand what was typed, do it, end with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if cli::is_machine_init(&words) {
        return cli::be_init(words.first().cloned());
    }
    match cli::parse(words) {
        Ok(order) => cli::obey(order),
        Err(told) => told,
    }
}
