//! `features`: what this runtime can do, for engines (docker asks before the first container).

use super::Verb;
use crate::args::Words;
use crate::help::{COMMIT, SPEC};
use crate::report::print;

/// The document of the specification's features.md; a test holds it against what the code knows.
const TEMPLATE: &str = include_str!("features.json");

/// `features`.
pub(super) const FEATURES: Verb = Verb {
    name: "features",
    help: "print what this runtime supports, as JSON",
    arguments: "",
    flags: &[],
    words: Words::Anywhere,
    least: 0,
    most: 0,
    hidden: false,
    examples: ["features", "features | jq .linux.seccomp.actions"],
    run: |_, _| {
        print(&document())?;
        Ok(0)
    },
};

fn document() -> String {
    TEMPLATE
        .replace("@SPEC@", SPEC)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@COMMIT@", COMMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::{Capability, LinuxSeccomp, LinuxSeccompAction as Action, Spec};
    use serde_json::{Value, json};

    fn features() -> Value {
        serde_json::from_str(&document()).expect("JSON")
    }

    /// The texts of a list, in their order.
    fn list(pointer: &str) -> Vec<String> {
        let found = features().pointer(pointer).cloned();
        serde_json::from_value(found.unwrap_or_else(|| panic!("no {pointer}"))).expect(pointer)
    }

    /// Whether a config.json with this part below `linux`, or beside it, is taken.
    fn taken(part: Value) -> bool {
        let mut whole = json!({"ociVersion": "1.3.0", "root": {"path": "rootfs"},
            "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            "linux": {"namespaces": [{"type": "mount"}, {"type": "network"}]}});
        for (key, value) in part.as_object().expect("an object") {
            let root = ["hooks", "ociVersion"].contains(&key.as_str());
            let place = if root { &mut whole } else { &mut whole["linux"] };
            place[key] = value.clone();
        }
        let spec = oci::document::spec(whole.to_string().as_bytes());
        spec.is_ok_and(|spec: Spec| oci::validate::validate(&spec).is_ok())
    }

    #[test]
    fn the_document_has_the_specifications_shape() {
        let typed: oci::runtime::Features =
            serde_json::from_value(features()).expect("features.md's shape");
        assert_eq!(serde_json::to_value(&typed).expect("JSON"), features(), "a field is not known");
        let linux = format!("{typed:#?}");
        assert!(!linux.contains(": None,"), "a field is missing: {linux}");
        for version in [typed.oci_version_min(), typed.oci_version_max()] {
            assert!(taken(json!({"ociVersion": version})), "{version}");
        }
        assert_eq!(typed.oci_version_max(), SPEC);
    }

    #[test]
    fn mount_options_are_those_of_the_code() {
        assert_eq!(list("/mountOptions"), runtime::mount_options());
    }

    /// What the runtime can do, not what this host has: engines ask once, and anywhere.
    #[test]
    fn drivers_and_annotations_are_those_of_the_code() {
        assert_eq!(features().pointer("/linux/cgroup/systemd"), Some(&json!(true)));
        let named = list("/potentiallyUnsafeConfigAnnotations");
        for key in runtime::ANNOTATIONS {
            assert!(named.iter().any(|name| key.starts_with(name)), "{key}");
        }
        for name in &named {
            assert!(runtime::ANNOTATIONS.iter().any(|key| key.starts_with(name)), "{name}");
        }
    }

    #[test]
    fn hooks_and_namespaces_are_taken() {
        let hooks = list("/hooks");
        for name in &hooks {
            assert!(taken(json!({"hooks": {name: [{"path": "/x"}]}})), "{name}");
            assert!(!taken(json!({"hooks": {name: [{"path": "x"}]}})), "{name} is not looked at");
        }
        assert_eq!(hooks.len(), 6);
        let kinds = list("/linux/namespaces");
        for kind in &kinds {
            let joined = json!({"type": kind, "path": "/x"});
            let all =
                if kind == "mount" { json!([joined]) } else { json!([{"type": "mount"}, joined]) };
            assert!(taken(json!({"namespaces": all})), "{kind}");
        }
        assert_eq!(kinds.len(), 8);
    }

    #[test]
    fn capabilities_are_all_that_the_types_know() {
        let names = list("/linux/capabilities");
        let parse = |name: &String| serde_json::from_value::<Capability>(json!(name));
        let known: Vec<_> = names.iter().filter(|name| parse(name).is_err()).collect();
        assert!(known.is_empty(), "{known:?}");
        // CAP_CHECKPOINT_RESTORE is the last one.
        assert_eq!(names.len(), 41);
    }

    fn compiles(profile: &Value) -> Option<runtime::seccomp::Filter> {
        let profile: LinuxSeccomp = serde_json::from_value(profile.clone()).ok()?;
        runtime::seccomp::compile(&profile).ok()
    }

    #[test]
    fn every_part_of_a_seccomp_profile_is_compiled() {
        let with = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": [rule]});
        let actions = list("/linux/seccomp/actions");
        for action in &actions {
            assert!(compiles(&with(json!({"names": ["mkdir"], "action": action}))).is_some());
        }
        assert_eq!(actions.len(), 9, "the specification has no more than {:?}", Action::ScmpActLog);
        let operators = list("/linux/seccomp/operators");
        for operator in &operators {
            let args = json!([{"index": 0, "value": 1, "op": operator}]);
            let rule = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": args});
            assert!(compiles(&with(rule)).is_some(), "{operator}");
        }
        assert_eq!(operators.len(), 7);
        assert_eq!(list("/linux/seccomp/knownFlags"), list("/linux/seccomp/supportedFlags"));
        let notify = json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"});
        let plain = compiles(&with(notify.clone())).map(|filter| filter.flags);
        for flag in list("/linux/seccomp/knownFlags") {
            let mut profile = with(notify.clone());
            profile["flags"] = json!([flag]);
            let flags = compiles(&profile).map(|filter| filter.flags);
            assert!(flags.is_some() && flags != plain, "{flag}");
        }
    }

    /// A listed one is taken, and one that is not is none of the specification's.
    #[test]
    fn architectures_are_those_that_are_taken() {
        let filter = |arch: &str| {
            compiles(&json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": [arch],
                "syscalls": [{"names": ["mkdirat"], "action": "SCMP_ACT_ALLOW"}]}))
        };
        let listed = list("/linux/seccomp/archs");
        assert_eq!(listed.len(), 24);
        for arch in &listed {
            assert!(filter(arch).is_some(), "{arch}");
        }
        assert!(filter("SCMP_ARCH_VAX").is_none());
        let native = format!("SCMP_ARCH_{}", std::env::consts::ARCH.to_uppercase());
        assert!(listed.contains(&native));
    }

    #[test]
    fn memory_policies_are_taken() {
        for mode in list("/linux/memoryPolicy/modes") {
            let nodes = ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode.as_str());
            let nodes = if nodes { "" } else { "0" };
            assert!(taken(json!({"memoryPolicy": {"mode": mode, "nodes": nodes}})), "{mode}");
        }
        for flag in list("/linux/memoryPolicy/flags") {
            let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]});
            assert!(taken(json!({"memoryPolicy": policy})), "{flag}");
        }
        assert!(taken(json!({"netDevices": {"eth0": {}}})));
        assert!(taken(json!({"intelRdt": {"schemata": ["L3:0=f"], "enableMonitoring": true}})));
    }
}
