//! A container that shares the root file system of others exchanges what they are mounted on, by
//! renames, while they are made: whatever it hits, nothing of the host changes, and what is to be
//! hidden is hidden.
//!
//! PODVISOR_RACE_ROUNDS is how many containers are made for each target (30); `make race` makes
//! 20,000. The others may fail to start; they never hang.
//! See it red: `open_in` of `src/child/src/target.rs` without `IN_ROOT`, `make_file` there without
//! O_EXCL and O_NOFOLLOW, `bind_console` without `make_file`; and the one of masks when `keep` of
//! `src/runtime/src/plan/mounts.rs` is never `Keep::Always`, that of copies when `copy_up` of
//! `src/child/src/copy.rs` looks its target up once more.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::trial::Trial;

/// What is exchanged, and how the container is made that is mounted there.
struct Scenario {
    /// A path of the root file system: a folder when it ends with a slash, else a file.
    target: &'static str,
    /// A folder beside it instead of links to the host.
    folder: bool,
    change: fn(&mut Value),
    /// The container has a terminal.
    terminal: bool,
}

/// A scenario of links to the host.
const fn links(target: &'static str, change: fn(&mut Value)) -> Scenario {
    Scenario { target, folder: false, change, terminal: false }
}

fn add(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().expect("mounts").push(mount);
}

/// The image's own /dev: what is mounted on in it can be exchanged.
fn own_dev(config: &mut Value) {
    let below = |mount: &Value| mount["destination"].as_str() == Some("/dev");
    config["mounts"].as_array_mut().expect("mounts").retain(|mount| !below(mount));
}

struct Race {
    trial: Trial,
    scenario: Scenario,
}

impl Race {
    /// The racer's bundle `r`, with the root file system of `b` at /victim.
    fn prepare(&self) {
        let trial = &self.trial;
        let rootfs = trial.path("b/rootfs");
        for folder in ["proc", "sys", "dev", "victim"] {
            fs::create_dir_all(trial.path("r/rootfs").join(folder)).expect("mkdir");
        }
        fs::copy(trial.tool("race"), trial.path("r/rootfs/race")).expect("race");
        let name = self.scenario.target.trim_end_matches('/');
        let place = rootfs.join(name);
        fs::create_dir_all(place.parent().expect("parent")).expect("mkdir");
        if self.scenario.target.ends_with('/') {
            fs::create_dir_all(&place).expect("folder");
            if self.scenario.folder {
                fs::write(place.join("marker"), "").expect("marker");
            }
        } else if name == "dev/null" {
            let node = Command::new("mknod").arg(&place).args(["c", "1", "3"]).status();
            assert!(node.expect("mknod").success());
        } else {
            fs::write(&place, "").expect("file");
        }
        self.canary();
        let mut words = vec!["/race".to_owned(), "/count".to_owned(), format!("/victim/{name}")];
        for (number, partner) in self.partners().into_iter().enumerate() {
            let beside = format!("{name}.{number}");
            match partner {
                Some(link) => symlink(link, rootfs.join(&beside)).expect("symlink"),
                None => fs::create_dir(rootfs.join(&beside)).expect("mkdir"),
            }
            words.push(format!("/victim/{beside}"));
        }
        let mut racer = Value::Null;
        trial.change(|config| {
            config["root"]["readonly"] = json!(false);
            racer = config.clone();
            (self.scenario.change)(config);
            config["process"]["terminal"] = json!(self.scenario.terminal);
        });
        racer["process"]["args"] = json!(words);
        let victim = json!({"type": "bind", "source": rootfs, "destination": "/victim",
            "options": ["bind", "rw"]});
        add(&mut racer, victim);
        fs::write(trial.path("r/config.json"), racer.to_string()).expect("write");
    }

    /// Links to the host, to what is there and what is not; or one plain folder.
    fn partners(&self) -> Vec<Option<String>> {
        if self.scenario.folder {
            return vec![None];
        }
        let kind = if self.scenario.target.ends_with('/') { "folder" } else { "file" };
        let canary = self.trial.path("canary").display().to_string();
        let climbing = "../".repeat(12);
        let all = [
            format!("{canary}/{kind}"),
            format!("{canary}/new/deep"),
            format!("{climbing}{canary}/other"),
            format!("/proc/1/root{canary}/{kind}"),
        ];
        all.into_iter().map(Some).collect()
    }

    fn canary(&self) {
        let canary = self.trial.path("canary");
        fs::create_dir_all(canary.join("folder")).expect("mkdir");
        fs::write(canary.join("file"), "untouched").expect("write");
    }

    /// How many files are in the two folders that were exchanged.
    fn markers(&self) -> usize {
        let target = self.trial.path("b/rootfs").join(self.scenario.target.trim_end_matches('/'));
        let all = [target.clone(), target.with_extension("0")];
        let folders = all.iter().filter(|_| self.scenario.folder);
        folders.map(|folder| fs::read_dir(folder).expect("folder").count()).sum()
    }

    /// Everything about the canary tree that could have changed.
    fn seen(&self) -> BTreeMap<String, (u32, u32, Vec<u8>)> {
        let mut all = BTreeMap::new();
        look(&self.trial.path("canary"), &mut all);
        all
    }

    /// How many were made, why others failed, how often; and how often names were exchanged.
    fn run(&self) -> (usize, BTreeMap<String, usize>, u64) {
        let trial = &self.trial;
        let (before, seen) = (trial.traces(), self.seen());
        let (racer, victim) = (trial.path("r"), trial.path("b"));
        let text = |path: &Path| path.display().to_string();
        trial.oci(&["run", "-d", "--bundle", &text(&racer), "racer"]).ok();
        let count = trial.path("r/rootfs/count");
        let counted = || fs::read_to_string(&count).ok()?.trim().parse::<u64>().ok();
        trial.wait_for("the racer", || counted().is_some_and(|count| count > 0));
        let pty = self.scenario.terminal.then(|| trial.tool("pty"));
        let (mut made, mut failed) = (0, BTreeMap::new());
        for round in 0..rounds() {
            let verb = ["run", "--bundle", &text(&victim), "c"];
            let done = match &pty {
                Some(pty) => {
                    trial.oci_under(Path::new("/usr/bin/timeout"), &["10", &text(pty)], &verb)
                }
                None => trial.oci(&verb),
            };
            assert!(!done.out.contains("unmasked"), "round {round}: {done:?}");
            match done.code {
                0 => made += 1,
                1 => *failed.entry(why(&(done.out + &done.err))).or_insert(0) += 1,
                code => panic!("round {round}: {code}: {}{}", done.out, done.err),
            }
            assert!(round % 50 != 0 || self.seen() == seen, "round {round}: the canary changed");
        }
        let swaps = counted().unwrap_or(0);
        trial.oci(&["delete", "--force", "racer"]).ok();
        trial.oci(&["delete", "--force", "c"]).ok();
        assert_eq!(self.seen(), seen, "the canary");
        assert_eq!(self.markers(), usize::from(self.scenario.folder), "files of the two folders");
        trial.clean(&before, "a race");
        (made, failed, swaps)
    }
}

/// What an error is about, without the time.
fn why(text: &str) -> String {
    text.split_once("msg=").map_or(text, |(_, words)| words).trim().to_owned()
}

fn look(path: &Path, all: &mut BTreeMap<String, (u32, u32, Vec<u8>)>) {
    let found = fs::symlink_metadata(path).expect("metadata");
    let bytes = if found.is_file() { fs::read(path).expect("read") } else { Vec::new() };
    let about = (found.permissions().mode(), found.uid(), bytes);
    all.insert(path.display().to_string(), about);
    if found.is_dir() {
        for entry in fs::read_dir(path).expect("canary") {
            look(&entry.expect("entry").path(), all);
        }
    }
}

fn rounds() -> usize {
    std::env::var("PODVISOR_RACE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(30)
}

fn race(test: &str, script: &str, scenario: Scenario) {
    let Some(scope) = scope::enter(test) else { return };
    let race = Race { trial: Trial::new(scope, &["sh", "-c", script]), scenario };
    race.prepare();
    let (made, failed, swaps) = race.run();
    let refused: usize = failed.values().sum();
    println!("{test}: {made} made, {refused} refused, {swaps} exchanges");
    assert!(made > 0 && made + refused == rounds() && swaps > 0, "not raced: {failed:#?}");
}

/// A test of one scenario.
macro_rules! race {
    ($($test:ident: $scenario:expr;)*) => { $(
        #[test]
        fn $test() {
            race(concat!("race::", stringify!($test)), "true", $scenario);
        }
    )* };
}

race! {
    proc: links("proc/", |_| {});
    sys: links("sys/", |_| {});
    dev: links("dev/", |_| {});
    dev_pts: links("dev/pts/", own_dev);
    dev_mqueue: links("dev/mqueue/", own_dev);
    default_device: links("dev/null", own_dev);
    bind_on_a_folder: links("volume/", |config| add(config, json!({"type": "bind",
        "source": "/etc", "destination": "/volume", "options": ["bind", "ro"]})));
    bind_on_a_file: links("etc/file", |config| add(config, json!({"type": "bind",
        "source": "/etc/hostname", "destination": "/etc/file", "options": ["bind"]})));
    bind_below: links("deep/", |config| add(config, json!({"type": "bind",
        "source": "/etc", "destination": "/deep/new/volume", "options": ["rbind", "rprivate"]})));
    tmpfs: links("scratch/", |config| add(config, json!({"type": "tmpfs",
        "source": "tmpfs", "destination": "/scratch", "options": ["nosuid", "rprivate"]})));
    tmpfs_with_copies: links("scratch/", |config| add(config, json!({"type": "tmpfs",
        "source": "tmpfs", "destination": "/scratch", "options": ["tmpcopyup"]})));
    cgroup: links("groups/", |config| add(config, json!({"type": "cgroup",
        "source": "cgroup", "destination": "/groups", "options": ["ro"]})));
    masked_file: links("etc/secret",
        |config| config["linux"]["maskedPaths"] = json!(["/etc/secret"]));
    masked_folder: links("secret/", |config| config["linux"]["maskedPaths"] = json!(["/secret"]));
    read_only_path: links("frozen/",
        |config| config["linux"]["readonlyPaths"] = json!(["/frozen"]));
    device: links("devices/", |config| config["linux"]["devices"] = json!([{"type": "c",
        "path": "/devices/below/zero", "major": 1, "minor": 5, "uid": 1000, "gid": 1000}]));
    device_in_a_user_namespace: links("dev/zero", |config| {
        own_dev(config);
        let map = json!([{"containerID": 0, "hostID": 0, "size": 65_536}]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["linux"]["namespaces"].as_array_mut().expect("namespaces")
            .push(json!({"type": "user"}));
    });
    fifo: links("pipes/", |config| config["linux"]["devices"] = json!([{"type": "p",
        "path": "/pipes/below/one"}]));
    working_folder: links("work/",
        |config| config["process"]["cwd"] = json!("/work/below/new"));
    console: Scenario { terminal: true, ..links("dev/console", own_dev) };
    terminals_folder: Scenario { terminal: true, ..links("dev/pts/", own_dev) };
}

/// What a tmpfs starts with is copied into it, and not into what has taken its place by then.
#[test]
fn copies_go_into_the_tmpfs_alone() {
    let change = |config: &mut Value| {
        add(
            config,
            json!({"type": "tmpfs", "source": "tmpfs", "destination": "/scratch",
                "options": ["tmpcopyup"]}),
        );
    };
    let scenario = Scenario { folder: true, ..links("scratch/", change) };
    race("race::copies_go_into_the_tmpfs_alone", "true", scenario);
}

/// The place of /proc is exchanged with another folder once procfs is mounted there: what is to be
/// masked is masked wherever procfs is by then.
#[test]
fn masks_go_where_proc_goes() {
    let script = "for f in /proc/* /proc.0/*; do case $f in */interrupts|*/kcore) \
                  [ $(head -c 1 $f 2>/dev/null | wc -c) = 0 ] || echo unmasked $f;; esac; done";
    let change = |config: &mut Value| {
        config["linux"]["maskedPaths"] = json!(["/proc/interrupts", "/proc/kcore"]);
    };
    let scenario = Scenario { folder: true, ..links("proc/", change) };
    race("race::masks_go_where_proc_goes", script, scenario);
}
