//! Processes of the runtime among those of a container.

use std::fs;

use serde_json::json;

/// A process that joins a container, or a container that joins another one's PID namespace, has the
/// container's capabilities before it executes its command. Nobody in there gets hold of it: its
/// memory, its descriptors, its root.
/// Red without `Op::Hide` in `plan::joined` (exec) or `plan::container` (create).
#[test]
fn cve_2016_9962_nobody_gets_hold_of_who_joins() {
    let Some((trial, bundle)) =
        trial!(cve_2016_9962_nobody_gets_hold_of_who_joins, "/hold", "/stop", "/result")
    else {
        return;
    };
    let rootfs = trial.path("b/rootfs");
    fs::copy(trial.tool("hold"), rootfs.join("hold")).expect("hold");
    trial.change(|config| config["root"]["readonly"] = json!(false));
    trial.oci(&["run", "-d", "--bundle", &bundle, "attacker"]).ok();
    let result = || fs::read_to_string(rootfs.join("result")).unwrap_or_default();
    trial.wait_for("the attacker", || result() == "looking\n");
    // Its search for the command takes long, with the container's own rights.
    let path = format!("PATH={}/bin", "/nothing/here:".repeat(5_000));
    for _ in 0..20 {
        trial.oci(&["exec", "--env", &path, "attacker", "true"]).ok();
    }
    let state: serde_json::Value =
        serde_json::from_str(&trial.oci(&["state", "attacker"]).ok()).expect("JSON");
    let pids = format!("/proc/{}/ns/pid", state["pid"]);
    trial.change(|config| {
        config["process"]["args"] = json!(["true"]);
        for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
            if namespace["type"] == "pid" {
                namespace["path"] = json!(pids);
            }
        }
    });
    // It waits for `start` with the container's own rights.
    trial.oci(&["create", "--bundle", &bundle, "c"]).ok();
    fs::write(rootfs.join("stop"), "").expect("stop");
    trial.wait_for("the attacker's end", || {
        trial.oci(&["state", "attacker"]).ok().contains("stopped")
    });
    let found = result();
    let foreign: Vec<&str> =
        found.lines().filter(|line| !["looking", "true", "true root"].contains(line)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    trial.oci(&["delete", "--force", "c"]).ok();
    trial.oci(&["delete", "attacker"]).ok();
}
