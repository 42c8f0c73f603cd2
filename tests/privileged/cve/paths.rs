//! Paths and values of the document that would reach beyond the container.

use std::fs;
use std::path::Path;

use serde_json::json;

/// Red when `clean` of `src/runtime/src/cgroup/layout.rs` lets `..` through, or validation a NUL, a
/// line break or a sysctl of the host.
#[test]
fn cve_2023_25809_2022_0811_paths_and_values_stay_within_their_bounds() {
    let Some((trial, bundle)) =
        trial!(cve_2023_25809_2022_0811_paths_and_values_stay_within_their_bounds, "true")
    else {
        return;
    };
    let before = trial.traces();
    for path in ["../c", "/../../c", "/a/../../c", "a/b\nc"] {
        trial.change(|config| config["linux"]["cgroupsPath"] = json!(path));
        assert_eq!(trial.oci(&["run", "--bundle", &bundle, "c"]).code, 1, "{path:?}");
    }
    trial.change(|config| config["linux"]["cgroupsPath"] = json!("/c"));
    // What is there already: it is the host's, should a defence be missing.
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern");
    let pattern = pattern.trim_end();
    for (key, value) in [
        ("kernel.core_pattern", pattern),
        ("kernel/core_pattern", pattern),
        ("net/../kernel/core_pattern", pattern),
        ("net.ipv4.ip_forward", "1\n0"),
        ("kernel.shm_rmid_forced+kernel.core_pattern", pattern),
    ] {
        trial.change(|config| config["linux"]["sysctl"] = json!({key: value}));
        assert_eq!(trial.oci(&["run", "--bundle", &bundle, "c"]).code, 1, "{key}={value:?}");
    }
    trial.clean(&before, "a refused document");
}

/// A namespace that is joined by path is the caller's own, which is the host's: no sysctl and no
/// name is set in there. Each value is what is there already, should the defence be missing.
/// Red without `refuse_own` of `src/runtime/src/spawn.rs` for these kinds.
#[test]
fn cve_2022_0811_nothing_is_set_in_the_callers_own_namespaces() {
    let Some((trial, bundle)) =
        trial!(cve_2022_0811_nothing_is_set_in_the_callers_own_namespaces, "true")
    else {
        return;
    };
    let before = trial.traces();
    let text = |path: &str| fs::read_to_string(path).expect("sysctl").trim().to_owned();
    let (host, own) = (text("/proc/sys/kernel/hostname"), std::process::id());
    for (kind, file, key) in [
        ("network", "net", Some("net.core.somaxconn")),
        ("ipc", "ipc", Some("kernel.shmmni")),
        ("ipc", "ipc", Some("fs/mqueue/msg_max")),
        ("uts", "uts", Some("kernel.domainname")),
        ("uts", "uts", None),
    ] {
        trial.change(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
            namespaces.retain(|namespace| namespace["type"] != kind);
            let path = format!("/proc/{own}/ns/{file}");
            namespaces.push(json!({"type": kind, "path": path}));
            config["hostname"] = json!(if key.is_none() { &*host } else { "" });
            let value = |key: &str| text(&format!("/proc/sys/{}", key.replace('.', "/")));
            config["linux"]["sysctl"] = key.map_or(json!({}), |key| json!({key: value(key)}));
        });
        let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
        let field = key.unwrap_or("hostname");
        let told = done.err.contains("the caller's own") && done.err.contains(field);
        assert!(done.code == 1 && told, "{field}: {done:?}");
    }
    trial.clean(&before, "a refused document");
}

/// Of the host's cgroups a container sees its own alone, and changes none.
/// Red without `Op::Unshare` of the cgroup namespace in `src/runtime/src/plan/namespaces.rs`, or
/// when the option `ro` is lost on the way to `plan/cgroups.rs`.
#[test]
fn cve_2023_25809_a_container_is_in_its_own_cgroup_alone() {
    let script = "for g in /sys/fs/cgroup /sys/fs/cgroup/pids /sys/fs/cgroup/unified; do \
                  [ -e $g/cgroup.procs ] || continue; mkdir $g/x && echo made $g; \
                  ls $g | grep -x -E 'c|podvisor.*'; \
                  echo 1 >$g/cgroup.procs && echo moved $g; done; cat /proc/self/cgroup";
    let Some((trial, bundle)) =
        trial!(cve_2023_25809_a_container_is_in_its_own_cgroup_alone, "sh", "-c", script)
    else {
        return;
    };
    trial.change(|config| {
        config["linux"]["cgroupsPath"] = json!("/c");
        // `spec` gives none where v1 has controllers.
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        namespaces.push(json!({"type": "cgroup"}));
    });
    let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
    let others = |line: &&str| !line.ends_with(":/");
    let odd: Vec<&str> = done.out.lines().filter(others).collect();
    assert!(odd.is_empty() && !done.out.is_empty(), "{odd:?} {}", done.err);
    // One that may write, writes to what is its own.
    let (v1, v2) = (Path::new("/sys/fs/cgroup/pids"), Path::new("/sys/fs/cgroup"));
    let top = if v1.exists() { v1 } else { v2 };
    let script = format!("mkdir {}/x; exec sleep 100", top.display());
    trial.change(|config| {
        for mount in config["mounts"].as_array_mut().expect("mounts") {
            if mount["type"] == "cgroup" {
                mount["options"] = json!(["rw"]);
            }
        }
        config["process"]["args"] = json!(["sh", "-c", script]);
    });
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    trial.wait_for("a cgroup of its own", || top.join("c/x").exists());
    assert!(!top.join("x").exists());
    trial.oci(&["delete", "--force", "c"]).ok();
    assert!(!top.join("c").exists());
}
