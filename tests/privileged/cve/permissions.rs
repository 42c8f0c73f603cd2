//! Who may read or change what is kept of a container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use serde_json::json;

/// Whatever the caller's umask, nobody else may change what is kept of a container.
/// Red when `Claim::write` leaves the mode to the umask.
#[test]
fn cve_2021_41103_2024_25621_state_is_for_its_owner_alone() {
    let Some((trial, bundle)) =
        trial!(cve_2021_41103_2024_25621_state_is_for_its_owner_alone, "sleep", "100")
    else {
        return;
    };
    let open = trial.path("open");
    fs::write(&open, "umask 000\nexec \"$@\"\n").expect("script");
    let open = open.display().to_string();
    let create = ["create", "--bundle", &bundle, "c"];
    trial.oci_under(std::path::Path::new("/bin/sh"), &[&open], &create).ok();
    for (file, mode) in [("state", 0o700), ("state/c", 0o711), ("state/c/state", 0o600)] {
        let found = fs::metadata(trial.path(file)).expect("metadata").permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// In a folder that the caller has made for everybody, what is kept is still the owner's alone: the
/// place where `start` is waited for, and filters that were compiled before.
/// Red when `store` of `src/runtime/src/seccomp/cache.rs` leaves the modes to the umask, or
/// `seqpacket::listen` of `sys` the socket's.
#[test]
fn cve_2020_15257_2021_41103_nobody_else_reads_or_writes_what_is_kept() {
    let Some((trial, bundle)) =
        trial!(cve_2020_15257_2021_41103_nobody_else_reads_or_writes_what_is_kept, "sleep", "100")
    else {
        return;
    };
    fs::create_dir(trial.path("state")).expect("mkdir");
    for folder in ["state", ""] {
        let mode = fs::Permissions::from_mode(0o777);
        fs::set_permissions(trial.path(folder), mode).expect("chmod");
    }
    let open = trial.path("open");
    fs::write(&open, "umask 000\nexec \"$@\"\n").expect("script");
    let open = open.display().to_string();
    trial.change(|config| {
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]});
    });
    let create = ["create", "--bundle", &bundle, "c"];
    trial.oci_under(std::path::Path::new("/bin/sh"), &[&open], &create).ok();
    let state = trial.path("state");
    let find = |what: &str, test: &[&str]| {
        let mut find = std::process::Command::new("find");
        find.arg(&state).args(["-mindepth", "1", "-type", what]).args(test);
        String::from_utf8(find.uid(65_534).output().expect("find").stdout).expect("paths")
    };
    // As nobody: what can be found, read or written at all.
    for (what, test) in [("f", &["-readable"][..]), ("f", &["-writable"]), ("d", &["-writable"])] {
        assert_eq!(find(what, test), "", "{what} {test:?}");
    }
    let socket = fs::metadata(state.join("c/start.sock")).expect("start.sock");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let sockets = fs::read_to_string("/proc/net/unix").expect("sockets");
    assert!(!sockets.contains('@'), "an abstract socket: {sockets}");
    let filters = fs::read_dir(state.join("seccomp")).expect("filters").flatten();
    let modes: Vec<u32> =
        filters.map(|f| f.metadata().expect("filter").permissions().mode() & 0o777).collect();
    assert_eq!(modes, [0o600]);
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// A link with the name of the file that becomes the pid file leads nowhere, whichever pid that
/// name ends with; what a killed run has left under it is no hindrance, and the umask makes the
/// file nobody else's to write.
/// Red when `fresh` of `src/runtime/src/handover.rs` opens what is there.
#[test]
fn the_pid_file_follows_no_planted_link() {
    let Some((trial, bundle)) = trial!(the_pid_file_follows_no_planted_link, "sleep", "100") else {
        return;
    };
    let (canary, file) = (trial.path("canary"), trial.path("pid"));
    let planted = || (1..400).map(|pid| trial.path(&format!(".pid.{pid}")));
    fs::write(&canary, "untouched").expect("canary");
    planted().for_each(|name| std::os::unix::fs::symlink(&canary, name).expect("link"));
    trial.oci(&["run", "-d", "--pid-file", "AT/pid", "--bundle", &bundle, "c"]).ok();
    assert_eq!(fs::read_to_string(&canary).expect("canary"), "untouched");
    let written = || {
        let found = fs::symlink_metadata(&file).expect("pid file");
        assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o644, "{found:?}");
        fs::read_to_string(&file).expect("pid file").parse::<u32>().expect("a pid")
    };
    let first = written();
    for name in planted() {
        let _ = fs::remove_file(&name);
        fs::write(name, "what a killed run has left, and longer than a pid").expect("write");
    }
    let open = trial.path("open");
    fs::write(&open, "umask 000\nexec \"$@\"\n").expect("script");
    let exec = ["exec", "-d", "--pid-file", "AT/pid", "c", "sleep", "100"];
    trial.oci_under("/bin/sh".as_ref(), &[open.to_str().expect("path")], &exec).ok();
    assert!(written() > first);
    // What cannot be a file is told, and not waited for.
    for name in planted() {
        let _ = fs::remove_file(&name);
        fs::create_dir(name).expect("mkdir");
    }
    let done = trial.oci(&exec);
    assert!(done.code == 255 && done.err.contains("write pid file"), "{done:?}");
    trial.oci(&["delete", "--force", "c"]).ok();
}
