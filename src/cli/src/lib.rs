//! The command line of podvisor.
//!
//! | module | what |
//! |---|---|
//! | [`args`] | what can be typed |
//! | [`verbs`] | one file a verb; start here |
//! | [`hosting`] | a supervisor inside this process, or one in the background |
//! | [`session`] | a person's terminal and a process in a container |
//! | [`failure`], [`mod@print`], [`table`], [`columns`], [`yaml`] | what is said |
//! | [`live`], [`progress`], [`transfer`], [`build_report`] | progress |
//! | [`target`], [`object`], [`waiting`], [`manifest`] | naming, reading, awaiting objects |
//! | [`demo`] | the programs inside the demo's image |
//!
//! Every verb that speaks of pods is a client of the API, also when this process hosts the
//! supervisor itself. Nothing here decides anything about pods or makes a container.
//! May be touched: everything; exit codes and the form of errors are promised in docs/cli.md.

pub mod age;
pub mod args;
pub mod build_report;
pub mod columns;
pub mod demo;
pub mod failure;
pub mod hosting;
pub mod live;
pub mod manifest;
pub mod near;
pub mod object;
pub mod print;
pub mod progress;
pub mod readiness;
pub mod session;
pub mod settings;
pub mod table;
pub mod target;
pub mod transfer;
pub mod verbs;
pub mod waiting;
pub mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use args::Cli;

/// Exit code of a usage error, and of `run` and `exec`, whose own codes belong to the command.
const USAGE: u8 = 2;
/// Exit code of a failure of podvisor itself in `run` and `exec`.
pub const OWN_FAILURE: u8 = 125;

/// Whether the kernel has made this process the first of a machine. Inside a container it may be
/// first, too, and then it has been given a verb; words of the kernel's command line are none.
#[must_use]
pub fn is_machine_init(words: &[OsString]) -> bool {
    let is_order = |word: &OsString| {
        let word = word.to_string_lossy();
        let is_verb = |name: &str| name == "help" || Cli::command().find_subcommand(name).is_some();
        word.starts_with('-') || is_verb(word.as_ref())
    };
    std::process::id() == 1 && !words.get(1).is_some_and(is_order)
}

/// Becomes PID 1 of the machine with a plain supervisor below; returns only when it cannot be.
#[must_use]
pub fn be_init(program: Option<OsString>) -> ExitCode {
    verbs::init::be_init(program, &["serve".into()])
}

/// Understands the command line, or says what is wrong with it.
///
/// # Errors
/// The exit code, after help, version or the complaint has been printed.
pub fn parse(words: Vec<OsString>) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(&words).map_err(|error| {
        // Nobody to tell when the output has gone.
        let printed = error.print();
        let lost = printed.is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion if !lost => ExitCode::SUCCESS,
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::FAILURE,
            _ => ExitCode::from(usage_code(&words)),
        }
    })
}

/// 125 for `run` and `exec`, 2 for the rest: the verb is the first word that is no option.
#[must_use]
pub fn usage_code(words: &[OsString]) -> u8 {
    const WITH_VALUE: [&str; 8] = [
        "--root",
        "--state",
        "--log-dir",
        "--log-format",
        "--color",
        "--subnet",
        "--bridge",
        "--cgroup-parent",
    ];
    let mut words = words.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word {
            "run" | "exec" => return OWN_FAILURE,
            option if WITH_VALUE.contains(&option) => {
                words.next();
            }
            option if option.starts_with('-') => {}
            _ => return USAGE,
        }
    }
    USAGE
}

/// Does what has been understood; the exit code.
#[must_use]
pub fn obey(cli: Cli) -> ExitCode {
    let settings = settings::Settings::new(&cli.global, settings::variable);
    // It cannot fail for a signal that there is.
    let _ = sys::start::heed_children();
    match verbs::dispatch(cli.verb, &settings) {
        Ok(code) => code,
        Err(failure) => failure.report(settings.log_format),
    }
}
