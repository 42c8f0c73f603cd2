//! Links, files, fifos and devices in the place of what is mounted on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Every place that is mounted on, made a link to outside, a file, a fifo or a device: nothing of
/// the host changes. Red with a look-up by name in `child::target::open_in` (from the root, without
/// RESOLVE_IN_ROOT).
#[test]
fn cve_2019_19921_2021_30465_2023_27561_targets_are_looked_up_in_the_root() {
    let Some((trial, bundle)) =
        trial!(cve_2019_19921_2021_30465_2023_27561_targets_are_looked_up_in_the_root, "true")
    else {
        return;
    };
    let canary = trial.path("canary");
    fs::create_dir(&canary).expect("canary");
    let rootfs = trial.path("b/rootfs");
    let before = trial.traces();
    let outside = canary.display().to_string();
    let climbing = format!("../../../../../..{outside}");
    for target in ["proc", "sys", "dev", "volume", "deep/volume"] {
        trial.change(|config| {
            config["mounts"].as_array_mut().expect("mounts").push(json!({"type": "bind",
                "source": rootfs.join("etc"), "destination": format!("/{target}/new/folder"),
                "options": ["bind"]}));
        });
        for link in [outside.as_str(), &climbing, "/", "/proc/1/root", "/proc/self/cwd"] {
            let place = rootfs.join(target);
            fs::create_dir_all(place.parent().expect("parent")).expect("mkdir");
            let _ = fs::remove_dir(&place);
            symlink(link, &place).expect("symlink");
            trial.oci(&["run", "--bundle", &bundle, "c"]);
            trial.oci(&["delete", "--force", "c"]).ok();
            trial.clean(&before, &format!("{target} -> {link}"));
            assert_eq!(fs::read_dir(&canary).expect("canary").count(), 0, "{target} -> {link}");
            fs::remove_file(&place).expect("remove");
        }
        for (make, kind) in [
            ("mkfifo", &[][..]),
            ("touch", &[]),
            ("mknod", &["c", "1", "3"]),
            ("mknod", &["b", "7", "0"]),
        ] {
            let place = rootfs.join(target);
            assert!(Command::new(make).arg(&place).args(kind).status().expect("make").success());
            let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
            assert_ne!(done.code, 0, "{make} {target} {kind:?}");
            trial.clean(&before, make);
            fs::remove_file(&place).expect("remove");
        }
        fs::create_dir_all(rootfs.join(target)).expect("mkdir");
        trial.change(|config| drop(config["mounts"].as_array_mut().expect("mounts").pop()));
    }
}

/// A link that leads nowhere within the root, and to a folder of the host without it, stands in the
/// place of what is missing, or on the way to it: a folder, a file, a device or the working folder
/// is made in the root.
/// Red when `open_in` of `src/child/src/target.rs` walks from the root without RESOLVE_IN_ROOT; of
/// what stands in its place, when `link` there sees none and `make_file` opens without O_EXCL and
/// O_NOFOLLOW, as where a link is swapped in behind that look.
#[test]
fn cve_2024_45310_what_is_missing_is_made_in_the_root() {
    let Some((trial, bundle)) = trial!(cve_2024_45310_what_is_missing_is_made_in_the_root, "true")
    else {
        return;
    };
    let (rootfs, canary) = (trial.path("b/rootfs"), trial.path("canary"));
    fs::create_dir(&canary).expect("canary");
    let outside = canary.display().to_string();
    let inside = rootfs.join(canary.strip_prefix("/").expect("absolute"));
    let plain = fs::read(trial.path("b/config.json")).expect("config");
    let before = trial.traces();
    let made = |what: &str, place: &Path, link: &str, at: &Path| {
        trial.change(|config| ask_for(what, config, &rootfs));
        fs::create_dir_all(place.parent().expect("parent")).expect("mkdir");
        symlink(link, place).expect("symlink");
        let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
        let names: Vec<_> = fs::read_dir(&canary).expect("canary").flatten().collect();
        assert!(names.is_empty(), "{what} by {link}: {names:?}");
        done.ok();
        assert!(at.exists(), "{what} by {link} is not in the root");
        trial.clean(&before, what);
        fs::remove_file(place).expect("remove");
        fs::remove_dir_all(&inside).expect("remove");
        fs::write(trial.path("b/config.json"), &plain).expect("config");
    };
    let climbing = format!("../../../../../..{outside}");
    for link in [outside.as_str(), &climbing] {
        // A device's place is never a link: `device` has that.
        for what in ["file", "folder", "cwd"] {
            let place = rootfs.join("way").join(what);
            made(what, &place, &format!("{link}/{what}"), &inside.join(what));
        }
        fs::remove_dir(rootfs.join("way")).expect("remove");
        for what in ["folder", "file", "device", "cwd"] {
            made(what, &rootfs.join("way"), link, &inside.join(what));
            let new = format!("{link}/new");
            made(what, &rootfs.join("way"), &new, &inside.join("new").join(what));
        }
    }
}

/// Asks for something at `/way/WHAT`.
fn ask_for(what: &str, config: &mut Value, rootfs: &Path) {
    let target = format!("/way/{what}");
    match what {
        "device" => {
            config["linux"]["devices"] =
                json!([{"path": target, "type": "c", "major": 1, "minor": 5}]);
        }
        "cwd" => config["process"]["cwd"] = json!(target),
        _ => {
            let source = rootfs.join(if what == "folder" { "etc" } else { "bin/busybox" });
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.push(json!({"type": "bind", "source": source, "destination": target,
                "options": ["bind"]}));
        }
    }
}

/// A `/proc` or `/sys` that the image has made a link is no place for a file system that others
/// trust: what is written to a file of procfs must not end in one of the image's.
/// Red when `Op::Mount` of a procfs follows the last component of its place.
#[test]
fn cve_2023_28642_2019_16884_a_proc_by_a_link_is_refused() {
    let Some((trial, bundle)) =
        trial!(cve_2023_28642_2019_16884_a_proc_by_a_link_is_refused, "true")
    else {
        return;
    };
    let rootfs = trial.path("b/rootfs");
    let before = trial.traces();
    for place in ["proc", "sys"] {
        for link in ["etc", "/etc", "../etc", "nowhere"] {
            fs::remove_dir(rootfs.join(place)).expect("rmdir");
            symlink(link, rootfs.join(place)).expect("symlink");
            let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
            let told = done.err.contains(&format!("/{place}"));
            assert!(done.code == 1 && told, "{place} -> {link}: {done:?}");
            trial.clean(&before, place);
            assert_eq!(fs::read_dir(rootfs.join("etc")).expect("etc").count(), 0, "{link}");
            fs::remove_file(rootfs.join(place)).expect("remove");
            fs::create_dir(rootfs.join(place)).expect("mkdir");
        }
    }
}
