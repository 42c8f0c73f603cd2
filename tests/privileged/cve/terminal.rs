//! The terminal: the caller's is out of reach, the container's own is what it says it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;

use crate::trial::Trial;

/// Runs podvisor-oci as a shell's command is run: with a controlling terminal.
fn at_terminal(trial: &Trial, args: &[&str]) -> scope::Done {
    let pty = trial.tool("pty");
    trial.oci_under(&pty, &[], args)
}

/// A container that was given the caller's terminal types into it.
/// Red without `Op::Session` in `src/runtime/src/plan/root.rs` (run) or `plan::joined` (exec),
/// where the kernel has dev.tty.legacy_tiocsti; elsewhere it says so at once.
#[test]
fn cve_2017_5226_nothing_is_typed_into_the_callers_terminal() {
    let Some((trial, bundle)) =
        trial!(cve_2017_5226_nothing_is_typed_into_the_callers_terminal, "/sti")
    else {
        return;
    };
    fs::copy(trial.tool("sti"), trial.path("b/rootfs/sti")).expect("sti");
    let refused = |done: scope::Done| {
        let text = done.ok().replace('\r', "");
        let words = ["push: Operation not permitted", "push: Input/output error"];
        assert!(words.iter().any(|w| text.contains(w)), "{text}");
        assert!(text.contains("tty: none\n") && text.contains("left: 0\n"), "{text}");
    };
    refused(at_terminal(&trial, &["run", "--bundle", &bundle, "c"]));
    trial.change(|config| config["process"]["args"] = json!(["sleep", "100"]));
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    refused(at_terminal(&trial, &["exec", "c", "/sti"]));
    trial.oci(&["delete", "--force", "c"]).ok();
    // One with a terminal of its own has that one only.
    trial.change(|config| {
        config["process"]["args"] = json!(["/sti"]);
        config["process"]["terminal"] = json!(true);
    });
    let text = at_terminal(&trial, &["run", "--bundle", &bundle, "c"]).ok().replace('\r', "");
    assert!(text.contains("tty: one\n") && text.contains("left: 0\n"), "{text}");
}

/// `/dev/console` of the image is a link, a fifo or a folder: what is outside stays as it is.
/// Red when `bind_console` of `src/child/src/console.rs` looks `console` up by path.
#[test]
fn cve_2025_52565_the_console_is_not_followed_out() {
    let Some((trial, bundle)) =
        trial!(cve_2025_52565_the_console_is_not_followed_out, "sh", "-c", "echo in >/dev/console")
    else {
        return;
    };
    let rootfs = trial.path("b/rootfs");
    let canary = trial.path("canary");
    fs::write(&canary, "untouched").expect("canary");
    fs::write(rootfs.join("inner"), "untouched").expect("inner");
    trial.change(|config| {
        config["process"]["terminal"] = json!(true);
        config["root"]["readonly"] = json!(false);
        // The image's own /dev, with a devpts on it.
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|m| !matches!(m["destination"].as_str(), Some("/dev" | "/dev/mqueue")));
    });
    let before = trial.traces();
    let console = rootfs.join("dev/console");
    let outside = canary.display().to_string();
    for link in [&outside, "/inner", "../inner", "/proc/sys/kernel/core_pattern"] {
        let _ = fs::remove_file(&console);
        symlink(link, &console).expect("symlink");
        let done = at_terminal(&trial, &["run", "--bundle", &bundle, "c"]);
        trial.oci(&["delete", "--force", "c"]).ok();
        for file in [&canary, &rootfs.join("inner")] {
            assert_eq!(fs::read_to_string(file).expect("canary"), "untouched", "{link}: {done:?}");
        }
        trial.clean(&before, link);
    }
    for make in ["mkfifo", "mkdir"] {
        fs::remove_file(&console).expect("remove");
        assert!(Command::new(make).arg(&console).status().expect("make").success());
        at_terminal(&trial, &["run", "--bundle", &bundle, "c"]);
        trial.oci(&["delete", "--force", "c"]).ok();
        trial.clean(&before, make);
    }
}

/// `/dev/pts/ptmx` is no ptmx of a devpts, or one that leads to the host's ptys.
/// Red when `verify` of `src/child/src/console.rs` finds everything good.
#[test]
fn cve_2025_52565_the_terminal_is_of_the_containers_own_devpts() {
    let Some((trial, bundle)) =
        trial!(cve_2025_52565_the_terminal_is_of_the_containers_own_devpts, "true")
    else {
        return;
    };
    let fake = trial.path("fake");
    fs::create_dir_all(fake.join("pts")).expect("mkdir");
    trial.change(|config| {
        config["process"]["terminal"] = json!(true);
        for mount in config["mounts"].as_array_mut().expect("mounts") {
            if mount["destination"] == "/dev/pts" {
                *mount = json!({"destination": "/dev/pts", "type": "bind", "source": fake,
                    "options": ["bind"]});
            }
        }
        // A ptmx node opens the devpts that stands beside it as `pts`.
        config["mounts"].as_array_mut().expect("mounts").push(json!({"type": "bind",
            "destination": "/dev/pts/pts", "source": "/dev/pts", "options": ["bind"]}));
    });
    let before = trial.traces();
    let place = fake.join("ptmx");
    for make in [
        &["mknod", "PLACE", "c", "5", "2"][..],
        &["mknod", "PLACE", "c", "1", "3"],
        &["mkfifo", "PLACE"],
        &["touch", "PLACE"],
        &["ln", "-s", "/dev/null", "PLACE"],
    ] {
        let words = make.iter().map(|w| w.replace("PLACE", &place.display().to_string()));
        let words: Vec<String> = words.collect();
        let made = Command::new(&words[0]).args(&words[1..]).status().expect("make");
        assert!(made.success(), "{make:?}");
        let done = at_terminal(&trial, &["run", "--bundle", &bundle, "c"]);
        assert!(done.code == 1 && done.out.contains("make the terminal"), "{make:?}: {done:?}");
        trial.clean(&before, make[0]);
        fs::remove_file(&place).expect("remove");
    }
}
