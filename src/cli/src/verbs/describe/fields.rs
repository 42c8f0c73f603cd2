//! The lines of a description.

use serde_json::Value;

use crate::age;
use crate::object::{list, name, namespace, number, text};

/// `Label:   value`, or nothing for an empty value.
pub(super) fn line(out: &mut String, depth: usize, label: &str, value: &str) {
    if !value.is_empty() {
        let label = format!("{label}:");
        out.push_str(&format!("{}{label:<16} {value}\n", "  ".repeat(depth)));
    }
}

/// Name, namespace, labels, age.
pub(super) fn head(object: &Value, out: &mut String) {
    line(out, 0, "Name", name(object));
    line(out, 0, "Namespace", namespace(object));
    line(out, 0, "UID", text(object, "/metadata/uid"));
    line(out, 0, "Labels", &pairs(&object["metadata"]["labels"]));
    line(out, 0, "Annotations", &pairs(&object["metadata"]["annotations"]));
    let created = text(object, "/metadata/creationTimestamp");
    let age = age::since(Some(created), api::stamp::now());
    line(out, 0, "Created", &format!("{created} ({age} ago)"));
    for owner in list(object, "/metadata/ownerReferences") {
        let words = format!("{}/{}", text(owner, "/kind").to_lowercase(), text(owner, "/name"));
        line(out, 0, "Controlled By", &words);
    }
}

/// A deployment.
pub(super) fn deployment(object: &Value, out: &mut String) {
    head(object, out);
    let status = |field: &str| number(object, &format!("/status/{field}"));
    let replicas = format!(
        "{} wanted, {} updated, {} total, {} ready, {} available",
        number(object, "/spec/replicas"),
        status("updatedReplicas"),
        status("replicas"),
        status("readyReplicas"),
        status("availableReplicas"),
    );
    line(out, 0, "Replicas", &replicas);
    line(out, 0, "Selector", &pairs(&object["spec"]["selector"]["matchLabels"]));
    out.push_str("Containers:\n");
    for spec in list(object, "/spec/template/spec/containers") {
        container(spec, &Value::Null, out);
    }
    for condition in list(object, "/status/conditions") {
        let words = format!("{} {}", text(condition, "/status"), text(condition, "/message"));
        line(out, 0, text(condition, "/type"), words.trim());
    }
}

/// A Secret, without its values.
pub(super) fn secret(object: &Value, out: &mut String) {
    head(object, out);
    line(out, 0, "Type", text(object, "/type"));
    out.push_str("Data:\n");
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        let bytes = text.trim_end_matches('=').len() * 3 / 4;
        line(out, 2, key, &format!("{bytes} bytes"));
    }
}

/// A container, as asked for and as it is.
pub(super) fn container(spec: &Value, status: &Value, out: &mut String) {
    out.push_str(&format!("  {}:\n", text(spec, "/name")));
    line(out, 2, "Image", text(spec, "/image"));
    line(out, 2, "Image ID", text(status, "/imageID"));
    line(out, 2, "Container ID", text(status, "/containerID"));
    line(out, 2, "Command", &words(&spec["command"]));
    line(out, 2, "Args", &words(&spec["args"]));
    let ports: Vec<String> = list(spec, "/ports").iter().map(port).collect();
    line(out, 2, "Ports", &ports.join(", "));
    for (label, field) in [
        ("Startup", "startupProbe"),
        ("Liveness", "livenessProbe"),
        ("Readiness", "readinessProbe"),
    ] {
        if spec[field].is_object() {
            line(out, 2, label, &probe(&spec[field]));
        }
    }
    line(out, 2, "Limits", &pairs(&spec["resources"]["limits"]));
    line(out, 2, "Requests", &pairs(&spec["resources"]["requests"]));
    if status.is_object() {
        state(status, out);
    }
}

fn state(status: &Value, out: &mut String) {
    let now = &status["state"];
    let running = text(now, "/running/startedAt");
    if now["running"].is_object() {
        let age = age::since(Some(running), api::stamp::now());
        line(out, 2, "State", &format!("Running since {running} ({age})"));
    } else if now["terminated"].is_object() {
        line(out, 2, "State", &super::ending(&now["terminated"]));
    } else {
        let reason = text(now, "/waiting/reason");
        let message = text(now, "/waiting/message");
        let colon = if message.is_empty() { "" } else { ": " };
        line(out, 2, "State", &format!("Waiting: {reason}{colon}{message}"));
    }
    if status["lastState"]["terminated"].is_object() {
        line(out, 2, "Last State", &super::ending(&status["lastState"]["terminated"]));
    }
    line(out, 2, "Ready", if status["ready"] == true { "yes" } else { "no" });
    line(out, 2, "Restarts", &number(status, "/restartCount").to_string());
}

fn port(port: &Value) -> String {
    let host = match number(port, "/hostPort") {
        0 => String::new(),
        host => format!(" on host port {host}"),
    };
    let protocol = match text(port, "/protocol") {
        "" => "TCP",
        protocol => protocol,
    };
    format!("{}/{protocol}{host}", number(port, "/containerPort"))
}

/// What a probe does and how often.
fn probe(probe: &Value) -> String {
    let does = if probe["httpGet"].is_object() {
        let get = &probe["httpGet"];
        let path = match text(get, "/path") {
            "" => "/",
            path => path,
        };
        format!("http-get :{}{path}", plain(&get["port"]))
    } else if probe["tcpSocket"].is_object() {
        format!("tcp :{}", plain(&probe["tcpSocket"]["port"]))
    } else {
        format!("exec {}", words(&probe["exec"]["command"]))
    };
    let or = |field: &str, default: i64| match probe[field].as_i64() {
        Some(value) => value,
        None => default,
    };
    format!(
        "{does} delay={}s timeout={}s period={}s #success={} #failure={}",
        or("initialDelaySeconds", 0),
        or("timeoutSeconds", 1),
        or("periodSeconds", 10),
        or("successThreshold", 1),
        or("failureThreshold", 3),
    )
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn words(list: &Value) -> String {
    let all: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    all.join(" ")
}

fn pairs(map: &Value) -> String {
    let all: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", plain(value)))
        .collect();
    all.join(", ")
}
