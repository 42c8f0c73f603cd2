//! One race: the bundle and its racer are made ready, then a container or a process a round.
//!
//! A round costs what podvisor-oci needs and little more: what a scenario is not about, its
//! container is without.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use scope::Done;
use serde_json::{Value, json};

use super::live::Live;
use super::{Kind, Partner, Scenario, add};
use crate::trial::Trial;

pub(super) struct Race {
    trial: Trial,
    scenario: Scenario,
}

/// How a race went.
struct Tally {
    made: usize,
    /// Why others failed, and how often.
    failed: BTreeMap<String, usize>,
    exchanges: u64,
}

/// Runs a scenario in a scope of its own, and judges it.
pub(super) fn race(test: &str, scenario: Scenario) {
    let Some(scope) = scope::enter(test) else { return };
    let args =
        if scenario.script.is_empty() { vec!["true"] } else { vec!["sh", "-c", scenario.script] };
    let race = Race { trial: Trial::new(scope, &args), scenario };
    race.prepare();
    let Tally { made, failed, exchanges } = race.run();
    let refused: usize = failed.values().sum();
    println!("{test}: {made} made, {refused} refused, {exchanges} exchanges");
    assert!(made > 0 && made + refused >= rounds() && exchanges > 0, "not raced: {failed:#?}");
}

pub(super) fn rounds() -> usize {
    std::env::var("PODVISOR_RACE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(30)
}

/// Which end a round comes to is the machine's: there are more of them until each has been seen.
pub(super) fn rounds_at_most() -> usize {
    rounds().max(50 * 30)
}

impl Race {
    /// The racer's bundle `r`, with `b`, the other one, at /victim.
    fn prepare(&self) {
        let trial = &self.trial;
        for folder in ["proc", "sys", "dev", "victim"] {
            fs::create_dir_all(trial.path("r/rootfs").join(folder)).expect("mkdir");
        }
        fs::copy(trial.tool("race"), trial.path("r/rootfs/race")).expect("race");
        self.canary();
        self.make_target();
        let name = self.scenario.target.trim_end_matches('/');
        let mut words = vec!["/race".to_owned(), "/count".to_owned(), format!("/victim/{name}")];
        for (number, partner) in self.scenario.partners.iter().enumerate() {
            let beside = format!("{name}.{number}");
            self.make(partner, &trial.path("b").join(&beside));
            let over = if matches!(partner, Partner::Over(_)) { "+" } else { "" };
            words.push(format!("{over}/victim/{beside}"));
        }
        let mut racer = Value::Null;
        trial.change(|config| {
            lighten(config);
            config["root"]["readonly"] = json!(false);
            racer = config.clone();
            (self.scenario.change)(config);
            config["process"]["terminal"] = json!(self.scenario.kind == Kind::Terminal);
        });
        racer["process"]["args"] = json!(words);
        let victim = json!({"type": "bind", "source": trial.path("b"), "destination": "/victim",
            "options": ["bind", "rw"]});
        add(&mut racer, victim);
        fs::write(trial.path("r/config.json"), racer.to_string()).expect("write");
    }

    fn make_target(&self) {
        let name = self.scenario.target.trim_end_matches('/');
        let place = self.trial.path("b").join(name);
        fs::create_dir_all(place.parent().expect("parent")).expect("mkdir");
        if self.scenario.target.ends_with('/') {
            fs::create_dir_all(&place).expect("folder");
        } else if name.ends_with("dev/null") {
            let node = Command::new("mknod").arg(&place).args(["c", "1", "3"]).status();
            assert!(node.expect("mknod").success());
        } else {
            fs::write(&place, "").expect("file");
        }
        if self.has_marker() {
            fs::write(place.join("marker"), "").expect("marker");
        }
    }

    fn make(&self, partner: &Partner, at: &Path) {
        match partner {
            Partner::Link(to) | Partner::Over(to) => {
                let canary = self.trial.path("canary").display().to_string();
                symlink(to.replace("/CANARY", &canary), at).expect("symlink");
            }
            Partner::Folder => fs::create_dir(at).expect("mkdir"),
            Partner::Fifo => {
                assert!(Command::new("mkfifo").arg(at).status().expect("mkfifo").success());
            }
        }
    }

    /// Whether what is in the two folders that are exchanged is counted.
    fn has_marker(&self) -> bool {
        matches!(self.scenario.partners, [Partner::Folder])
    }

    /// What is outside: a file, a folder, and a root file system with the programs of this one.
    fn canary(&self) {
        let canary = self.trial.path("canary");
        for folder in ["folder", "root/bin", "root/proc", "root/sys", "root/dev"] {
            fs::create_dir_all(canary.join(folder)).expect("mkdir");
        }
        fs::write(canary.join("file"), "untouched").expect("write");
        fs::write(canary.join("folder/secret"), "untouched").expect("write");
        fs::write(canary.join("root/secret"), "untouched").expect("write");
        fs::copy("/bin/busybox", canary.join("root/bin/busybox")).expect("busybox");
        symlink("busybox", canary.join("root/bin/sh")).expect("symlink");
    }

    /// How many files are in the two folders that were exchanged.
    fn markers(&self) -> usize {
        let target = self.trial.path("b").join(self.scenario.target.trim_end_matches('/'));
        let all = [target.clone(), target.with_extension("0"), target.with_extension("away")];
        let folders = all.iter().filter(|_| self.has_marker());
        folders.map(|folder| fs::read_dir(folder).map_or(0, Iterator::count)).sum()
    }

    /// Everything about the canary tree that could have changed.
    fn seen(&self) -> BTreeMap<PathBuf, (u32, u32, u64, Vec<u8>)> {
        let mut all = BTreeMap::new();
        look(&self.trial.path("canary"), &mut all);
        all
    }

    fn run(&self) -> Tally {
        let trial = &self.trial;
        let (before, seen) = (trial.traces(), self.seen());
        let (racer, victim) = (trial.path("r"), trial.path("b").display().to_string());
        if self.scenario.kind == Kind::Exec {
            trial.oci(&["run", "-d", "--bundle", &victim, "c"]).ok();
        }
        trial.oci(&["run", "-d", "--bundle", &racer.display().to_string(), "racer"]).ok();
        let count = trial.path("r/rootfs/count");
        let counted = || fs::read_to_string(&count).ok()?.trim().parse::<u64>().ok();
        trial.wait_for("the racer", || counted().is_some_and(|count| count > 0));
        let pty = (self.scenario.kind == Kind::Terminal).then(|| trial.tool("pty"));
        let live = match self.scenario.kind {
            Kind::Live(destination) => Some(Live::new(trial, destination)),
            _ => None,
        };
        let (mut made, mut failed) = (0, BTreeMap::new());
        for round in 0..rounds_at_most() {
            if round >= rounds() && made > 0 {
                break;
            }
            let again = || self.round(pty.as_deref(), &victim);
            let done = live.as_ref().map_or_else(again, Live::round);
            assert!(!done.out.contains("WRONG"), "round {round}: {done:?}");
            match done.code {
                0 => made += 1,
                1 | 255 => *failed.entry(why(&(done.out + &done.err))).or_insert(0) += 1,
                code => panic!("round {round}: {code}: {}{}", done.out, done.err),
            }
            assert!(round % 50 != 0 || self.seen() == seen, "round {round}: the canary changed");
        }
        // The racer writes it anew now and then, and it is empty meanwhile.
        let mut exchanges = 0;
        trial.wait_for("the racer's count", || counted().map(|count| exchanges = count).is_some());
        trial.oci(&["delete", "--force", "racer"]).ok();
        trial.oci(&["delete", "--force", "c"]).ok();
        assert_eq!(self.seen(), seen, "the canary");
        assert_eq!(self.markers(), usize::from(self.has_marker()), "files of the two folders");
        trial.clean(&before, "a race");
        Tally { made, failed, exchanges }
    }

    fn round(&self, pty: Option<&Path>, victim: &str) -> Done {
        let trial = &self.trial;
        let run = ["run", "--bundle", victim, "c"];
        // Without cgroups where there is nothing to see of them: to make and remove one in each
        // hierarchy is most of what a container takes.
        let mut light = vec!["--cgroup-manager", "disabled"];
        light.extend(run);
        match (self.scenario.kind, pty) {
            (Kind::Terminal, Some(pty)) => trial.oci_under(pty, &[], &light),
            (Kind::Exec, _) => {
                let words = ["exec", "--cwd", "/work", "c", "sh", "-c", self.scenario.script];
                trial.oci_with(Stdio::from(File::open("/").expect("/")), &words)
            }
            (Kind::Cgroups, _) => trial.oci(&run),
            _ => trial.oci(&light),
        }
    }
}

/// Leaves out what no scenario is about: namespaces without files, cgroups, what is hidden.
pub(super) fn lighten(config: &mut Value) {
    let mounts = config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| !matches!(mount["destination"].as_str(), Some("/sys/fs/cgroup")));
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
    namespaces.retain(|namespace| {
        !matches!(namespace["type"].as_str(), Some("network" | "ipc" | "uts" | "cgroup"))
    });
    let document = config.as_object_mut().expect("an object");
    document.remove("hostname");
    for name in ["maskedPaths", "readonlyPaths", "resources"] {
        document["linux"].as_object_mut().expect("linux").remove(name);
    }
}

/// What an error is about, without the time.
fn why(text: &str) -> String {
    text.split_once("msg=").map_or(text, |(_, words)| words).trim().to_owned()
}

fn look(path: &Path, all: &mut BTreeMap<PathBuf, (u32, u32, u64, Vec<u8>)>) {
    let found = fs::symlink_metadata(path).expect("metadata");
    let small = found.is_file() && found.size() < 4096;
    let bytes = if small { fs::read(path).expect("read") } else { Vec::new() };
    let about = (found.permissions().mode(), found.uid(), found.size(), bytes);
    all.insert(path.to_owned(), about);
    if found.is_dir() {
        for entry in fs::read_dir(path).expect("canary") {
            look(&entry.expect("entry").path(), all);
        }
    }
}
