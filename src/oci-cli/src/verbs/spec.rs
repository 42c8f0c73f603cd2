//! `spec`: a config.json to start from.

use std::fs::File;
use std::io::{ErrorKind, Write};

use runtime::cgroup::{Layout, Mode};
use serde_json::{Value, json};

use super::Verb;
use crate::args::{Flag, Given, Words};
use crate::report::Failure;

/// The document, with what runc's has.
const TEMPLATE: &str = include_str!("spec.json");

const CGROUP_NAMESPACE: &str = ",\n\t\t\t{\n\t\t\t\t\"type\": \"cgroup\"\n\t\t\t}";

/// `spec`.
pub(super) const SPEC: Verb = Verb {
    name: "spec",
    help: "write a config.json to start from",
    arguments: "",
    flags: &[
        Flag::value("bundle", b'b', "DIR", "the bundle's folder (default: the current one)"),
        Flag::value("file", b'f', "FILE", "another name than config.json"),
        Flag::switch("rootless", 0, "for a container in a user namespace of one user"),
    ],
    words: Words::Anywhere,
    least: 0,
    most: 0,
    hidden: false,
    examples: ["spec", "spec --bundle /containers/web"],
    run: |_, given| spec(given),
};

fn spec(given: &Given) -> Result<u8, Failure> {
    let name = given.path("file").unwrap_or_else(|| "config.json".into());
    let path = given.path("bundle").unwrap_or_default().join(&name);
    let text = if given.has("rootless") { rootless()? } else { template() };
    let failed = |e: std::io::Error| Failure::new(format!("write {}: {e}", path.display()));
    let mut file = match File::options().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::new(format!("File {} exists. Remove it first", name.display())));
        }
        Err(e) => return Err(failed(e)),
    };
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(0)
}

/// The document for this host: where v1 has controllers there is no cgroup namespace, as with runc,
/// so that paths of /proc/self/cgroup are found below what is mounted of v1.
fn template() -> String {
    let pure_v2 = Layout::detect().is_ok_and(|layout| layout.mode() == Mode::V2);
    if pure_v2 { TEMPLATE.to_owned() } else { TEMPLATE.replace(CGROUP_NAMESPACE, "") }
}

/// Without what one user alone may not have: networks, cgroups, several ids, an own sysfs.
fn rootless() -> Result<String, Failure> {
    let broken = |e: serde_json::Error| Failure::new(e.to_string());
    let mut spec: Value = serde_json::from_slice(TEMPLATE.as_bytes()).map_err(broken)?;
    let linux = &mut spec["linux"];
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|n| n["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    let one = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    linux["uidMappings"] = one(sys::seqpacket::own_uid());
    linux["gidMappings"] = one(sys::foreground::own_gid());
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    for mount in spec["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/sys" {
            *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
        }
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|o| !o.as_str().is_some_and(|o| o.starts_with("gid=")));
        }
    }
    serde_json::to_string_pretty(&spec).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_documents_are_valid_specs() {
        for text in [TEMPLATE.to_owned(), rootless().expect("rootless")] {
            let spec: oci::runtime::Spec = serde_json::from_str(&text).expect("parses");
            assert_eq!(spec.hostname().as_deref(), Some("podvisor"));
        }
        assert!(!rootless().expect("rootless").contains("network"));
        let without = TEMPLATE.replace(CGROUP_NAMESPACE, "");
        assert!(TEMPLATE.len() > without.len());
        serde_json::from_str::<oci::runtime::Spec>(&without).expect("parses");
    }
}
