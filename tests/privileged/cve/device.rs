//! Devices and links of /dev, in an image where /dev is not what it seems.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};

use serde_json::json;

/// /dev of the image is a link to a folder of the host, and nothing is mounted on it: there no
/// `ptmx` is removed and no link or node is made. Nor where a device of the list is a link.
/// Red without `IN_ROOT` in `open_in` of `src/child/src/target.rs` (the links of runc's
/// `setupPtmx`, the nodes of crun's `create_dev`), or when `make_node` of `src/child/src/device.rs`
/// opens what is there without O_NOFOLLOW.
#[test]
fn cve_2026_41579_2026_47766_devices_are_made_in_the_root() {
    let Some((trial, bundle)) =
        trial!(cve_2026_41579_2026_47766_devices_are_made_in_the_root, "true")
    else {
        return;
    };
    let (rootfs, canary) = (trial.path("b/rootfs"), trial.path("canary"));
    fs::create_dir(&canary).expect("canary");
    fs::write(canary.join("ptmx"), "decoy").expect("decoy");
    trial.change(|config| {
        config["root"]["readonly"] = json!(false);
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts
            .retain(|mount| !mount["destination"].as_str().is_some_and(|d| d.starts_with("/dev")));
        config["linux"]["devices"] = json!([{"path": "/dev/own", "type": "c", "major": 1,
            "minor": 5, "uid": 1000, "gid": 1000}]);
    });
    let untouched = |what: &str| {
        let names: Vec<_> = fs::read_dir(&canary).expect("canary").flatten().collect();
        let text = fs::read_to_string(canary.join("ptmx")).expect("ptmx");
        assert!(names.len() == 1 && text == "decoy", "{what}: {names:?} {text}");
    };
    let outside = canary.display().to_string();
    let climbing = format!("../../../../../..{outside}");
    fs::remove_dir(rootfs.join("dev")).expect("dev");
    for link in [outside.as_str(), &climbing, "/proc/1/root", "/proc/self/cwd"] {
        symlink(link, rootfs.join("dev")).expect("symlink");
        trial.oci(&["run", "--bundle", &bundle, "c"]);
        trial.oci(&["delete", "--force", "c"]).ok();
        untouched(link);
        fs::remove_file(rootfs.join("dev")).expect("remove");
    }
    for name in ["null", "own", "fd"] {
        let (place, file) = (rootfs.join("dev").join(name), canary.join("ptmx"));
        fs::create_dir(rootfs.join("dev")).expect("mkdir");
        symlink(&file, &place).expect("symlink");
        let owner = |file| std::os::unix::fs::MetadataExt::uid(&fs::metadata(file).expect("file"));
        let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
        assert!(name == "fd" || done.code == 1, "{name}: {done:?}");
        trial.oci(&["delete", "--force", "c"]).ok();
        untouched(name);
        assert_eq!(owner(&file), 0, "{name}");
        fs::remove_dir_all(rootfs.join("dev")).expect("remove");
    }
    trial.oci(&["run", "--bundle", &bundle, "c"]).ok();
    let own = fs::symlink_metadata(rootfs.join("dev/own")).expect("own");
    assert!(own.file_type().is_char_device());
}
