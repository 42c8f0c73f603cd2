//! Each verb that changes the image store killed (-9) before its N-th system call, and each call
//! failed once as a full, a read-only and a broken disk would, for every N: the store is valid,
//! every image in it is whole, and the same verb finishes the work afterwards.
//!
//! Counted are the calls that change something, of all threads together (`tools/inject.c`); a
//! pull's are those on its sockets, too. PODVISOR_SWEEP_STRIDE is the distance of the Ns that are
//! tried; without it every one is, for the errors every third. See it red: move `write_index` in
//! `load.rs` before the renames; take `set_len(0)` out of `download` in `pull/layer.rs`.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::trial::{self, Hit, Trial, Verb};

/// SIGKILL; ENOSPC, EROFS, EIO.
const WAYS: [(&str, usize); 4] = [("kill", 1), ("28", 3), ("30", 3), ("5", 3)];

type Words = &'static [&'static str];

struct Sweep {
    /// Ends before the scope is looked through.
    _registry: Option<Registry>,
    trial: Trial,
    inject: PathBuf,
    /// What stands before the verb in each round.
    first: &'static [Words],
    verb: Words,
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
    ls snapshots/chains; ls staging containers; ls partial 2>/dev/null || true; \
    cat store/oci-layout; } | sort; \
    tr , '\n' <store/index.json | grep -o 'image.name\":\"[^\"]*\\|digest\":\"[^\"]*' | sort; \
    grep -o 'store/containers/[^ ]*/rootfs' /proc/self/mountinfo || true";

/// Takes the image mounts of a round away.
const UNMOUNT: &str = "grep -o ' [^ ]*/store/containers/[^ ]*/rootfs' /proc/self/mountinfo | \
    xargs -r umount -l";

impl Sweep {
    /// `prepare` makes the store that every round begins with.
    fn new(place: Place, prepare: &[Words], first: &'static [Words], verb: Words) -> Sweep {
        let Place { registry, trial } = place;
        for step in prepare {
            trial.podvisor(step).ok();
        }
        trial.podvisor(&["images"]).ok();
        sh(&trial.path(""), "mv store begin");
        let inject = trial.tool("inject");
        let mut sweep =
            Sweep { _registry: registry, trial, inject, first, verb, done: String::new() };
        sweep.begin();
        sweep.trial.podvisor(verb).ok();
        sweep.done = sweep.listing();
        sweep
    }

    fn begin(&self) {
        let at = self.trial.path("");
        sh(&at, UNMOUNT);
        sh(&at, "rm -rf store saved*; cp -a begin store");
        for step in self.first {
            self.trial.podvisor(step).ok();
        }
    }

    fn listing(&self) -> String {
        sh(&self.trial.path(""), LISTING)
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

    fn once(&self, number: usize, how: &str) -> Hit {
        self.begin();
        let at = self.trial.path("");
        let hit = self.trial.interrupt(&self.inject, (number, how), &Verb::Podvisor(self.verb));
        hit.works_alone();
        let what = &hit.what;
        self.check_valid(what);
        let junk = sh(&at, "ls | grep partial || true");
        assert_eq!(junk, "", "{what}: left beside the output");
        let again = self.trial.podvisor(self.verb);
        // The work was done before the kill.
        let over = again.err.contains("is not in the store");
        assert!(again.code == 0 || over, "{what}: then it says {}", again.err);
        assert_eq!(self.listing(), self.done, "{what}: another store than wanted");
        if number.is_multiple_of(20) && self.done.contains("library/web:2") {
            sh(&at, "skopeo inspect oci:store/store:web:2 >shown");
        }
        hit
    }
}

/// Two layers of several files, the second with a whiteout; two images that share one.
const PLANT: &str = "mkdir one two; seq 20000 >one/big; echo a >one/a; ln one/a one/b; ln -s a one/l; \
    mkdir -p one/d two/d; echo x >one/d/x; echo y >two/d/y; : >two/.wh.a; \
    tar -C one -cf one.tar .; tar -C two -cf two.tar .; \
    umoci init --layout i; umoci new --image i:1; \
    umoci raw add-layer --image i:1 one.tar; \
    umoci tag --image i:1 2; umoci raw add-layer --image i:2 two.tar";

/// Where a sweep is made.
struct Place {
    registry: Option<Registry>,
    trial: Trial,
}

fn place(test: &str) -> Option<Place> {
    let trial = Trial::new(scope::enter(test)?, &["true"]);
    sh(&trial.path(""), PLANT);
    Some(Place { registry: None, trial })
}

fn sweep(place: Option<Place>, prepare: &[Words], first: &'static [Words], verb: Words) {
    let Some(place) = place else { return };
    let sweep = Sweep::new(place, prepare, first, verb);
    let tried = trial::sweep(&WAYS, |number, how| sweep.once(number, how));
    sh(&sweep.trial.path(""), UNMOUNT);
    println!("{verb:?}: {tried} interruptions");
}

const FIRST: Words = &["import", "-q", "AT/one.tar", "web:1"];
const SECOND: Words = &["import", "-q", "AT/two.tar", "web:2"];
const BOTH: &[Words] = &[FIRST, SECOND];

#[test]
fn load() {
    sweep(place("store_sweep::load"), &[FIRST], &[], &["load", "-q", "AT/i"]);
}

#[test]
fn import() {
    sweep(place("store_sweep::import"), &[FIRST], &[], SECOND);
}

#[test]
fn tag() {
    sweep(place("store_sweep::tag"), BOTH, &[], &["tag", "web:1", "web:2", "web:3"]);
}

#[test]
fn rmi() {
    sweep(place("store_sweep::rmi"), BOTH, &[], &["rmi", "web:1"]);
}

#[test]
fn prune() {
    sweep(place("store_sweep::prune"), BOTH, &[], &["image", "prune", "--all"]);
}

#[test]
fn save() {
    sweep(place("store_sweep::save"), BOTH, &[], &["save", "-q", "-o", "AT/saved.tar", "web:2"]);
}

const MOUNT: Words = &["image", "mount", "web:2"];

#[test]
fn mount() {
    sweep(place("store_sweep::mount"), BOTH, &[], MOUNT);
}

#[test]
fn unmount() {
    sweep(place("store_sweep::unmount"), BOTH, &[MOUNT], &["image", "unmount", "web:2"]);
}

/// docker-registry on the scope's loopback until the drop.
pub(crate) struct Registry(Child);

impl Registry {
    /// One that has the image `from` of an OCI layout as 127.0.0.1:5000/web:2.
    pub(crate) fn start(trial: &Trial, from: &str) -> Registry {
        let at = trial.path("");
        sh(&at, "ip link set lo up");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:5000'}}\n",
            trial.path("registry").display()
        );
        fs::write(trial.path("registry.yml"), text).expect("write");
        let log = fs::File::create(trial.path("registry.log")).expect("log");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(trial.path("registry.yml"));
        let child = command.stdout(log.try_clone().expect("log")).stderr(log).spawn();
        let registry = Registry(child.expect("docker-registry"));
        trial.wait_for("it listens", || TcpStream::connect("127.0.0.1:5000").is_ok());
        let to = "docker://127.0.0.1:5000/web:2";
        sh(&at, &format!("skopeo copy -q --dest-tls-verify=false oci:{from} {to}"));
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pull() {
    let Some(mut place) = place("store_sweep::pull") else { return };
    // The second image of [`PLANT`].
    place.registry = Some(Registry::start(&place.trial, "i:2"));
    let verb = &["pull", "-q", "--tls-verify=false", "127.0.0.1:5000/web:2"];
    sweep(Some(place), &[FIRST], &[], verb);
}
