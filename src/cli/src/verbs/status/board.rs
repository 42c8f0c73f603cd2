//! The tree of pods as text. Pure.

use serde_json::Value;

use crate::age;
use crate::columns::{or_dash, painted};
use crate::object::{
    container_state, list, name, namespace, number, pod_state, readiness, statuses, text,
};
use crate::print::Paint;
use crate::table::Table;

/// All there is, deployments with their pods first.
#[must_use]
pub(crate) fn board(deployments: &[Value], pods: &[Value], paint: Paint, now_ns: i64) -> String {
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let noun = if pods.len() == 1 { "pod" } else { "pods" };
    let mut out = format!("{} {noun}, {ready} ready\n", pods.len());
    let mut table = Table::default();
    for deployment in deployments {
        let count = |at: &str| number(deployment, at);
        let words = format!("{}/{} ready", count("/status/readyReplicas"), count("/spec/replicas"));
        table.row(vec![paint.bold(&format!("deployment/{}", name(deployment))), words]);
        for pod in pods.iter().filter(|pod| is_owned(pod, deployment)) {
            rows(&mut table, pod, "  ", paint, now_ns);
        }
    }
    for pod in pods.iter().filter(|pod| !deployments.iter().any(|d| is_owned(pod, d))) {
        rows(&mut table, pod, "", paint, now_ns);
    }
    out.push_str(&table.render(true));
    out
}

/// Whether a pod belongs to a deployment.
fn is_owned(pod: &Value, deployment: &Value) -> bool {
    let owners = list(pod, "/metadata/ownerReferences");
    namespace(pod) == namespace(deployment)
        && owners.iter().any(|owner| owner["name"] == deployment["metadata"]["name"])
}

fn is_ready(pod: &Value) -> bool {
    let conditions = list(pod, "/status/conditions");
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn rows(table: &mut Table, pod: &Value, indent: &str, paint: Paint, now_ns: i64) {
    let created = pod.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    table.row(vec![
        format!("{indent}{}", paint.bold(&format!("pod/{}", name(pod)))),
        format!("{} ready", readiness(pod)),
        painted(&pod_state(pod), paint),
        or_dash(text(pod, "/status/podIP")),
        age::since(created, now_ns),
    ]);
    for status in statuses(pod, true) {
        let state = container_state(status);
        let started = status["state"]["running"]["startedAt"].as_str();
        let restarts = number(status, "/restartCount");
        table.row(vec![
            format!("{indent}  {}", text(status, "/name")),
            if status["ready"] == true { "ready".into() } else { paint.waiting("not ready") },
            painted(&state, paint),
            if restarts == 1 { "1 restart".into() } else { format!("{restarts} restarts") },
            age::since(started, now_ns),
            last_words(status, now_ns, paint),
        ]);
    }
}

/// Why a container is not well, or how it ended last.
fn last_words(status: &Value, now_ns: i64, paint: Paint) -> String {
    let ended = [&status["state"]["terminated"], &status["lastState"]["terminated"]];
    let mut words = Vec::new();
    if let Some(message) = status["state"]["waiting"]["message"].as_str() {
        words.push(message.replace('\n', " "));
    }
    if let Some(last) = ended.into_iter().find(|e| e.is_object()) {
        let when = age::since(last["finishedAt"].as_str(), now_ns);
        let code = number(last, "/exitCode");
        words.push(format!("last exit {code} ({}) {when} ago", text(last, "/reason")));
    }
    paint.dim(&words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Color;
    use serde_json::json;

    #[test]
    fn pods_stand_below_their_deployment() {
        let deployment = json!({
            "metadata": {"name": "web"}, "spec": {"replicas": 2}, "status": {"readyReplicas": 1},
        });
        let pod = |name: &str, owner: &str| {
            json!({
                "metadata": {"name": name, "ownerReferences": [{"name": owner}]},
                "spec": {"containers": [{"name": "main"}]},
                "status": {
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [{
                        "name": "main", "ready": true, "restartCount": 1,
                        "state": {"running": {"startedAt": "1970-01-01T00:00:40Z"}},
                        "lastState": {"terminated": {"exitCode": 3, "reason": "Error",
                                                     "finishedAt": "1970-01-01T00:00:39Z"}},
                    }],
                },
            })
        };
        let pods = [pod("alone", "nobody"), pod("web-1", "web")];
        let text = board(&[deployment], &pods, Paint::new(Color::Never), 42_000_000_000);
        let words: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["2", "pods,", "2", "ready"]);
        assert_eq!(words[1], ["deployment/web", "1/2", "ready"]);
        assert_eq!(words[2][..3], ["pod/web-1", "1/1", "ready"]);
        let member = "main ready Running 1 restart 2s last exit 3 (Error) 3s ago";
        assert_eq!(words[3].join(" "), member);
        assert_eq!(words[4][0], "pod/alone");
    }
}
