//! Rules about single values: names, ports, paths. A rule sees the raw node after it has been read
//! with the right type; rules that need more than one field live in `check`.

use super::decode::Reader;
use super::scalar;
use super::tree::{Node, Value};

fn text(node: &Node) -> &str {
    match &node.value {
        Value::Scalar { text, .. } => text,
        _ => "",
    }
}

/// Marks a field that must be there; its absence is reported by the reader.
pub(crate) fn required(node: &Node, reader: &mut Reader) {
    let empty = match &node.value {
        Value::Scalar { text, .. } => text.is_empty(),
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(_) => false,
    };
    if empty {
        reader.error(node, "must not be empty");
    }
}

/// At least 1.
pub(crate) fn positive(node: &Node, reader: &mut Reader) {
    if scalar::integer(text(node)) == Some(0) {
        reader.error(node, "must be at least 1");
    }
}

fn is_label(text: &str, max: usize) -> bool {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= max
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text.chars().all(|c| ends(c) || c == '-')
}

const LABEL_HINT: &str =
    "lower-case letters, digits and -, at most 63, beginning and ending with a letter or digit";

/// Is it a DNS-1123 subdomain of at most 253 characters?
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|part| is_label(part, 253))
}

/// DNS-1123 label.
pub(crate) fn label(node: &Node, reader: &mut Reader) {
    if !is_label(text(node), 63) {
        let problem = format!("{:?} is not a DNS-1123 label", text(node));
        reader.error_hint(node, problem, LABEL_HINT);
    }
}

/// DNS-1123 subdomain.
pub(crate) fn subdomain(node: &Node, reader: &mut Reader) {
    if !is_subdomain(text(node)) {
        let problem = format!("{:?} is not a DNS-1123 name", text(node));
        reader.error_hint(node, problem, "lower-case letters, digits, - and ., at most 253");
    }
}

/// 1 to 65535.
pub(crate) fn port(node: &Node, reader: &mut Reader) {
    if scalar::integer(text(node)) == Some(0) {
        reader.error(node, "a port is between 1 and 65535");
    }
}

/// IANA service name: 15 characters, at least one letter.
pub(crate) fn port_name(node: &Node, reader: &mut Reader) {
    let name = text(node);
    let good =
        is_label(name, 15) && name.chars().any(|c| c.is_ascii_lowercase()) && !name.contains("--");
    if !good {
        let hint = "at most 15 lower-case letters, digits and single -, with a letter";
        reader.error_hint(node, format!("{name:?} is not a port name"), hint);
    }
}

/// IPv4 address.
pub(crate) fn ipv4(node: &Node, reader: &mut Reader) {
    if text(node).parse::<std::net::Ipv4Addr>().is_err() {
        reader.error(node, format!("{:?} is not an IPv4 address", text(node)));
    }
}

/// Printable ASCII without `=`.
pub(crate) fn env_name(node: &Node, reader: &mut Reader) {
    let name = text(node);
    if !name.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        let problem = format!("{name:?} is not the name of a variable");
        reader.error_hint(node, problem, "printable ASCII without =");
    }
}

/// Token of RFC 9110.
pub(crate) fn header_name(node: &Node, reader: &mut Reader) {
    let name = text(node);
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)) {
        reader.error(node, format!("{name:?} is not the name of an HTTP header"));
    }
}

/// Image reference, as far as it can be told without the image crate: no blanks, no empty parts.
pub(crate) fn image(node: &Node, reader: &mut Reader) {
    let name = text(node);
    let (path, digest) = name.split_once('@').map_or((name, None), |(p, d)| (p, Some(d)));
    let last = path.rsplit('/').next().unwrap_or_default();
    let (base, tag) = last.split_once(':').map_or((last, None), |(b, t)| (b, Some(t)));
    let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let first = |t: &str| t.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let repository = !base.is_empty()
        && !base.contains(|c: char| c.is_ascii_uppercase())
        && path.split('/').all(|part| first(part) || part.starts_with('['))
        && path.chars().all(|c| word(c) || "/:[]".contains(c));
    let tag = tag.is_none_or(|t| first(t) && t.len() <= 128 && t.chars().all(word));
    let digest = digest.is_none_or(|d| {
        d.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
        })
    });
    if !(repository && tag && digest) {
        let problem = format!("{name:?} is not an image reference");
        reader.error_hint(node, problem, "as in web:1 or registry.example/team/web:1");
    }
}

fn clean(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|part| part != "..")
}

/// Absolute path.
pub(crate) fn absolute_path(node: &Node, reader: &mut Reader) {
    if !text(node).starts_with('/') || text(node).contains('\0') {
        reader.error(node, format!("{:?} is not an absolute path", text(node)));
    }
}

/// Absolute path without `..`, of the host.
pub(crate) fn host_path(node: &Node, reader: &mut Reader) {
    absolute_path(node, reader);
    if !clean(text(node)) {
        reader.error(node, "must not contain ..");
    }
}

/// Absolute path in a container; not its root, no `:` (as in Kubernetes), and not its procfs.
pub(crate) fn mount_path(node: &Node, reader: &mut Reader) {
    host_path(node, reader);
    if text(node).contains(':') {
        reader.error(node, "must not contain :");
    } else if text(node).trim_matches('/').is_empty() {
        reader.error(node, "must not be the root of the container");
    } else if text(node).split('/').filter(|part| !matches!(*part, "" | ".")).eq(["proc"]) {
        reader.error(node, "must not hide /proc: mount it elsewhere, as on /host/proc");
    }
}

/// Relative path that stays below its root.
pub(crate) fn relative_path(node: &Node, reader: &mut Reader) {
    if text(node).starts_with('/') || !clean(text(node)) {
        let problem = format!("{:?} leaves its root", text(node));
        reader.error_hint(node, problem, "a relative path without ..");
    }
}

/// Dotted lower-case name.
pub(crate) fn sysctl_name(node: &Node, reader: &mut Reader) {
    let name = text(node);
    let part =
        |p: &str| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if name.len() > 253 || !name.split(['.', '/']).all(part) {
        reader.error(node, format!("{name:?} is not the name of a sysctl"));
        return;
    }
    let dotted = name.replace('/', ".");
    let scoped = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.", "net."];
    if !scoped.iter().any(|prefix| dotted.starts_with(prefix)) {
        let problem = format!("{name} belongs to the whole host, not to a pod");
        reader.error_hint(
            node,
            problem,
            "net.*, kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*",
        );
    }
}

/// Names of Linux capabilities without `CAP_`, in the order of their numbers.
pub const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A list of capability names.
pub(crate) fn capabilities(node: &Node, reader: &mut Reader) {
    let Value::Sequence(items) = &node.value else { return };
    for item in items {
        let upper = text(item).to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if name != "ALL" && !CAPABILITIES.contains(&name) {
            let problem = format!("{:?} is not a capability", text(item));
            match super::spelling::nearest(name, CAPABILITIES.iter().copied()) {
                Some(near) => reader.error_hint(item, problem, format!("did you mean {near}?")),
                None => reader.error_hint(item, problem, "as in NET_ADMIN, or ALL"),
            }
        }
    }
}

/// Field of the pod that a variable may take.
pub(crate) fn field_path(node: &Node, reader: &mut Reader) {
    if crate::env::FieldRef::parse(text(node)).is_none() {
        let problem = format!("{:?} is not a field a variable may take", text(node));
        let near = super::spelling::nearest(text(node), crate::env::FIELD_PATHS.iter().copied());
        match near {
            Some(near) => reader.error_hint(node, problem, format!("did you mean {near:?}?")),
            None => {
                let hint = format!("one of: {}", crate::env::FIELD_PATHS.join(", "));
                reader.error_hint(node, problem, hint);
            }
        }
    }
}

fn is_qualified(key: &str, lower: bool) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let ends = |c: char| c.is_ascii_alphanumeric();
    let lowered = prefix.map(str::to_ascii_lowercase);
    prefix.is_none_or(|p| is_subdomain(if lower { lowered.as_deref().unwrap_or(p) } else { p }))
        && !name.is_empty()
        && name.len() <= 63
        && name.starts_with(ends)
        && name.ends_with(ends)
        && name.chars().all(|c| ends(c) || "-_.".contains(c))
}

fn keys(node: &Node, reader: &mut Reader, lower: bool, what: &str) {
    let Value::Mapping(entries) = &node.value else { return };
    for entry in entries.iter().filter(|e| !is_qualified(&e.key, lower)) {
        let problem = format!("{:?} is not a {what} key", entry.key);
        let hint = "an optional DNS prefix and /, then letters, digits, -, _ and ., at most 63";
        reader.place(entry.line, entry.column, problem, Some(hint.to_owned()));
    }
}

/// Label keys and values.
pub(crate) fn labels(node: &Node, reader: &mut Reader) {
    keys(node, reader, false, "label");
    let Value::Mapping(entries) = &node.value else { return };
    for entry in entries {
        let value = text(&entry.value);
        if !value.is_empty() && (value.contains('/') || !is_qualified(value, false)) {
            let problem = format!("{value:?} is not a label value");
            reader.error_hint(&entry.value, problem, "letters, digits, -, _ and ., at most 63");
        }
    }
}

/// Annotation keys; podvisor's own are checked by value too.
pub(crate) fn annotation_keys(node: &Node, reader: &mut Reader) {
    keys(node, reader, true, "annotation");
    let Value::Mapping(entries) = &node.value else { return };
    for entry in entries {
        if let Err((problem, hint)) =
            crate::backoff::check_annotation(&entry.key, text(&entry.value))
        {
            reader.place(entry.value.line, entry.value.column, problem, Some(hint));
        }
    }
}
