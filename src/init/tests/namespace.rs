//! PID 1 of a PID namespace, with a shell script in podvisor's place: starts, restarts, reaps,
//! ends.
//!
//! Runs as root in a scope; the machine itself is tried by `make vm`. Run: `cargo test -p init`.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What stands in for podvisor: writes down how it was called and does as its first word says.
const PROGRAM: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$* $(cut -d' ' -f4 /proc/self/stat) $(grep -c . /proc/self/cmdline)" >>calls
case $1 in
crash) kill -9 $$ ;;
orphans) for i in $(seq 100); do (sleep 3 &); done; exec sleep 1000 ;;
serve) exec sleep 1000 ;;
esac
"#;

struct Machine {
    folder: PathBuf,
    child: Child,
}

impl Machine {
    /// Starts init with the program's `word` as its supervisor.
    fn boot(folder: &Path, word: &str) -> Machine {
        let program = folder.join("podvisor");
        fs::write(&program, PROGRAM).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(example())
            .arg(&program)
            .arg(word)
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.join("console")).unwrap())
            .spawn()
            .unwrap();
        Machine { folder: folder.to_path_buf(), child }
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    }

    /// Pid of init outside of its namespace.
    fn init(&self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    fn children(&self) -> usize {
        let path = format!("/proc/{0}/task/{0}/children", self.init());
        fs::read_to_string(path).unwrap_or_default().split_whitespace().count()
    }

    fn signal(&self, name: &str) {
        let pid = self.init().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

fn example() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().and_then(Path::parent).unwrap().join("examples/init")
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        let _ = receiver.recv_timeout(Duration::from_millis(20));
    }
}

#[test]
fn it_refuses_to_run_beside_a_pid_1() {
    let output = Command::new(example()).arg("/bin/true").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has to be PID 1"));
}

#[test]
fn a_crashing_supervisor_is_restarted_once_a_second() {
    let Some(scope) = scope::enter("a_crashing_supervisor_is_restarted_once_a_second") else {
        return;
    };
    let begin = Instant::now();
    let mut machine = Machine::boot(scope.folder(), "crash");
    wait_for("four starts", || machine.calls().len() >= 4);
    assert!(begin.elapsed() >= Duration::from_millis(2900), "{:?}", begin.elapsed());
    machine.signal("TERM");
    machine.child.wait().unwrap();
}

#[test]
fn signals_from_inside_and_outside_end_it_in_order() {
    let Some(scope) = scope::enter("signals_from_inside_and_outside_end_it_in_order") else {
        return;
    };
    let mut machine = Machine::boot(scope.folder(), "serve");
    wait_for("the supervisor", || machine.calls() == ["serve"]);
    machine.signal("HUP");
    machine.signal("USR1");
    wait_for("one child", || machine.children() == 1);
    assert!(machine.child.try_wait().unwrap().is_none(), "other signals do nothing");
    machine.signal("INT");
    machine.child.wait().unwrap();
    assert_eq!(machine.calls(), ["serve", "down"], "every pod is taken down first");
    let calls = fs::read_to_string(machine.folder.join("calls")).unwrap();
    assert!(calls.contains("down --keep"), "and comes back after a reboot: {calls}");
}

#[test]
fn orphans_are_reaped() {
    let Some(scope) = scope::enter("orphans_are_reaped") else { return };
    let mut machine = Machine::boot(scope.folder(), "orphans");
    wait_for("the supervisor", || machine.calls() == ["orphans"]);
    wait_for("the orphans to come", || machine.children() > 20);
    wait_for("the orphans to go", || machine.children() == 1);
    machine.signal("PWR");
    machine.child.wait().unwrap();
}
