//! What the runtime writes into procfs, sent elsewhere.

use std::fs;

use serde_json::json;

/// What the runtime writes for a container goes to the host's procfs, whatever stands at the
/// container's `/proc`.
/// Red when `Op::Write` opens its path beneath the root.
#[test]
fn cve_2019_16884_2025_52881_the_containers_proc_gets_nothing() {
    let Some((trial, bundle)) =
        trial!(cve_2019_16884_2025_52881_the_containers_proc_gets_nothing, "sleep", "100")
    else {
        return;
    };
    let rootfs = trial.path("b/rootfs");
    let file = "sys/net/ipv4/ip_forward";
    let places = [file, "self/oom_score_adj", "thread-self/attr/exec"];
    for place in places {
        let place = rootfs.join("proc").join(place);
        fs::create_dir_all(place.parent().expect("parent")).expect("mkdir");
        fs::write(place, "untouched").expect("write");
    }
    trial.change(|config| {
        config["root"]["readonly"] = json!(false);
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|m| m["destination"] != "/proc");
        config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
        config["process"]["oomScoreAdj"] = json!(500);
    });
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let process = trial.path("process.json");
    fs::write(
        &process,
        r#"{"args": ["true"], "cwd": "/", "oomScoreAdj": 500, "user": {"uid": 0,
        "gid": 0}}"#,
    )
    .expect("process");
    trial.oci(&["exec", "--process", process.to_str().expect("path"), "c"]).ok();
    for place in places {
        let text = fs::read_to_string(rootfs.join("proc").join(place)).expect("read");
        assert_eq!(text, "untouched", "{place}");
    }
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// A mount namespace that is joined has another file, or no procfs, in the place of a sysctl.
/// Red when `write_file` of `src/child/src/run.rs` opens with a plain openat(2).
#[test]
fn cve_2025_52881_sysctls_are_not_written_through_foreign_mounts() {
    let Some((trial, bundle)) =
        trial!(cve_2025_52881_sysctls_are_not_written_through_foreign_mounts, "true")
    else {
        return;
    };
    let canary = trial.path("canary");
    trial.change(|config| config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"}));
    let file = "/proc/sys/net/ipv4/ip_forward";
    let shown = canary.display();
    let mut refused = 0;
    for make in [
        "true".to_owned(),
        format!("mount --bind {shown} {file}"),
        format!("mount --bind /proc/sys/kernel/hostname {file}"),
        format!(
            "mount -t tmpfs t /proc/sys/net && mkdir /proc/sys/net/ipv4 && \
             ln -s {shown} {file}"
        ),
        format!("mount -t tmpfs t /proc && mkdir -p /proc/sys/net/ipv4 && ln -s {shown} {file}"),
    ] {
        fs::write(&canary, "untouched").expect("canary");
        let within = trial.mount_namespace(&make);
        within.join(&trial);
        let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
        if make == "true" {
            done.ok();
            continue;
        }
        let told = done.code == 1 && done.err.contains("ip_forward");
        assert!(told, "{make}: {done:?}");
        assert_eq!(fs::read_to_string(&canary).expect("read"), "untouched", "{make}");
        refused += 1;
    }
    assert_eq!(refused, 4);
}
