//! Separators in what the document says: a NUL that would cut a text short, a line break that would
//! begin another one, lengths that would not fit.

use std::fs;

use serde_json::{Value, json};

use crate::trial::Trial;

/// Every text of config.json that goes to the kernel or to another program, with `X` in it.
fn places() -> Vec<(&'static str, Value)> {
    let hook = |hook: Value| json!({"createRuntime": [hook]});
    vec![
        ("hostname", json!({"hostname": "aXb"})),
        ("domainname", json!({"domainname": "aXb"})),
        ("root.path", json!({"root": {"path": "rootfsX/../rootfs"}})),
        ("process.cwd", json!({"process": {"cwd": "/tmpX"}})),
        ("process.args", json!({"process": {"args": ["/bin/trueX"]}})),
        ("process.env", json!({"process": {"env": ["A=1X"]}})),
        ("process.apparmorProfile", json!({"process": {"apparmorProfile": "aXb"}})),
        ("process.selinuxLabel", json!({"process": {"selinuxLabel": "aXb"}})),
        ("mounts.destination", json!({"mounts": [mount("/tmpX", "tmpfs", "tmpfs", "ro")]})),
        ("mounts.type", json!({"mounts": [mount("/tmp", "tmpfsX", "tmpfs", "ro")]})),
        ("mounts.source", json!({"mounts": [mount("/tmp", "tmpfs", "tmpfsX", "ro")]})),
        ("mounts.options", json!({"mounts": [mount("/tmp", "tmpfs", "tmpfs", "size=1kX")]})),
        ("cgroupsPath", json!({"linux": {"cgroupsPath": "/cXb"}})),
        ("sysctl name", json!({"linux": {"sysctl": {"net.ipv4.ip_forwardX": "1"}}})),
        ("sysctl value", json!({"linux": {"sysctl": {"net.ipv4.ip_forward": "1X"}}})),
        ("maskedPaths", json!({"linux": {"maskedPaths": ["/tmpX"]}})),
        ("readonlyPaths", json!({"linux": {"readonlyPaths": ["/tmpX"]}})),
        (
            "devices",
            json!({"linux": {"devices": [
            {"path": "/dev/aXb", "type": "c", "major": 1, "minor": 3}]}}),
        ),
        ("mountLabel", json!({"linux": {"mountLabel": "aXb"}})),
        ("rootfsPropagation", json!({"linux": {"rootfsPropagation": "privateX"}})),
        (
            "namespaces.path",
            json!({"linux": {"namespaces": [
            {"type": "mount"}, {"type": "network", "path": "/proc/self/ns/netX"}]}}),
        ),
        ("netDevices", json!({"linux": {"netDevices": {"loX": {}}}})),
        ("netDevices.name", json!({"linux": {"netDevices": {"lo": {"name": "aXb"}}}})),
        (
            "seccomp.listenerPath",
            json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": "/tmp/aXb", "syscalls": [
                {"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"}]}}}),
        ),
        ("intelRdt.closID", json!({"linux": {"intelRdt": {"closID": "aXb"}}})),
        ("schemata", json!({"linux": {"intelRdt": {"schemata": ["L3:0=ffX"]}}})),
        ("l3CacheSchema", json!({"linux": {"intelRdt": {"l3CacheSchema": "L3:0=ffX"}}})),
        ("memBwSchema", json!({"linux": {"intelRdt": {"memBwSchema": "MB:0=20X"}}})),
        ("cpu.cpus", resources(json!({"cpu": {"cpus": "0X"}}))),
        ("cpu.mems", resources(json!({"cpu": {"mems": "0X"}}))),
        ("pageSize", resources(json!({"hugepageLimits": [{"pageSize": "2MBX", "limit": 0}]}))),
        (
            "priorities.name",
            resources(json!({"network": {"priorities": [{"name": "loX", "priority": 1}]}})),
        ),
        ("rdma", resources(json!({"rdma": {"rxe0X": {"hcaHandles": 1}}}))),
        ("unified key", resources(json!({"unified": {"pids.maxX": "9"}}))),
        ("unified", resources(json!({"unified": {"pids.max": "9X"}}))),
        ("memoryPolicy", json!({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0X"}}})),
        ("execCPUAffinity.initial", json!({"process": {"execCPUAffinity": {"initial": "0X"}}})),
        ("execCPUAffinity.final", json!({"process": {"execCPUAffinity": {"final": "0X"}}})),
        ("hooks.path", json!({"hooks": hook(json!({"path": "/bin/trueX"}))})),
        ("hooks.args", json!({"hooks": hook(json!({"path": "/bin/true", "args": ["aX"]}))})),
        ("hooks.env", json!({"hooks": hook(json!({"path": "/bin/true", "env": ["A=X"]}))})),
        ("landlock", json!({"annotations": {"org.podvisor.landlock": "{\"read\": [\"/X\"]}"}})),
    ]
}

fn resources(these: Value) -> Value {
    json!({"linux": {"resources": these}})
}

fn mount(destination: &str, kind: &str, source: &str, option: &str) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": [option]})
}

/// RFC 7396, but that the entries of an array are appended and `process.args` is replaced.
fn merge(into: &mut Value, patch: &Value, key: &str) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value, key);
            }
        }
        (Value::Array(into), Value::Array(patch)) if key != "args" && key != "namespaces" => {
            into.extend(patch.iter().cloned());
        }
        (into, patch) => *into = patch.clone(),
    }
}

fn put(value: &Value, text: &str) -> Value {
    match value {
        Value::String(old) => json!(old.replace('X', text)),
        Value::Array(all) => all.iter().map(|v| put(v, text)).collect(),
        Value::Object(all) => {
            all.iter().map(|(key, v)| (key.replace('X', text), put(v, text))).collect()
        }
        other => other.clone(),
    }
}

fn with(trial: &Trial, original: &Value, patch: &Value) {
    trial.change(|config| {
        *config = original.clone();
        merge(config, patch, "");
    });
}

/// A NUL is refused in every text before anything is made; a line break wherever it would be read
/// as the end of something.
/// Red when a field is left out of `oci::validate`.
#[test]
fn cve_2022_0811_2022_4318_2026_15809_no_text_holds_a_separator() {
    let Some((trial, bundle)) =
        trial!(cve_2022_0811_2022_4318_2026_15809_no_text_holds_a_separator, "true")
    else {
        return;
    };
    let mut original = Value::Null;
    trial.change(|config| original = config.clone());
    let before = trial.traces();
    let pattern = || fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern");
    let was = pattern();
    let mut wrong = Vec::new();
    // Where a line break is only a letter: commands, variables, hooks; and names of files.
    // Those of `unified` part what is written one by one.
    let letters = ["process.args", "process.env", "hooks.args", "hooks.env", "landlock"];
    let free = [&letters[..], &["unified"]].concat();
    for (name, patch) in places() {
        for separator in ["\0", "\n"] {
            with(&trial, &original, &put(&patch, separator));
            let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
            let fine = separator == "\n" && free.contains(&name);
            let refused = done.code == 1 && !done.err.contains("panicked");
            if !(refused || fine) || separator == "\0" && !done.err.contains("config.json") {
                wrong.push(format!("{name} {separator:?}: {done:?}"));
            }
            trial.oci(&["delete", "--force", "c"]).ok();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(pattern(), was);
    trial.clean(&before, "separators");
}

/// Values that do not fit 16 bits are refused or used whole; none runs over into another.
/// Red when a length is kept in 16 bits.
#[test]
fn cve_2021_43784_long_values_stay_what_they_are() {
    let Some((trial, bundle)) = trial!(cve_2021_43784_long_values_stay_what_they_are, "true")
    else {
        return;
    };
    let mut original = Value::Null;
    trial.change(|config| original = config.clone());
    let before = trial.traces();
    for length in [65_535, 65_536, 65_537] {
        let long = "a".repeat(length);
        for (name, patch) in places() {
            with(&trial, &original, &put(&patch, &long));
            let done = trial.oci(&["run", "--bundle", &bundle, "c"]);
            // A variable of up to 128 KiB is one as any other, and so is a word of a hook.
            let fine = done.code == 0 && name != "mounts.type" && name != "process.cwd";
            let told = done.code == 1 && done.err.contains("level=error");
            assert!(fine || told, "{name}, {length}: {} {:.300}", done.code, done.err);
            trial.oci(&["delete", "--force", "c"]).ok();
        }
    }
    trial.change(|config| {
        *config = original.clone();
        config["process"]["env"] = json!([format!("A={}", "a".repeat(65_537)), "B=2"]);
        config["process"]["args"] = json!(["sh", "-c", "echo ${#A} $B"]);
    });
    assert_eq!(trial.oci(&["run", "--bundle", &bundle, "c"]).ok(), "65537 2\n");
    trial.clean(&before, "long values");
}

/// Annotations come out of `state` as they went in, whatever is in them, and change nothing else.
/// Red when `annotations` of `Entry` in `src/oci-cli/src/verbs/list.rs` are flattened into it.
#[test]
fn cve_2026_53488_annotations_are_only_data() {
    let Some((trial, bundle)) = trial!(cve_2026_53488_annotations_are_only_data, "sleep", "100")
    else {
        return;
    };
    let odd = "a\nb\0c\"}\r\u{2028}{\"pid\": 1";
    let wanted = json!({"plain": odd, odd: "key", "pid": "1", "org.opencontainers.x": "\n"});
    trial.change(|config| config["annotations"] = wanted.clone());
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let state: Value = serde_json::from_str(&trial.oci(&["state", "c"]).ok()).expect("JSON");
    assert_eq!(state["annotations"], wanted);
    assert!(state["status"] == "running" && state["id"] == "c", "{state}");
    trial.oci(&["exec", "c", "true"]).ok();
    trial.oci(&["delete", "--force", "c"]).ok();
}
