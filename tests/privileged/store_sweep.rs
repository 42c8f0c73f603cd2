//! Each verb that changes the image store killed (-9) before its N-th system call, and each call
//! failed once as a full, a read-only and a broken disk would, for every N: the store is valid,
//! every image in it is whole, and the same verb finishes the work afterwards.
//!
//! Counted are the calls that change something, of all threads together (`tools/inject.c`).
//! PODVISOR_SWEEP_STRIDE is the distance of the Ns that are tried; without it every one is, for the
//! errors every third. See it red: move `write_index` in `load.rs` before the renames.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::trial::Trial;

/// SIGKILL; ENOSPC, EROFS, EIO.
const WAYS: [&str; 4] = ["kill", "28", "30", "5"];
const STRIDE_OF_ERRORS: usize = 3;

struct Sweep {
    trial: Trial,
    inject: PathBuf,
    /// Listing of the store once the verb has done its work.
    done: String,
}

fn sh(folder: &Path, line: &str) -> String {
    let out = Command::new("sh").args(["-ec", line]).current_dir(folder).output().expect("sh");
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What the store is made of: names, blobs, the files of snapshots, what is being made.
const LISTING: &str = "cd store; { ls store/blobs/sha256; find snapshots -type f -printf '%f %s\n'; \
    ls snapshots/chains; ls staging containers; cat store/oci-layout; } | sort; \
    tr , '\n' <store/index.json | grep -o 'image.name\":\"[^\"]*\\|digest\":\"[^\"]*' | sort";

impl Sweep {
    /// `prepare` makes the store that the verb begins with.
    fn new(trial: Trial, prepare: &[&[&str]], verb: &[&str]) -> Sweep {
        let at = trial.path("");
        // Two layers of several files, the second with a whiteout; two images that share one.
        sh(
            &at,
            "mkdir one two; seq 20000 >one/big; echo a >one/a; ln one/a one/b; ln -s a one/l; \
             mkdir -p one/d two/d; echo x >one/d/x; echo y >two/d/y; : >two/.wh.a; \
             tar -C one -cf one.tar .; tar -C two -cf two.tar .; \
             umoci init --layout i; umoci new --image i:1; \
             umoci raw add-layer --image i:1 one.tar; \
             umoci tag --image i:1 2; umoci raw add-layer --image i:2 two.tar",
        );
        for step in prepare {
            trial.podvisor(step).ok();
        }
        trial.podvisor(&["images"]).ok();
        sh(&at, "mv store begin; cp -a begin store");
        trial.podvisor(verb).ok();
        let done = sh(&at, LISTING);
        let inject = trial.tool("inject");
        Sweep { trial, inject, done }
    }

    /// The verb with call `number` treated as `how`; the call that was hit, and how it ended.
    fn once(&self, number: usize, how: &str, verb: &[&str]) -> (i64, i32) {
        let at = self.trial.path("");
        sh(&at, "rm -rf store saved*; cp -a begin store");
        let report = self.trial.path("report");
        let first = [report.to_str().expect("path"), &number.to_string(), how];
        let done = self.trial.podvisor_under(&self.inject, &first, verb);
        let text = fs::read_to_string(&report).expect("report");
        let hit = text.split_whitespace().nth(1).expect("hit").parse().expect("number");
        (hit, done.code)
    }

    /// The store can be read, and every image in it is whole: `save` verifies all digests.
    fn check_valid(&self, what: &str) {
        let listed = self.trial.podvisor(&["images", "-q"]);
        assert_eq!(listed.code, 0, "{what}: images says {}", listed.err);
        for name in listed.out.lines() {
            let saved = self.trial.podvisor(&["save", "-o", "/dev/null", name]);
            assert_eq!(saved.code, 0, "{what}: {name} is not whole: {}", saved.err);
        }
        let left = sh(&self.trial.path("store"), "ls staging");
        assert_eq!(left, "", "{what}: left in staging");
    }

    fn verb(&self, verb: &[&str]) {
        let at = self.trial.path("");
        let given = std::env::var("PODVISOR_SWEEP_STRIDE").ok().and_then(|s| s.parse().ok());
        let mut tried = 0;
        for how in WAYS {
            let stride = given.unwrap_or(if how == "kill" { 1 } else { STRIDE_OF_ERRORS });
            for number in (1..).step_by(stride) {
                let (hit, code) = self.once(number, how, verb);
                let what = format!("{verb:?}, call {number} ({hit}) treated as {how}");
                assert_ne!(code, 124, "{what}: hangs");
                self.check_valid(&what);
                let junk = sh(&at, "ls | grep partial || true");
                assert_eq!(junk, "", "{what}: left beside the output");
                let again = self.trial.podvisor(verb);
                // The work was done before the kill.
                let over = again.err.contains("is not in the store");
                assert!(again.code == 0 || over, "{what}: then it says {}", again.err);
                assert_eq!(sh(&at, LISTING), self.done, "{what}: another store than wanted");
                tried += 1;
                if tried % 20 == 0 && self.done.contains("web:2") {
                    sh(&at, "skopeo inspect oci:store/store:web:2 >shown");
                }
                if hit < 0 {
                    break;
                }
            }
        }
        println!("{verb:?}: {tried} interruptions");
    }
}

fn sweep(test: &str, prepare: &[&[&str]], verb: &[&str]) {
    let Some(scope) = scope::enter(test) else { return };
    let trial = Trial::new(scope, &["true"]);
    let at = trial.path("").display().to_string();
    let with =
        |words: &[&str]| -> Vec<String> { words.iter().map(|w| w.replace("AT/", &at)).collect() };
    let (prepare, verb): (Vec<Vec<String>>, _) =
        (prepare.iter().map(|p| with(p)).collect(), with(verb));
    let prepare: Vec<Vec<&str>> =
        prepare.iter().map(|p| p.iter().map(String::as_str).collect()).collect();
    let prepare: Vec<&[&str]> = prepare.iter().map(Vec::as_slice).collect();
    let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
    Sweep::new(trial, &prepare, &verb).verb(&verb);
}

const FIRST: &[&str] = &["import", "-q", "AT/one.tar", "web:1"];
const SECOND: &[&str] = &["import", "-q", "AT/two.tar", "web:2"];
const BOTH: &[&[&str]] = &[FIRST, SECOND];

#[test]
fn load() {
    sweep("store_sweep::load", &[FIRST], &["load", "-q", "AT/i"]);
}

#[test]
fn import() {
    sweep("store_sweep::import", &[FIRST], SECOND);
}

#[test]
fn tag() {
    sweep("store_sweep::tag", BOTH, &["tag", "web:1", "web:2", "web:3"]);
}

#[test]
fn rmi() {
    sweep("store_sweep::rmi", BOTH, &["rmi", "web:1"]);
}

#[test]
fn prune() {
    sweep("store_sweep::prune", BOTH, &["image", "prune", "--all"]);
}

#[test]
fn save() {
    sweep("store_sweep::save", BOTH, &["save", "-q", "-o", "AT/saved.tar", "web:2"]);
}
