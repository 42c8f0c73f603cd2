//! Links, files and fifos in the place of what is mounted on.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

/// Every place that is mounted on, made a link to outside, a file or a fifo: nothing of the host
/// changes. Red with a look-up by name in `child::target::open_in` (without RESOLVE_IN_ROOT).
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
        for make in ["mkfifo", "touch"] {
            let place = rootfs.join(target);
            assert!(std::process::Command::new(make).arg(&place).status().expect("make").success());
            assert_ne!(trial.oci(&["run", "--bundle", &bundle, "c"]).code, 0, "{make} {target}");
            trial.clean(&before, make);
            fs::remove_file(&place).expect("remove");
        }
        fs::create_dir_all(rootfs.join(target)).expect("mkdir");
        trial.change(|config| drop(config["mounts"].as_array_mut().expect("mounts").pop()));
    }
}
