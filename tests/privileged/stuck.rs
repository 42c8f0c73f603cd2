//! No verb waits without an end: what is paused, frozen, half-made or held is deleted or reported
//! within ten seconds. `Trial::oci` kills a verb that takes longer, which is code 137 here.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::trial::{Trial, WITHIN};

fn trial(test: &str, args: &[&str]) -> Option<(Trial, String)> {
    let trial = Trial::new(scope::enter(test)?, args);
    let bundle = trial.path("b").display().to_string();
    Some((trial, bundle))
}

#[test]
fn a_paused_container_is_deleted_and_killed() {
    let name = "stuck::a_paused_container_is_deleted_and_killed";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    let before = trial.traces();
    for last in [&["delete", "--force", "c"][..], &["kill", "c", "KILL"]] {
        trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
        trial.oci(&["pause", "c"]).ok();
        assert!(trial.oci(&["state", "c"]).ok().contains("\"paused\""));
        trial.oci(last).ok();
        trial.oci(&["delete", "--force", "c"]).ok();
        trial.clean(&before, "a paused container");
    }
}

/// Red without `Cgroup::thaw_whole`: what v1's freezer holds below the container no signal ends.
#[test]
fn a_container_that_froze_a_part_of_itself_is_deleted() {
    let name = "stuck::a_container_that_froze_a_part_of_itself_is_deleted";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    let before = trial.traces();
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let (folder, freeze) = match Path::new("/sys/fs/cgroup/freezer").exists() {
        true => ("/sys/fs/cgroup/freezer/c/part", ("freezer.state", "FROZEN")),
        false => ("/sys/fs/cgroup/c/part", ("cgroup.freeze", "1")),
    };
    fs::create_dir(folder).expect("cgroup");
    let state = trial.oci(&["state", "c"]).ok();
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    fs::write(format!("{folder}/cgroup.procs"), state["pid"].to_string()).expect("move");
    fs::write(format!("{folder}/{}", freeze.0), freeze.1).expect("freeze");
    trial.oci(&["delete", "--force", "c"]).ok();
    trial.clean(&before, "a container that froze itself");
}

/// Red when the lock is waited for without a deadline.
#[test]
fn a_container_that_is_worked_on_is_reported_with_the_process() {
    let name = "stuck::a_container_that_is_worked_on_is_reported_with_the_process";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    trial.oci(&["create", "--bundle", &bundle, "c"]).ok();
    let lock = File::open(trial.path("state/c")).expect("open");
    lock.lock().expect("lock");
    for verb in [&["delete", "--force", "c"][..], &["start", "c"]] {
        let done = trial.oci(verb);
        let holder = format!("process {}", std::process::id());
        assert!(done.code == 1 && done.err.contains(&holder), "{done:?}");
    }
    trial.oci(&["state", "c"]).ok();
    drop(lock);
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// Red without the limit on the child's silence.
#[test]
fn exec_into_a_frozen_container_is_given_up() {
    let name = "stuck::exec_into_a_frozen_container_is_given_up";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    trial.oci(&["pause", "c"]).ok();
    let begun = Instant::now();
    let done = trial.oci(&["exec", "--ignore-paused", "c", "true"]);
    assert!(done.code == 255 && done.err.contains("given up"), "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// Red when the container's process takes the word of one that has gone: it runs when it is thawed,
/// and nothing starts it.
#[test]
fn a_start_that_was_given_up_can_be_tried_again() {
    let name = "stuck::a_start_that_was_given_up_can_be_tried_again";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    trial.change(|config| config["linux"]["cgroupsPath"] = json!("/above/c"));
    trial.oci(&["create", "--bundle", &bundle, "c"]).ok();
    let v2 = ["/sys/fs/cgroup/above", "/sys/fs/cgroup/unified/above"].map(Path::new);
    let above = v2.into_iter().find(|path| path.join("cgroup.freeze").exists()).expect("v2");
    fs::write(above.join("cgroup.freeze"), "1").expect("freeze");
    let begun = Instant::now();
    let done = trial.oci(&["start", "c"]);
    assert!(done.code == 1 && done.err.contains("given up"), "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(status(&trial), "created");
    fs::write(above.join("cgroup.freeze"), "0").expect("thaw");
    assert_eq!(status(&trial), "created");
    trial.oci(&["start", "c"]).ok();
    assert_eq!(status(&trial), "running");
    trial.oci(&["delete", "--force", "c"]).ok();
    // A parent that had to be made stays.
    let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
    for folder in hierarchies.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]) {
        let _ = fs::remove_dir(folder.join("above"));
    }
}

/// Who is to get the terminal, the pidfd or the filter's listener does not take it.
/// Red when `connect` of `src/runtime/src/handover.rs` waits without an end.
#[test]
fn a_listener_that_does_not_listen_is_given_up() {
    let name = "stuck::a_listener_that_does_not_listen_is_given_up";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    let socket = trial.path("socket").display().to_string();
    let mut full =
        std::process::Command::new(trial.tool("full")).arg(&socket).spawn().expect("full");
    trial.wait_for("a full backlog", || trial.path("socket.full").exists());
    let before = trial.traces();
    let refused = |words: &[&str]| {
        let done = trial.oci(words);
        assert!(done.code == 1 && done.err.contains("took nothing within"), "{words:?} {done:?}");
        trial.clean(&before, words[1]);
    };
    refused(&["create", "--pidfd-socket", &socket, "--bundle", &bundle, "c"]);
    trial.change(|config| config["process"]["terminal"] = json!(true));
    refused(&["create", "--console-socket", &socket, "--bundle", &bundle, "c"]);
    trial.change(|config| {
        config["process"]["terminal"] = json!(false);
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": socket,
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"}]});
    });
    refused(&["create", "--bundle", &bundle, "c"]);
    full.kill().expect("kill");
    full.wait().expect("wait");
}

/// systemd itself takes calls and says nothing; or a bus does that has none to pass them to.
/// Red when `Bus::open` of `src/runtime/src/systemd/bus.rs` begins a time of its own.
#[test]
fn a_systemd_that_does_not_answer_is_given_up() {
    let name = "stuck::a_systemd_that_does_not_answer_is_given_up";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    sh("mount -t tmpfs run /run && mkdir /run/systemd /run/dbus");
    let before = trial.traces();
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let given_up = |words: &[&str]| {
        let begun = Instant::now();
        let done = trial.oci(words);
        assert!(done.code == 1 && done.err.contains("timed out"), "{words:?} {done:?}");
        assert!(begun.elapsed() < WITHIN, "{words:?}");
    };
    let systemd = "/run/systemd/private";
    silent(systemd, b"", || {
        given_up(&["--systemd-cgroup", "create", "--bundle", &bundle, "d"]);
        let free = trial.oci(&["state", "d"]);
        assert!(free.err.contains("does not exist"), "{free:?}");
    });
    // It was made without a scope, and would have one.
    let state = trial.path("state/c/state");
    let text = fs::read_to_string(&state).expect("state");
    let scoped = text.replacen('{', "{\"unit\":\"podvisor-c.scope\",", 1);
    fs::write(&state, scoped).expect("state");
    silent(systemd, b"", || given_up(&["update", "--pids-limit", "50", "c"]));
    silent("/run/dbus/system_bus_socket", b"OK 0\r\n", || given_up(&["delete", "--force", "c"]));
    silent(systemd, b"OK 0\r\n", || given_up(&["delete", "--force", "c"]));
    assert_eq!(status(&trial), "stopped");
    fs::write(&state, text).expect("state");
    trial.oci(&["delete", "c"]).ok();
    trial.clean(&before, "a systemd that does not answer");
    sh("umount /run");
}

/// Runs `what` while somebody at `socket` greets whoever comes, and says no more.
fn silent(socket: &str, greeting: &[u8], what: impl FnOnce()) {
    let listener = UnixListener::bind(socket).expect("bind");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut all: Vec<UnixStream> = Vec::new();
            for stream in listener.incoming().take_while(|_| !over.load(Ordering::Relaxed)) {
                let mut stream = stream.expect("accept");
                stream.write_all(greeting).expect("greet");
                all.push(stream);
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what));
        over.store(true, Ordering::Relaxed);
        drop(UnixStream::connect(socket).expect("connect"));
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    fs::remove_file(socket).expect("remove");
}

#[track_caller]
fn sh(script: &str) {
    let status = std::process::Command::new("sh").args(["-ec", script]).status();
    assert!(status.expect("sh").success(), "{script}");
}

/// A container that may write to its cgroups has made them deeper than a path can tell, and more
/// than descriptors may be open.
/// Red when `walk` of `src/runtime/src/cgroup` goes by absolute paths, or keeps every folder open.
#[test]
fn a_container_in_cgroups_deeper_than_a_path_is_seen_killed_and_deleted() {
    let name = "stuck::a_container_in_cgroups_deeper_than_a_path_is_seen_killed_and_deleted";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    let before = trial.traces();
    let nest = trial.tool("nest");
    let v1 = Path::new("/sys/fs/cgroup/pids/c");
    for (depth, length) in [("20", "240"), ("1500", "9")] {
        trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
        let state = trial.oci(&["state", "c"]).ok();
        let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
        let pid = state["pid"].to_string();
        let top = if v1.exists() { v1 } else { Path::new("/sys/fs/cgroup/c") };
        let mut made = std::process::Command::new(&nest);
        let made = made.arg(top).args([depth, length, &pid]).status().expect("nest");
        assert!(made.success(), "{depth}");
        let pids = trial.oci(&["ps", "--format", "json", "c"]).ok();
        assert_eq!(pids.trim(), format!("[{pid}]"));
        trial.oci(&["pause", "c"]).ok();
        trial.oci(&["resume", "c"]).ok();
        trial.oci(&["kill", "--all", "c", "KILL"]).ok();
        trial.wait_for("its end", || status(&trial) == "stopped");
        trial.oci(&["delete", "c"]).ok();
        trial.clean(&before, "cgroups deeper than a path");
    }
}

fn status(trial: &Trial) -> String {
    let state = trial.oci(&["state", "c"]).ok();
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    state["status"].as_str().expect("status").to_owned()
}

#[test]
fn a_container_killed_for_its_memory_is_deleted() {
    let name = "stuck::a_container_killed_for_its_memory_is_deleted";
    // Whole lines in memory, and a line that has no end.
    let Some((trial, bundle)) = trial(name, &["sh", "-c", "grep -c x /dev/zero"]) else { return };
    let before = trial.traces();
    trial.change(|config| {
        config["linux"]["resources"]["memory"] = json!({"limit": 8 << 20, "swap": 8 << 20});
    });
    for whole in [false, true] {
        trial.change(|config| {
            let shell = json!(["sh", "-c", "while :; do grep -c x /dev/zero; done"]);
            config["process"]["args"] =
                if whole { json!(["grep", "x", "/dev/zero"]) } else { shell };
        });
        trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
        if whole {
            trial.wait_for("its end", || status(&trial) == "stopped");
        } else {
            let kills = || {
                let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
                let text = read("/sys/fs/cgroup/memory/c/memory.oom_control")
                    + &read("/sys/fs/cgroup/c/memory.events");
                text.lines().any(|line| line.starts_with("oom_kill ") && line != "oom_kill 0")
            };
            trial.wait_for("a kill of a part of it", kills);
        }
        trial.oci(&["delete", "--force", "c"]).ok();
        trial.clean(&before, "a container killed for its memory");
    }
}

/// A first process that has ended and that nobody has asked how.
#[test]
fn a_zombie_is_stopped_and_deleted() {
    let name = "stuck::a_zombie_is_stopped_and_deleted";
    let Some((trial, bundle)) = trial(name, &["true"]) else { return };
    let before = trial.traces();
    let program = trial.program().display().to_string();
    let state = trial.path("state").display().to_string();
    // The maker becomes a process that reaps nobody, with the container's as its child.
    let script = format!(
        "{program} --root {state} create --bundle {bundle} c </dev/null >/dev/null 2>&1 &&
         {program} --root {state} start c && : >{state}/../started"
    );
    let mut keeper = std::process::Command::new("setsid");
    keeper.args([trial.tool("adopt").as_os_str(), "sh".as_ref(), "-c".as_ref(), script.as_ref()]);
    let mut keeper = keeper.spawn().expect("adopt");
    trial.wait_for("start", || trial.path("started").exists());
    trial.wait_for("its end", || status(&trial) == "stopped");
    let refused = trial.oci(&["exec", "c", "true"]);
    assert_eq!(refused.code, 255, "{refused:?}");
    trial.oci(&["delete", "c"]).ok();
    keeper.kill().expect("kill");
    keeper.wait().expect("wait");
    fs::remove_file(trial.path("started")).expect("remove");
    trial.clean(&before, "a zombie");
}

/// A process in a call that no signal ends: it writes to a file system that is frozen. Red without
/// a deadline in `remove`.
#[test]
fn what_no_signal_ends_is_reported_in_time_and_deleted_later() {
    let name = "stuck::what_no_signal_ends_is_reported_in_time_and_deleted_later";
    let write = "while :; do echo a >/disk/a; echo b; done";
    let Some((trial, bundle)) = trial(name, &["sh", "-c", write]) else { return };
    let before = trial.traces();
    let disk = trial.path("disk").display().to_string();
    sh(&format!(
        "truncate -s 16M {disk}.img && mkfs.ext4 -q {disk}.img && mkdir {disk} && \
         mount -o loop {disk}.img {disk}"
    ));
    trial.change(|config| {
        let mount = json!({"destination": "/disk", "type": "bind", "source": disk,
            "options": ["bind", "rw"]});
        config["mounts"].as_array_mut().expect("mounts").push(mount);
    });
    let pid = trial.path("pid").display().to_string();
    trial.oci(&["run", "-d", "--pid-file", &pid, "--bundle", &bundle, "c"]).ok();
    let pid = fs::read_to_string(pid).expect("pid");
    sh(&format!("fsfreeze -f {disk}"));
    trial.wait_for("it to wait in the kernel", || {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("status");
        status.contains("State:\tD")
    });
    let begun = Instant::now();
    let done = trial.oci(&["delete", "--force", "c"]);
    let took = begun.elapsed();
    trial.oci(&["state", "c"]).ok();
    trial.oci(&["kill", "c", "KILL"]).ok();
    sh(&format!("fsfreeze -u {disk}"));
    assert!(done.code == 1 && done.err.contains("does not end"), "{done:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    trial.oci(&["delete", "--force", "c"]).ok();
    sh(&format!("umount {disk} && rm -r {disk} {disk}.img"));
    trial.clean(&before, "what no signal ended");
}
