//! `podvisor-oci`: runc's command line over [`runtime`], and the hidden `monitor` verb.
//!
//! `main` reads as prose; `args` reads words by the tables of `verbs`; each verb is a file or a
//! function in `verbs`; `foreground` relays a terminal and signals; `report` writes errors where
//! engines look for them. Exit codes: the command's for run and exec, 1 for errors, 255 for errors
//! of exec.
//!
//! It starts without Rust's runtime, which costs a tenth of a start (see [`sys::start`]).
//!
//! Not here: anything about containers that an engine other than a shell could want. It is in
//! `runtime`. May be touched: flags and texts only in runc's ways; the conformance cases compare.

#![cfg_attr(any(not(test), fuzzing), no_main)]

use std::ffi::{OsStr, OsString};

mod args;
mod foreground;
mod help;
mod readiness;
mod report;
#[cfg(not(test))]
mod start;
mod target;
mod verbs;

use args::{Given, UsageError, Words};
use report::{Failure, Log};

/// Everything between start and exit code.
#[cfg_attr(test, expect(dead_code, reason = "tests start at their harness"))]
fn program() -> u8 {
    let mut args = std::env::args_os().skip(1).peekable();
    let mut globals = match Given::leading(&mut args, verbs::GLOBAL) {
        Ok(globals) => globals,
        Err(error) => return usage(&Log::default(), None, error),
    };
    let log = match Log::open(&globals) {
        Ok(log) => log,
        Err(failure) => return Log::default().fail(&failure),
    };
    if globals.has("version") {
        return show(&log, &help::version());
    }
    let Some(name) = args.next().filter(|_| !globals.has("help")) else {
        return show(&log, &help::program());
    };
    match name.to_str() {
        Some("help") => help_for(&log, args.next()),
        text => match text.and_then(verbs::find) {
            Some(verb) => run(log, &mut globals, verb, &mut args),
            None => no_verb(&log, &name),
        },
    }
}

/// Prints what was asked for.
fn show(log: &Log, text: &str) -> u8 {
    report::print(text).map_or_else(|failure| log.fail(&failure), |()| 0)
}

fn run(
    log: Log,
    globals: &mut Given,
    verb: &'static verbs::Verb,
    args: &mut impl Iterator<Item = OsString>,
) -> u8 {
    let given = match Given::parse(args, verb.flags, verb.words) {
        Ok(given) => given,
        Err(error) => return usage(&log, Some(verb), error),
    };
    globals.words.extend(given.words.first().cloned());
    let log = report::keep(log.about(globals));
    if given.has("help") {
        return show(log, &help::verb(verb));
    }
    let count = given.words.len();
    if count < verb.least || verb.words == Words::Anywhere && count > verb.most {
        let wanted = match (verb.least, verb.most) {
            (least, most) if least == most => format!("exactly {least}"),
            (least, _) if count < least => format!("a minimum of {least}"),
            (_, most) => format!("a maximum of {most}"),
        };
        return usage(log, Some(verb), UsageError::Words { verb: verb.name, wanted });
    }
    match (verb.run)(globals, &given) {
        Ok(code) => code,
        Err(failure) => log.fail(&failure),
    }
}

fn help_for(log: &Log, name: Option<OsString>) -> u8 {
    match name.as_ref().map(|n| n.to_str().and_then(verbs::find)) {
        None => show(log, &help::program()),
        Some(Some(verb)) => show(log, &help::verb(verb)),
        Some(None) => no_verb(log, &name.unwrap_or_default()),
    }
}

fn no_verb(log: &Log, name: &OsStr) -> u8 {
    let error = UsageError::Verb(name.to_string_lossy().into_owned());
    log.fail(&Failure { code: 3, ..error.into() })
}

fn usage(log: &Log, verb: Option<&verbs::Verb>, error: UsageError) -> u8 {
    let help = verb.map_or_else(help::program, help::verb);
    // The error that led here is the one to tell.
    let _ = report::print(&format!("Incorrect Usage: {error}\n\n{help}"));
    log.fail(&Failure::from(error))
}
