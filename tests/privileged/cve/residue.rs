//! What a container, or an interrupted verb, would leave or inherit.

use std::fs;

use serde_json::json;

/// A key of the caller is seen neither by the container nor by what `exec` brings in.
/// Red without `Op::Keyring` in `Surroundings::joining`.
#[test]
fn residue_the_callers_session_keyring_stays_outside() {
    let Some((trial, bundle)) =
        trial!(residue_the_callers_session_keyring_stays_outside, "/keys", "look")
    else {
        return;
    };
    let keys = trial.tool("keys");
    fs::copy(&keys, trial.path("b/rootfs/keys")).expect("keys");
    let look = |verb: &[&str]| trial.oci_under(&keys, &["hold"], verb).ok();
    let gone = "Required key not available\n";
    assert_eq!(look(&["run", "--bundle", &bundle, "c"]), gone);
    assert_eq!(look(&["run", "--no-new-keyring", "--bundle", &bundle, "c"]), "found\n");
    trial.change(|config| config["process"]["args"] = json!(["sleep", "100"]));
    for (keep, expected) in [(&[][..], gone), (&["--no-new-keyring"], "found\n")] {
        let run = [&["run", "-d", "--bundle", &bundle], keep, &["c"]].concat();
        trial.oci(&run).ok();
        assert_eq!(look(&["exec", "c", "/keys", "look"]), expected);
        trial.oci(&["delete", "--force", "c"]).ok();
    }
}

/// A container makes a keyring of the name that another one's might have, with a key in it and open
/// to all: nobody gets that one.
/// Red when `keyring` of `src/child/src/identity.rs` joins `_ses.c`.
#[test]
fn residue_nobody_elses_session_keyring_is_joined() {
    let Some((trial, bundle)) =
        trial!(residue_nobody_elses_session_keyring_is_joined, "/keys", "plant", "_ses.c")
    else {
        return;
    };
    fs::copy(trial.tool("keys"), trial.path("b/rootfs/keys")).expect("keys");
    trial.oci(&["run", "-d", "--bundle", &bundle, "other"]).ok();
    let planted = || fs::read_to_string(trial.path("out")).is_ok_and(|text| text == "planted\n");
    trial.wait_for("a keyring", planted);
    let gone = "Required key not available\n";
    trial.change(|config| config["process"]["args"] = json!(["/keys", "look"]));
    assert_eq!(trial.oci(&["run", "--bundle", &bundle, "c"]).ok(), gone);
    trial.change(|config| config["process"]["args"] = json!(["sleep", "100"]));
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    assert_eq!(trial.oci(&["exec", "c", "/keys", "look"]).ok(), gone);
    for id in ["c", "other"] {
        trial.oci(&["delete", "--force", id]).ok();
    }
}

/// A caller that ignores SIGCHLD: how the command has ended is known all the same.
/// Red without `heed_children` in `prepare` of `src/sys/src/start.rs`, and in `cli::obey`.
#[test]
fn residue_a_caller_that_ignores_its_children_gets_their_codes() {
    let Some((trial, bundle)) =
        trial!(residue_a_caller_that_ignores_its_children_gets_their_codes, "sh", "-c", "exit 3")
    else {
        return;
    };
    let ignoring =
        |verb: &[&str]| trial.oci_under("/usr/bin/env".as_ref(), &["--ignore-signal=CHLD"], verb);
    let done = ignoring(&["run", "--bundle", &bundle, "c"]);
    assert!(done.code == 3 && done.err.is_empty(), "{done:?}");
    trial.change(|config| config["process"]["args"] = json!(["sleep", "100"]));
    ignoring(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let done = ignoring(&["exec", "c", "sh", "-c", "exit 4"]);
    assert!(done.code == 4 && done.err.is_empty(), "{done:?}");
    ignoring(&["delete", "--force", "c"]).ok();
    trial.import_busybox();
    let run = ["run", "--rm", "busybox", "sh", "-c", "exit 5"];
    let env = std::path::Path::new("/usr/bin/env");
    let done = trial.podvisor_under(env, &["--ignore-signal=CHLD"], &run);
    assert!(done.code == 5 && done.err.is_empty(), "{done:?}");
}

/// Signals that the caller blocks, ignores or waits for are nothing to the container.
/// Red without `Op::Signals` in `src/runtime/src/plan/process.rs`.
#[test]
fn residue_the_callers_signals_stay_outside() {
    let Some((trial, bundle)) =
        trial!(residue_the_callers_signals_stay_outside, "/residue", "look")
    else {
        return;
    };
    let residue = trial.tool("residue");
    fs::copy(&residue, trial.path("b/rootfs/residue")).expect("residue");
    let run = ["run", "--bundle", &bundle, "c"];
    assert_eq!(trial.oci_under(&residue, &["leave"], &run).ok(), "death: 0\n");
    trial.change(|config| config["process"]["args"] = json!(["sleep", "100"]));
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let exec = ["exec", "c", "/residue", "look"];
    assert_eq!(trial.oci_under(&residue, &["leave"], &exec).ok(), "death: 0\n");
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// The runtime is killed before each of its system calls: what it was making ends by itself, or
/// runs under its filter and in its cgroup. A command never runs half restricted.
/// Red without three defences, of which each is enough: the end of the parent is the child's in
/// `listen` of `src/child/src/run.rs`, an empty filter is a failure in `seccomp` of `identity.rs`,
/// and so is a word that nobody hears in `find` of `launch.rs`.
#[test]
fn residue_a_maker_that_dies_leaves_no_half_made_command() {
    let script = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status >/ran; exec sleep 100";
    let Some((trial, bundle)) =
        trial!(residue_a_maker_that_dies_leaves_no_half_made_command, "sh", "-c", script)
    else {
        return;
    };
    let (inject, report) = (trial.tool("inject"), trial.path("report").display().to_string());
    trial.change(|config| {
        config["root"]["readonly"] = json!(false);
        config["process"]["noNewPrivileges"] = json!(true);
        config["linux"]["cgroupsPath"] = json!("/own");
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]});
    });
    let before = trial.traces();
    let ran = trial.path("b/rootfs/ran");
    let run = ["run", "-d", "--bundle", &bundle, "c"];
    let exec = ["exec", "-d", "c", "sh", "-c", script];
    for verb in [&run[..], &exec] {
        let mut whole = 0;
        for number in (1..).step_by(2) {
            let _ = fs::remove_file(&ran);
            if verb == exec {
                trial.oci(&run).ok();
                trial.wait_for("the first command", || {
                    fs::metadata(&ran).is_ok_and(|f| f.len() > 20)
                });
                fs::remove_file(&ran).expect("remove");
            }
            let known = trial.traces();
            trial.oci_under(&inject, &[&report, &number.to_string(), "kill"], verb);
            trial.wait_for("none, or one that has done its work", || settled(&known));
            if let Ok(text) = fs::read_to_string(&ran) {
                assert_eq!(text, "NoNewPrivs:\t1\nSeccomp:\t2\n", "{verb:?}, call {number}");
                whole += 1;
            }
            trial.oci(&["delete", "--force", "c"]).ok();
            trial.clean(&before, "a maker that died");
            let hit = fs::read_to_string(&report).expect("report");
            if hit.trim().ends_with("-1") {
                break;
            }
        }
        assert!(whole > 0, "{verb:?} never ran");
    }
}

/// Whether every new process is one of the container's that has done its work and sleeps.
fn settled(known: &std::collections::BTreeSet<String>) -> bool {
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let old = known.iter().any(|trace| trace.starts_with(&format!("process {pid} ")));
        let own = cgroup.lines().any(|line| line.ends_with("/own"));
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let done = own && name == "sleep\n";
        if !(old || cgroup.is_empty() || done) {
            return false;
        }
    }
    true
}
