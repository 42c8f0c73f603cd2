//! Each verb killed (-9) before its N-th system call, and each call failed once, for every N: what
//! is left then, `delete --force` cleans whole and in time.
//!
//! Calls of the runtime and of the child that it makes are counted together (`tools/inject.c`).
//! PODVISOR_SWEEP_STRIDE is the distance of the Ns that are tried; without it every one is.
//! See it red: leave out the closing of `Program::parents` in `src/child/src/run.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::trial::Trial;

/// ENOMEM, which every call may say.
const FAILURE: &str = "12";

struct Sweep {
    trial: Trial,
    inject: PathBuf,
    before: BTreeSet<String>,
}

impl Sweep {
    fn new(trial: Trial) -> Sweep {
        let inject = trial.tool("inject");
        let hook = json!([{"path": "/bin/true"}]);
        trial.change(|config| {
            config["hooks"] = json!({"createRuntime": hook, "poststart": hook, "poststop": hook});
            config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]});
            config["linux"]["resources"]["pids"] = json!({"limit": 100});
        });
        let before = trial.traces();
        Sweep { trial, inject, before }
    }

    /// Runs the verb with call `number` treated as `how`; how many were counted, and which was hit.
    fn once(&self, number: usize, how: &str, verb: &[&str]) -> (usize, i64, i32) {
        let report = self.trial.path("report");
        let first = [report.to_str().expect("path"), &number.to_string(), how];
        let done = self.trial.oci_under(&self.inject, &first, verb);
        let text = fs::read_to_string(&report).expect("report");
        let mut words = text.split_whitespace().map(|w| w.parse::<i64>().expect("number"));
        let (count, hit) = (words.next().expect("count"), words.next().expect("hit"));
        (usize::try_from(count).expect("count"), hit, done.code)
    }

    /// `prepare` makes what the verb is for.
    fn verb(&self, prepare: &[&[&str]], verb: &[&str]) {
        let stride = std::env::var("PODVISOR_SWEEP_STRIDE").ok().and_then(|s| s.parse().ok());
        let mut tried = 0;
        for how in ["kill", FAILURE] {
            let mut number = 1;
            loop {
                for step in prepare {
                    self.trial.oci(step).ok();
                }
                let (_, hit, code) = self.once(number, how, verb);
                let what = format!("{verb:?}, call {number} ({hit}) treated as {how}");
                assert_ne!(code, 124, "{what}: hangs");
                let deleted = self.trial.oci(&["delete", "--force", "c"]);
                assert_eq!(deleted.code, 0, "{what}: delete says {}", deleted.err);
                self.trial.clean(&self.before, &what);
                if hit < 0 {
                    break;
                }
                tried += 1;
                number += stride.unwrap_or(1);
            }
        }
        println!("{verb:?}: {tried} interruptions");
    }
}

fn sweep(test: &str, prepare: &[&[&str]], verb: &[&str]) {
    let Some(scope) = scope::enter(test) else { return };
    let trial = Trial::new(scope, &["sleep", "100"]);
    let bundle = trial.path("b").display().to_string();
    let with = |words: &[&str]| -> Vec<String> {
        words.iter().map(|w| w.replace("BUNDLE", &bundle)).collect()
    };
    let (prepare, verb): (Vec<Vec<String>>, _) =
        (prepare.iter().map(|p| with(p)).collect(), with(verb));
    let prepare: Vec<Vec<&str>> =
        prepare.iter().map(|p| p.iter().map(String::as_str).collect()).collect();
    let prepare: Vec<&[&str]> = prepare.iter().map(Vec::as_slice).collect();
    let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
    Sweep::new(trial).verb(&prepare, &verb);
}

const CREATE: &[&str] = &["create", "--bundle", "BUNDLE", "c"];
const RUN: &[&str] = &["run", "-d", "--bundle", "BUNDLE", "c"];

#[test]
fn create() {
    sweep("sweep::create", &[], CREATE);
}

#[test]
fn run() {
    sweep("sweep::run", &[], RUN);
}

#[test]
fn start() {
    sweep("sweep::start", &[CREATE], &["start", "c"]);
}

#[test]
fn exec() {
    sweep("sweep::exec", &[RUN], &["exec", "-d", "c", "sleep", "100"]);
}

#[test]
fn pause() {
    sweep("sweep::pause", &[RUN], &["pause", "c"]);
}

#[test]
fn resume() {
    sweep("sweep::resume", &[RUN, &["pause", "c"]], &["resume", "c"]);
}

#[test]
fn update() {
    sweep("sweep::update", &[RUN], &["update", "--pids-limit", "50", "c"]);
}

#[test]
fn kill() {
    sweep("sweep::kill", &[RUN], &["kill", "c", "KILL"]);
}

#[test]
fn delete() {
    sweep("sweep::delete", &[RUN], &["delete", "--force", "c"]);
}
