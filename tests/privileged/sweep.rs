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

use crate::trial::{self, Sink, Trial, Verb};

/// SIGKILL; ENOMEM, which every call may say.
const WAYS: [(&str, usize); 2] = [("kill", 1), ("12", 1)];

/// A verb and what it is for.
struct Sweep<'a> {
    /// Verbs that make what the verb wants.
    prepare: &'a [&'a [&'a str]],
    verb: &'a [&'a str],
    /// What the container is beside a plain one, and who listens for what it sends.
    shape: fn(&Trial) -> Vec<Sink>,
}

impl Default for Sweep<'_> {
    fn default() -> Self {
        Sweep { prepare: &[], verb: &[], shape: |_| Vec::new() }
    }
}

fn sweep(test: &str, prepare: &[&[&str]], verb: &[&str]) {
    sweep_looking(test, &Sweep { prepare, verb, ..Sweep::default() }, |_, _, _| ());
}

/// The same with a look at what an interruption has left: beside the traces of before all of it,
/// and with words for the interruption.
fn sweep_looking(test: &str, sweep: &Sweep<'_>, look: impl Fn(&Trial, &BTreeSet<String>, &str)) {
    let Sweep { prepare, verb, shape } = sweep;
    let Some(scope) = scope::enter(test) else { return };
    let trial = Trial::new(scope, &["sleep", "1000"]);
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
    let listeners = shape(&trial);
    let _ = fs::remove_file(&made);
    let before = trial.traces();
    let tried = trial::sweep(&WAYS, |number, how| {
        for step in *prepare {
            trial.oci(step).ok();
        }
        let hit = trial.interrupt(&inject, (number, how), &Verb::Oci(verb));
        hit.works_alone();
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
    trial.oci(&["delete", "--force", HOLDER]).ok();
    drop(listeners);
    println!("{verb:?}: {tried} interruptions");
}

/// Another container, whose namespaces are joined.
const HOLDER: &str = "holder";

/// Namespaces of every kind, maps, a mount with maps, offsets of clocks, a terminal and a filter
/// with a listener: all that talks to others and waits for answers.
fn of_everything(trial: &Trial) -> Vec<Sink> {
    let sockets = ["console", "listener"].map(|name| trial.path(name));
    trial.change(|config| {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        config["process"]["terminal"] = json!(true);
        let linux = &mut config["linux"];
        for kind in ["user", "time", "cgroup"] {
            let namespaces = linux["namespaces"].as_array_mut().expect("namespaces");
            if namespaces.iter().all(|namespace| namespace["type"] != kind) {
                namespaces.push(json!({"type": kind}));
            }
        }
        linux["uidMappings"] = map.clone();
        linux["gidMappings"] = map;
        linux["timeOffsets"] = json!({"monotonic": {"secs": 100}});
        linux["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": sockets[1],
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"}]});
        config["mounts"].as_array_mut().expect("mounts").push(json!({"destination": "/tmp",
            "source": "rootfs/etc", "options": ["bind", "idmap"]}));
    });
    sockets.iter().map(Sink::new).collect()
}

/// The PID namespace of another container.
fn beside_another(trial: &Trial) -> Vec<Sink> {
    trial.oci(&["run", "-d", "--bundle", "AT/b", HOLDER]).ok();
    trial.join_pids_of(HOLDER);
    Vec::new()
}

const CREATE: &[&str] = &["create", "--bundle", "AT/b", "c"];
const RUN: &[&str] = &["run", "-d", "--bundle", "AT/b", "c"];

const OF_EVERYTHING: &[&str] =
    &["create", "--console-socket", "AT/console", "--bundle", "AT/b", "c"];
const ADD: &[&str] = &["mounts", "add", "c", "AT/mounts.json"];

/// What is half-made is seen, joined and killed, or that is refused in words.
fn create_looking(test: &str, verb: &[&str], shape: fn(&Trial) -> Vec<Sink>) {
    sweep_looking(test, &Sweep { verb, shape, ..Sweep::default() }, |trial, _, what| {
        for verb in [&["state", "c"][..], &["exec", "c", "true"], &["kill", "c", "KILL"]] {
            let done = trial.oci(verb);
            let told = matches!(done.code, 1 | 255) && done.err.contains("msg=");
            assert!(done.code == 0 || told, "{what}: {verb:?} {done:?}");
        }
    });
}

#[test]
fn create() {
    create_looking("sweep::create", CREATE, |_| Vec::new());
}

#[test]
fn create_of_everything() {
    create_looking("sweep::create_of_everything", OF_EVERYTHING, of_everything);
}

#[test]
fn create_beside_another() {
    create_looking("sweep::create_beside_another", CREATE, beside_another);
}

/// The container goes on, and beside it there is nothing but, perhaps, the mount.
fn mounts_looking(test: &str, prepare: &[&[&str]], verb: &[&str]) {
    let sweep = Sweep { prepare, verb, ..Sweep::default() };
    sweep_looking(test, &sweep, |trial, before, what| {
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
fn mounts_add() {
    mounts_looking("sweep::mounts_add", &[RUN], ADD);
}

#[test]
fn mounts_remove() {
    let verb = ["mounts", "remove", "c", "AT/mounts.json"];
    mounts_looking("sweep::mounts_remove", &[RUN, ADD], &verb);
}

/// Until the command's end, and beyond.
#[test]
fn run_in_the_foreground() {
    let verb = &["run", "--bundle", "AT/b", "c"][..];
    let shape: fn(&Trial) -> Vec<Sink> = |trial| {
        trial.change(|config| config["process"]["args"] = json!(["true"]));
        Vec::new()
    };
    let sweep = Sweep { verb, shape, ..Sweep::default() };
    sweep_looking("sweep::run_in_the_foreground", &sweep, |_, _, _| ());
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
fn start_of_everything() {
    let sweep = Sweep { prepare: &[OF_EVERYTHING], verb: &["start", "c"], shape: of_everything };
    sweep_looking("sweep::start_of_everything", &sweep, |_, _, _| ());
}

#[test]
fn exec_of_everything() {
    let verb = &["exec", "-d", "c", "sleep", "100"][..];
    let prepare: &[&[&str]] = &[OF_EVERYTHING, &["start", "c"]];
    let sweep = Sweep { prepare, verb, shape: of_everything };
    sweep_looking("sweep::exec_of_everything", &sweep, |_, _, _| ());
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
