//! Objects as rows of tables. Pure.

use api::Kind;
use serde_json::Value;

use crate::age;
use crate::object::{
    list, name, namespace, number, pod_state, readiness, restarts, statuses, text,
};
use crate::print::Paint;
use crate::table::Table;

/// What a table of objects shows.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// More columns.
    pub wide: bool,
    /// A column for the namespace.
    pub namespaces: bool,
    /// Colours.
    pub paint: Paint,
    /// Unix time in nanoseconds that ages are counted from.
    pub now_ns: i64,
}

/// A namespace column is of use.
#[must_use]
pub fn several_namespaces(objects: &[Value]) -> bool {
    objects.iter().any(|object| namespace(object) != "default")
}

/// The table of a kind.
#[must_use]
pub fn table(kind: Kind, objects: &[Value], view: View) -> Table {
    let (headings, more): (&[&str], &[&str]) = match kind {
        Kind::Pods => (&["NAME", "READY", "STATUS", "RESTARTS", "AGE"], &["IP", "IMAGES"]),
        Kind::Deployments => {
            (&["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"], &["CONTAINERS", "IMAGES"])
        }
        Kind::Secrets => (&["NAME", "TYPE", "DATA", "AGE"], &[]),
        Kind::Events => (&["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"], &["COUNT"]),
    };
    let mut all = if view.namespaces { vec!["NAMESPACE"] } else { Vec::new() };
    all.extend(headings);
    all.extend(if view.wide { more } else { &[] });
    let mut table = Table::new(&all);
    for object in objects {
        let mut cells = match kind {
            Kind::Pods => pod(object, view),
            Kind::Deployments => deployment(object, view),
            Kind::Secrets => secret(object, view),
            Kind::Events => event(object, view),
        };
        cells.truncate(headings.len() + if view.wide { more.len() } else { 0 });
        if view.namespaces {
            cells.insert(0, namespace(object).to_owned());
        }
        table.row(cells);
    }
    table
}

fn age_of(object: &Value, view: View) -> String {
    age::since(object.pointer("/metadata/creationTimestamp").and_then(Value::as_str), view.now_ns)
}

fn pod(pod: &Value, view: View) -> Vec<String> {
    vec![
        name(pod).to_owned(),
        readiness(pod),
        painted(&pod_state(pod), view.paint),
        restart_words(pod, view.now_ns),
        age_of(pod, view),
        or_dash(text(pod, "/status/podIP")),
        field_of_containers(pod, "/spec/containers", "image"),
    ]
}

/// The number of restarts, and when the last one was.
fn restart_words(pod: &Value, now_ns: i64) -> String {
    let count = restarts(pod);
    let ends = statuses(pod, true).map(|s| text(s, "/lastState/terminated/finishedAt"));
    match ends.max().filter(|end| count > 0 && !end.is_empty()) {
        Some(end) => format!("{count} ({} ago)", age::since(Some(end), now_ns)),
        None => count.to_string(),
    }
}

/// A state in its colour.
#[must_use]
pub fn painted(state: &str, paint: Paint) -> String {
    match state {
        "Running" | "Completed" | "Succeeded" => paint.good(state),
        "Pending" | "ContainerCreating" | "PodInitializing" | "Terminating" | "Waiting" => {
            paint.waiting(state)
        }
        other if other.starts_with("Init:") && other.contains('/') => paint.waiting(state),
        _ => paint.bad(state),
    }
}

fn deployment(object: &Value, view: View) -> Vec<String> {
    let status = |field: &str| number(object, &format!("/status/{field}"));
    vec![
        name(object).to_owned(),
        format!("{}/{}", status("readyReplicas"), number(object, "/spec/replicas")),
        status("updatedReplicas").to_string(),
        status("availableReplicas").to_string(),
        age_of(object, view),
        field_of_containers(object, "/spec/template/spec/containers", "name"),
        field_of_containers(object, "/spec/template/spec/containers", "image"),
    ]
}

fn secret(object: &Value, view: View) -> Vec<String> {
    let values = object["data"].as_object().map_or(0, serde_json::Map::len);
    let kind = text(object, "/type");
    vec![
        name(object).to_owned(),
        if kind.is_empty() { "Opaque".to_owned() } else { kind.to_owned() },
        values.to_string(),
        age_of(object, view),
    ]
}

fn event(event: &Value, view: View) -> Vec<String> {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    let seen = [text(event, "/lastTimestamp"), text(event, "/eventTime")];
    vec![
        age::since(seen.into_iter().find(|s| !s.is_empty()), view.now_ns),
        match text(event, "/type") {
            "Warning" => view.paint.bad("Warning"),
            other => other.to_owned(),
        },
        text(event, "/reason").to_owned(),
        format!("{kind}/{}", text(event, "/involvedObject/name")),
        text(event, "/message").replace('\n', " "),
        number(event, "/count").max(1).to_string(),
    ]
}

fn field_of_containers(object: &Value, pointer: &str, field: &str) -> String {
    let all: Vec<&str> = list(object, pointer).iter().filter_map(|c| c[field].as_str()).collect();
    or_dash(&all.join(","))
}

/// `-` in place of nothing.
#[must_use]
pub fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Color;
    use serde_json::json;

    fn view(wide: bool, namespaces: bool) -> View {
        let paint = Paint::new(Color::Never);
        View { wide, namespaces, paint, now_ns: 100_000_000_000 }
    }

    #[test]
    fn pods_deployments_and_events_have_their_columns() {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop",
                         "creationTimestamp": "1970-01-01T00:01:00Z"},
            "spec": {"containers": [{"name": "a", "image": "x:1"}]},
            "status": {"phase": "Running", "podIP": "10.77.0.2", "containerStatuses": [
                {"ready": true, "restartCount": 2, "state": {"running": {}},
                 "lastState": {"terminated": {"finishedAt": "1970-01-01T00:01:30Z"}}}]},
        });
        let text = table(Kind::Pods, std::slice::from_ref(&pod), view(true, true)).render(true);
        let want = "NAMESPACE   NAME   READY   STATUS    RESTARTS      AGE   IP          IMAGES\n\
                    shop        web    1/1     Running   2 (10s ago)   40s   10.77.0.2   x:1\n";
        assert_eq!(text, want);
        assert!(several_namespaces(&[pod]));

        let deployment = json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 3},
            "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
        });
        let text = table(Kind::Deployments, &[deployment], view(false, false)).render(false);
        assert_eq!(text, "web    2/3     3            2           -\n");

        let event = json!({
            "lastTimestamp": "1970-01-01T00:01:35Z", "type": "Warning", "reason": "BackOff",
            "involvedObject": {"kind": "Pod", "name": "web"}, "message": "waits",
        });
        let text = table(Kind::Events, &[event], view(false, false)).render(false);
        assert_eq!(text, "5s          Warning   BackOff   pod/web   waits\n");
    }
}
