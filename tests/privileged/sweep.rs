//! Each verb killed (-9) before its N-th system call, and each call failed once, for every N: what
//! is left then, `delete --force` cleans whole and in time, and where the hooks of a container's
//! making have run those of its end have run, too.
//!
//! Calls of the runtime and of the child that it makes are counted together (`tools/inject.c`).
//! PODVISOR_SWEEP_STRIDE is the distance of the Ns that are tried; without it every one is.
//! See it red: leave out the closing of `Program::parents` in `src/child/src/run.rs`.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::trial::{self, Trial, Verb};

/// SIGKILL; ENOMEM, which every call may say.
const WAYS: [(&str, usize); 2] = [("kill", 1), ("12", 1)];

/// `prepare` makes what the verb is for.
fn sweep(test: &str, prepare: &[&[&str]], verb: &[&str]) {
    sweep_looking(test, prepare, verb, |_, _, _| ());
}

/// The same with a look at what an interruption has left: beside the traces of before all of it,
/// and with words for the interruption.
fn sweep_looking(
    test: &str,
    prepare: &[&[&str]],
    verb: &[&str],
    look: impl Fn(&Trial, &BTreeSet<String>, &str),
) {
    let Some(scope) = scope::enter(test) else { return };
    let trial = Trial::new(scope, &["sleep", "100"]);
    let inject = trial.tool("inject");
    let [made, ended] = ["made", "ended"].map(|name| trial.path(name));
    let touch = |path| json!([{"path": "/bin/busybox", "args": ["touch", path]}]);
    trial.change(|config| {
        config["hooks"] = json!({"createRuntime": touch(&made), "poststop": touch(&ended),
            "poststart": [{"path": "/bin/true"}]});
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]});
        config["linux"]["resources"]["pids"] = json!({"limit": 100});
    });
    let mounts = json!([{"destination": "/tmp", "source": "/etc", "options": ["bind", "ro"]}]);
    fs::write(trial.path("mounts.json"), mounts.to_string()).expect("write");
    let before = trial.traces();
    let tried = trial::sweep(&WAYS, |number, how| {
        for step in prepare {
            trial.oci(step).ok();
        }
        let hit = trial.interrupt(&inject, (number, how), &Verb::Oci(verb));
        look(&trial, &before, &hit.what);
        let deleted = trial.oci(&["delete", "--force", "c"]);
        assert_eq!(deleted.code, 0, "{}: delete says {}", hit.what, deleted.err);
        trial.clean(&before, &hit.what);
        let [made, ended] = [&made, &ended].map(|path| fs::remove_file(path).is_ok());
        // One that could not be started is a warning.
        let warned = hit.said.contains("poststop hook #0");
        assert!(!made || ended || warned, "{}: no poststop hook", hit.what);
        hit
    });
    println!("{verb:?}: {tried} interruptions");
}

const CREATE: &[&str] = &["create", "--bundle", "AT/b", "c"];
const RUN: &[&str] = &["run", "-d", "--bundle", "AT/b", "c"];

/// What is half-made is seen, joined and killed, or that is refused in words.
#[test]
fn create() {
    sweep_looking("sweep::create", &[], CREATE, |trial, _, what| {
        for verb in [&["state", "c"][..], &["exec", "c", "true"], &["kill", "c", "KILL"]] {
            let done = trial.oci(verb);
            let told = matches!(done.code, 1 | 255) && done.err.contains("msg=");
            assert!(done.code == 0 || told, "{what}: {verb:?} {done:?}");
        }
    });
}

/// The container goes on, and beside it there is nothing but, perhaps, the mount.
#[test]
fn mounts_add() {
    let verb = ["mounts", "add", "c", "AT/mounts.json"];
    sweep_looking("sweep::mounts_add", &[RUN], &verb, |trial, before, what| {
        let state = trial.oci(&["state", "c"]).ok();
        let state: Value = serde_json::from_str(&state).expect("JSON");
        assert_eq!(state["status"], "running", "{what}");
        let pid = state["pid"].to_string();
        let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("mountinfo");
        let places = table.lines().filter(|line| line.contains(" /tmp "));
        assert!(places.count() <= 1, "{what}: {table}");
        let process = |trace: &&String| trace.starts_with("process ");
        let alive = || trial.traces().difference(before).filter(process).count();
        trial.wait_for(&format!("the container alone after {what}"), || alive() == 1);
    });
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
