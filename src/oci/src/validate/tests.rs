//! Every rule by a document that breaks it and nothing else.

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::{Finding, validate, validate_process};

fn base() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "hostname": "box",
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "uts"}]}
    })
}

fn merge(target: &mut Value, patch: &Value) {
    let (Some(to), Some(from)) = (target.as_object_mut(), patch.as_object()) else {
        *target = patch.clone();
        return;
    };
    for (key, value) in from {
        merge(to.entry(key.clone()).or_insert(Value::Null), value);
    }
}

fn findings(patch: &Value) -> Vec<Finding> {
    let mut document = base();
    merge(&mut document, patch);
    let spec: Spec = serde_json::from_value(document).expect("the document's shape");
    validate(&spec).err().unwrap_or_default()
}

#[test]
fn a_plain_document_is_fine() {
    assert_eq!(findings(&json!({})), []);
}

#[test]
fn each_rule_names_its_field() {
    let mounts = |mount: Value| json!({"mounts": [mount]});
    let linux = |part: Value| json!({"linux": part});
    let process = |part: Value| json!({"process": part});
    let rows: Vec<(Value, &str)> = vec![
        (json!({"ociVersion": "2.0.0"}), "ociVersion"),
        (json!({"ociVersion": "one"}), "ociVersion"),
        (json!({"root": {"path": ""}}), "root.path"),
        (json!({"hostname": "a\nb"}), "hostname"),
        (json!({"hostname": "x".repeat(65)}), "hostname"),
        (process(json!({"args": []})), "process.args"),
        (process(json!({"args": ["a", "b\u{0}"]})), "process.args[1]"),
        (process(json!({"env": ["A"]})), "process.env[0]"),
        (process(json!({"cwd": "tmp"})), "process.cwd"),
        (process(json!({"user": {"uid": 4_294_967_295u32}})), "process.user.uid"),
        (process(json!({"user": {"umask": 4096}})), "process.user.umask"),
        (
            process(json!({"rlimits": [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]})),
            "process.rlimits[0]",
        ),
        (
            process(json!({"capabilities": {"effective": ["CAP_KILL"]}})),
            "process.capabilities.effective",
        ),
        (process(json!({"oomScoreAdj": 2000})), "process.oomScoreAdj"),
        (mounts(json!({"destination": "/x", "type": "bind"})), "mounts[0].source"),
        (mounts(json!({"destination": "/x"})), "mounts[0].type"),
        (mounts(json!({"destination": "", "type": "tmpfs"})), "mounts[0].destination"),
        (
            mounts(json!({"destination": "/x", "type": "tmpfs", "options": ["idmap"]})),
            "mounts[0].options",
        ),
        (
            linux(json!({"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "mount"}]})),
            "linux.namespaces[2]",
        ),
        (
            linux(json!({"namespaces": [{"type": "mount"}, {"type": "uts", "path": "x"}]})),
            "linux.namespaces[1].path",
        ),
        (
            linux(json!({"uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]})),
            "linux.uidMappings",
        ),
        (linux(json!({"sysctl": {"kernel.panic": "1"}})), "linux.sysctl[\"kernel.panic\"]"),
        (
            linux(json!({"sysctl": {"net.ipv4.ip_forward": "1"}})),
            "linux.sysctl[\"net.ipv4.ip_forward\"]",
        ),
        (linux(json!({"sysctl": {"net/../x": "1"}})), "linux.sysctl[\"net/../x\"]"),
        (
            linux(json!({"devices": [{"path": "dev/x", "type": "c", "major": 1, "minor": 3}]})),
            "linux.devices[0].path",
        ),
        (linux(json!({"maskedPaths": ["proc"]})), "linux.maskedPaths[0]"),
        (linux(json!({"rootfsPropagation": "wild"})), "linux.rootfsPropagation"),
        (linux(json!({"mountLabel": "x\"y"})), "linux.mountLabel"),
        (
            linux(json!({"personality": {"domain": "LINUX", "flags": ["x"]}})),
            "linux.personality.flags",
        ),
        (linux(json!({"intelRdt": {"closID": "a/b"}})), "linux.intelRdt.closID"),
        (linux(json!({"intelRdt": {"closID": "info"}})), "linux.intelRdt.closID"),
        (linux(json!({"intelRdt": {"l3CacheSchema": "L3:0"}})), "linux.intelRdt.l3CacheSchema"),
        (linux(json!({"intelRdt": {"memBwSchema": "L3:0=1"}})), "linux.intelRdt.memBwSchema"),
        (linux(json!({"intelRdt": {"schemata": ["L3:0=f", "x"]}})), "linux.intelRdt.schemata[1]"),
    ];
    each_is_found(rows);
}

fn each_is_found(rows: Vec<(Value, &str)>) {
    for (patch, path) in rows {
        let found: Vec<String> = findings(&patch).into_iter().map(|f| f.path).collect();
        assert_eq!(found, [path], "{patch}");
    }
}

#[test]
fn without_a_mount_namespace_nothing_travels() {
    let linux = |part: Value| json!({"linux": part});
    let shared =
        json!({"destination": "/x", "type": "bind", "source": "/y", "options": ["rshared"]});
    each_is_found(vec![
        (
            linux(json!({"namespaces": [{"type": "uts"}, {"type": "user", "path": "/u"}]})),
            "linux.namespaces",
        ),
        (
            linux(json!({"namespaces": [{"type": "uts"}], "rootfsPropagation": "rslave"})),
            "linux.rootfsPropagation",
        ),
        (
            json!({"linux": {"namespaces": [{"type": "uts"}]}, "mounts": [shared]}),
            "mounts[0].options",
        ),
    ]);
}

#[test]
fn rules_of_time_and_id_maps_name_their_field() {
    let bind = |part: Value| {
        let mut mount = json!({"destination": "/x", "type": "bind", "source": "/y"});
        merge(&mut mount, &part);
        json!({"mounts": [mount]})
    };
    let linux = |part: Value| json!({"linux": part});
    let map = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    each_is_found(vec![
        (bind(json!({"options": ["idmap"]})), "mounts[0].options"),
        (bind(json!({"uidMappings": map})), "mounts[0].gidMappings"),
        (bind(json!({"gidMappings": map})), "mounts[0].uidMappings"),
        (
            bind(json!({"gidMappings": map, "uidMappings": [{"containerID": 0, "hostID": 1,
                "size": 0}]})),
            "mounts[0].uidMappings[0].size",
        ),
        (
            json!({"mounts": [{"destination": "/x", "type": "tmpfs", "uidMappings": map}]}),
            "mounts[0].uidMappings",
        ),
        (linux(json!({"timeOffsets": {"monotonic": {"secs": 1}}})), "linux.timeOffsets"),
        (
            linux(json!({"namespaces": [{"type": "mount"}, {"type": "uts"},
                {"type": "time", "path": "/t"}], "timeOffsets": {"boottime": {"secs": 1}}})),
            "linux.timeOffsets",
        ),
        (
            linux(json!({"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "time"}],
                "timeOffsets": {"realtime": {"secs": 1}}})),
            "linux.timeOffsets.realtime",
        ),
        (
            linux(json!({"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "time"}],
                "timeOffsets": {"boottime": {"nanosecs": 1_000_000_000}}})),
            "linux.timeOffsets.boottime.nanosecs",
        ),
    ]);
}

#[test]
fn nothing_but_procfs_and_single_files_stand_at_proc() {
    for mount in [
        json!({"destination": "/x/../proc/", "type": "tmpfs"}),
        json!({"destination": "/proc", "type": "bind", "source": "/tmp"}),
        json!({"destination": "/proc/sys", "type": "bind", "source": "/tmp"}),
    ] {
        let found = findings(&json!({"mounts": [mount]}));
        assert!(found.iter().any(|f| f.path == "mounts[0].destination"), "{mount}: {found:?}");
    }
    for mount in [
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}),
        json!({"destination": "/proc/meminfo", "type": "bind", "source": "/x"}),
        json!({"destination": "/procs", "type": "tmpfs"}),
    ] {
        assert!(findings(&json!({"mounts": [mount]})).is_empty(), "{mount}");
    }
}

#[test]
fn rules_of_hooks_name_their_field() {
    each_is_found(vec![
        (json!({"hooks": {"poststop": [{"path": "x"}]}}), "hooks.poststop[0].path"),
        (
            json!({"hooks": {"prestart": [{"path": "/x", "timeout": 0}]}}),
            "hooks.prestart[0].timeout",
        ),
    ]);
}

#[test]
fn all_findings_come_at_once() {
    let found = findings(&json!({"ociVersion": "0.1.0", "process": {"args": [], "cwd": "x"}}));
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn an_exec_process_is_checked_alone() {
    let process = serde_json::from_value(json!({"cwd": "/", "user": {}})).expect("shape");
    let found = validate_process(&process).expect_err("no args");
    assert_eq!(found[0].path, "process.args");
}

#[test]
fn rules_of_what_is_rare_name_their_field() {
    let scheduler = |part: Value| json!({"process": {"scheduler": part}});
    let devices = |part: Value| {
        let namespaces = json!([{"type": "mount"}, {"type": "uts"}, {"type": "network"}]);
        json!({"linux": {"namespaces": namespaces, "netDevices": part}})
    };
    let memory = |part: Value| json!({"linux": {"memoryPolicy": part}});
    let cpus = |part: Value| json!({"process": {"execCPUAffinity": part}});
    each_is_found(vec![
        (scheduler(json!({"policy": "SCHED_OTHER", "nice": 20})), "process.scheduler.nice"),
        (scheduler(json!({"policy": "SCHED_BATCH", "priority": 1})), "process.scheduler.priority"),
        (scheduler(json!({"policy": "SCHED_FIFO"})), "process.scheduler.priority"),
        (
            scheduler(json!({"policy": "SCHED_RR", "priority": 1, "runtime": 5})),
            "process.scheduler.runtime",
        ),
        (cpus(json!({"initial": "3-1"})), "process.execCPUAffinity.initial"),
        (cpus(json!({"final": "9000"})), "process.execCPUAffinity.final"),
        (memory(json!({"mode": "MPOL_LOCAL", "nodes": "0"})), "linux.memoryPolicy.nodes"),
        (memory(json!({"mode": "MPOL_BIND"})), "linux.memoryPolicy.nodes"),
        (memory(json!({"mode": "MPOL_BIND", "nodes": "x"})), "linux.memoryPolicy.nodes"),
        (
            json!({"linux": {"personality": {"domain": "LINUX", "flags": ["X"]}}}),
            "linux.personality.flags",
        ),
        (json!({"linux": {"netDevices": {"eth0": {}}}}), "linux.netDevices"),
        (devices(json!({"eth 0": {"name": "x"}})), "linux.netDevices[\"eth 0\"]"),
        (devices(json!({"eth0": {"name": "a/b"}})), "linux.netDevices[\"eth0\"].name"),
        (json!({"process": {"commandLine": "x"}}), "process.commandLine"),
    ]);
}

#[test]
fn a_wrong_landlock_annotation_names_itself() {
    let with = |text: &str| json!({"annotations": {"org.podvisor.landlock": text}});
    let path = "annotations[\"org.podvisor.landlock\"]";
    each_is_found(vec![(with("{\"read\": [\"x\"]}"), path), (with("{"), path)]);
}
