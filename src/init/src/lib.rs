//! PID 1 of a machine: a tiny parent that mounts what is missing, starts the supervisor, restarts
//! it at most once a second, reaps for ever, and ends the machine in order.
//!
//! It decides nothing about pods and links none of the crates that do. Nothing is allocated once
//! the loop runs: every program is prepared before, every buffer made before. Never out of memory
//! (oom_score_adj -1000), never gone by a signal (all are blocked and read from a descriptor).
//!
//! | asked by                                  | ending    |
//! |-------------------------------------------|-----------|
//! | SIGTERM, SIGPWR                           | power off |
//! | SIGINT (ctrl-alt-del)                     | restart   |
//! | `podvisor.exit=` and the set has run      | as it says|
//!
//! Kernel command line: `podvisor.images=FILE,…` are loaded first, `podvisor.pods=FILE,…` are
//! brought up instead of plain `serve`, `podvisor.exit=poweroff|reboot|halt` runs them to
//! completion (`podvisor up --until-done --json`, whose lines land on the console) and then ends
//! the machine.
//!
//! Start at [`run`]; `phase` is the table of what follows what, `boot` the mounts, `cmdline` the
//! kernel's command line. May be touched: everything; in the loop nothing may allocate or end it.

mod boot;
mod cmdline;
mod phase;
mod serve;

use std::ffi::OsString;
use std::io::Write;

/// Runs PID 1 with the supervisor's `argv`, for example `/usr/bin/podvisor serve`; `argv[0]` is the
/// path of the program that also loads images and brings pods up. It returns only when it is not
/// PID 1 or when the machine cannot be ended (a PID namespace without CAP_SYS_BOOT): the exit code.
#[must_use]
pub fn run(argv: &[OsString]) -> i32 {
    if std::process::id() != 1 {
        say("init: refused: it has to be PID 1 of a machine or of a PID namespace");
        say("hint: boot with init=/usr/bin/podvisor, or use `podvisor serve`");
        return 2;
    }
    boot::prepare_machine();
    let boot = cmdline::read();
    match serve::Loop::new(argv, &boot) {
        Ok(mut machine) => machine.run(),
        Err(error) => {
            say(&format!("init: cannot begin: {error}"));
            1
        }
    }
}

/// One line on the console.
fn say(words: &str) {
    // A console that cannot be written to is no reason to stop.
    let _ = std::io::stderr().write_all(b"podvisor: ");
    let _ = std::io::stderr().write_all(words.as_bytes());
    let _ = std::io::stderr().write_all(b"\n");
}
