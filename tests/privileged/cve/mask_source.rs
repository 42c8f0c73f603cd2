//! What masks are made of.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

/// The container's `/dev/null` is a link to a file that stands for core_pattern: a masked path
/// neither shows it nor writes to it.
/// Red when `Child::mask` of `src/child/src/root.rs` opens `/dev/null` beneath the root.
#[test]
fn cve_2025_31133_masks_are_not_made_of_the_containers_null() {
    let script = "cat /etc/secret; echo pwned >/etc/secret";
    let Some((trial, bundle)) =
        trial!(cve_2025_31133_masks_are_not_made_of_the_containers_null, "sh", "-c", script)
    else {
        return;
    };
    let (rootfs, dev) = (trial.path("b/rootfs"), trial.path("dev"));
    let stand_in = rootfs.join("core_pattern");
    fs::write(&stand_in, "core").expect("stand-in");
    fs::write(rootfs.join("etc/secret"), "secret").expect("secret");
    fs::create_dir(&dev).expect("mkdir");
    trial.change(|config| {
        config["root"]["readonly"] = json!(false);
        config["linux"]["maskedPaths"] = json!(["/etc/secret", "/proc/kcore"]);
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|m| !m["destination"].as_str().is_some_and(|d| d.starts_with("/dev")));
        mounts.push(json!({"destination": "/dev", "type": "bind", "source": dev,
            "options": ["bind"]}));
    });
    for target in ["/core_pattern", "../core_pattern", "/proc/sys/kernel/core_pattern"] {
        let _ = fs::remove_file(dev.join("null"));
        symlink(target, dev.join("null")).expect("symlink");
        let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
        assert_eq!(done.out, "", "{target}: {done:?}");
        assert_eq!(fs::read_to_string(&stand_in).expect("read"), "core", "{target}");
        trial.oci(&["delete", "--force", "c"]).ok();
    }
}

/// In a mount namespace that is joined, `/dev/null` is what somebody has put there.
/// Red without the comparison with 1:3 in `Child::mask`.
#[test]
fn cve_2025_31133_a_null_that_is_none_is_refused() {
    let Some((trial, bundle)) = trial!(cve_2025_31133_a_null_that_is_none_is_refused, "true")
    else {
        return;
    };
    let fake = trial.path("fake");
    fs::write(&fake, "core").expect("fake");
    fs::write(trial.path("b/rootfs/etc/secret"), "secret").expect("secret");
    trial.change(|config| config["linux"]["maskedPaths"] = json!(["/etc/secret"]));
    let run = |make: &str| {
        let within = trial.mount_namespace(make);
        within.join(&trial);
        trial.oci(&["run", "--bundle", &bundle, "c"])
    };
    run("true").ok();
    let fake = fake.display();
    for make in
        [format!("mount --bind {fake} /dev/null"), "mount --bind /dev/zero /dev/null".into()]
    {
        let done = run(&make);
        assert!(done.code == 1 && done.err.contains("mask /etc/secret"), "{make}: {done:?}");
    }
}
