//! Twenty processes on one store at once: they pull, load, import, tag, save, remove and prune, and
//! some are killed in the middle. Nobody fails but for a name that another one has taken away, the
//! store is valid in the end, and nothing is left of what nobody needs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::store_sweep::Registry;
use crate::trial::Trial;

const PROCESSES: u64 = 20;
const ROUNDS: u64 = 12;
/// What another process may have done in between.
const MEANWHILE: [&str; 2] = ["is not in the store", "is the beginning of"];

/// A fixed sequence of numbers for a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % end
    }
}

/// One process after the other; what none should say.
fn one(program: &Path, at: &Path, seed: u64) -> Vec<String> {
    let mut dice = Dice(seed);
    let mut wrong = Vec::new();
    for round in 0..ROUNDS {
        let (name, tar) = (format!("n{}:1", dice.below(6)), format!("{}.tar", dice.below(3)));
        let out = format!("out.{seed}");
        let verb: Vec<&str> = match dice.below(10) {
            0 => vec!["load", "-q", "--name", &name, "layout"],
            1 | 2 => vec!["import", "-q", &tar, &name],
            3 => vec!["rmi", &name],
            4 => vec!["image", "prune", "--all"],
            5 => vec!["save", "-q", "-o", &out, &name],
            6 => vec!["tag", &name, "other:1"],
            7 | 8 => vec!["pull", "-q", "--tls-verify=false", "127.0.0.1:5000/web:2"],
            _ => vec!["images"],
        };
        let killed = dice.below(5) == 0;
        let after = format!("0.0{:02}", dice.below(60));
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", if killed { &after } else { "60" }]).arg(program);
        command.args(&verb).current_dir(at).stdin(Stdio::null());
        let done = command.env("PODVISOR_ROOT", at.join("store")).output().expect("timeout");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let excused = killed || MEANWHILE.iter().any(|words| said.contains(words));
        if !done.status.success() && !excused {
            wrong.push(format!("process {seed}, round {round}: {verb:?}: {said}"));
        }
    }
    wrong
}

#[test]
fn twenty_processes_share_a_store() {
    let Some(scope) = scope::enter("store_crowd::twenty_processes_share_a_store") else { return };
    let trial = Trial::new(scope, &["true"]);
    let at = trial.path("");
    let sh = |line: &str| {
        let out = Command::new("sh").args(["-ec", line]).current_dir(&at).output().expect("sh");
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    sh("for i in 0 1 2; do mkdir t$i; for f in $(seq 200); do seq $f $((f + i)) >t$i/$f; done; \
        head -c 3000000 /dev/zero >t$i/zero; tar -C t$i -cf $i.tar .; done; \
        umoci init --layout layout; umoci new --image layout:1; \
        for i in 0 1 2; do umoci raw add-layer --image layout:1 $i.tar; done");
    let _registry = Registry::start(&trial, "layout:1");
    let program = trial.program().with_file_name("podvisor");
    let wrong: Vec<String> = std::thread::scope(|threads| {
        let all: Vec<_> = (0..PROCESSES)
            .map(|seed| {
                let (program, at) = (&program, &at);
                threads.spawn(move || one(program, at, seed))
            })
            .collect();
        all.into_iter().flat_map(|thread| thread.join().expect("thread")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let names = trial.podvisor(&["images", "-q"]).ok();
    for name in names.lines() {
        trial.podvisor(&["save", "-q", "-o", "/dev/null", name]).ok();
    }
    trial.podvisor(&["image", "prune", "--all"]).ok();
    let left = sh("cd store; find store/blobs snapshots staging containers -mindepth 1 | \
                   grep -vx 'store/blobs/sha256\\|snapshots/chains' || true");
    assert_eq!(left, "", "left behind");
    assert!(fs::read_to_string(at.join("store/store/index.json")).is_ok());
}
