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
    trial.join_pids_of("attacker");
    trial.change(|config| config["process"]["args"] = json!(["true"]));
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

/// Who may trace any process takes one that joins, too: it gets no rights that are not the
/// container's. Docker's default profile forbids clone3(2) without a way to look at its flags.
/// Red without `process::may_enter_last` in `plan::joined`.
#[test]
fn attack_who_traces_gets_no_more_than_the_containers_rights() {
    let Some((trial, bundle)) =
        trial!(attack_who_traces_gets_no_more_than_the_containers_rights, "/trace", "4", "/result")
    else {
        return;
    };
    let rootfs = trial.path("b/rootfs");
    fs::copy(trial.tool("trace"), rootfs.join("trace")).expect("trace");
    let filter = |errno| {
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
            [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno}]})
    };
    for (unprivileged, seccomp) in
        [(true, serde_json::Value::Null), (true, filter(38)), (false, filter(38))]
    {
        trial.change(|config| {
            config["root"]["readonly"] = json!(false);
            config["process"]["noNewPrivileges"] = json!(unprivileged);
            config["linux"]["seccomp"] = seccomp;
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set] = json!(["CAP_SYS_PTRACE", "CAP_KILL"]);
            }
        });
        trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
        let result = || fs::read_to_string(rootfs.join("result")).unwrap_or_default();
        trial.wait_for("the tracer", || result().starts_with("tracing\n"));
        let ended = || trial.oci(&["state", "c"]).ok().contains("stopped");
        while !ended() {
            // One that comes as the tracer goes finds no container.
            let _ = trial.oci(&["exec", "c", "true"]);
        }
        let taken = result();
        let own = format!("{:016x} ", 1u64 << 19 | 1 << 5);
        let foreign: Vec<&str> =
            taken.lines().filter(|line| *line != "tracing" && !line.starts_with(&own)).collect();
        assert!(foreign.is_empty(), "{unprivileged}: {foreign:?}");
        trial.oci(&["delete", "c"]).ok();
        fs::remove_file(rootfs.join("result")).expect("result");
    }
}
