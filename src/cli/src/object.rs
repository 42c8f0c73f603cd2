//! Reading Kubernetes objects for tables and descriptions. Pure; a missing field is an empty text.

use serde_json::Value;

/// Text at a JSON pointer such as `/metadata/name`.
#[must_use]
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Number at a JSON pointer.
#[must_use]
pub fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// List at a JSON pointer.
#[must_use]
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// `metadata.name`
#[must_use]
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `metadata.namespace`
#[must_use]
pub fn namespace(object: &Value) -> &str {
    match text(object, "/metadata/namespace") {
        "" => "default",
        namespace => namespace,
    }
}

/// Statuses of a pod's containers: init first when asked for.
pub fn statuses(pod: &Value, with_init: bool) -> impl Iterator<Item = &Value> {
    let init = if with_init { list(pod, "/status/initContainerStatuses") } else { &[] };
    init.iter().chain(list(pod, "/status/containerStatuses"))
}

/// Sum of restarts.
#[must_use]
pub fn restarts(pod: &Value) -> i64 {
    statuses(pod, true).map(|s| number(s, "/restartCount")).sum()
}

/// `ready/all` of a pod.
#[must_use]
pub fn readiness(pod: &Value) -> String {
    let ready = statuses(pod, false).filter(|s| s["ready"] == true).count();
    format!("{ready}/{}", list(pod, "/spec/containers").len())
}

/// What a container is doing, in a word or two.
#[must_use]
pub fn container_state(status: &Value) -> String {
    let state = &status["state"];
    if state["running"].is_object() {
        return "Running".into();
    }
    if let Some(reason) = state["waiting"]["reason"].as_str() {
        return reason.into();
    }
    let ended = &state["terminated"];
    if !ended.is_object() {
        return "Waiting".into();
    }
    let reason = text(ended, "/reason");
    match (reason, number(ended, "/signal"), number(ended, "/exitCode")) {
        ("", 0, code) => format!("ExitCode:{code}"),
        ("", signal, _) => format!("Signal:{signal}"),
        (reason, _, _) => reason.into(),
    }
}

/// What a pod is doing, in a word or two.
///
/// Source: Kubernetes, `pkg/printers/internalversion/printers.go`, `printPod`.
#[must_use]
pub fn pod_state(pod: &Value) -> String {
    if !text(pod, "/metadata/deletionTimestamp").is_empty() {
        return "Terminating".into();
    }
    let mut words = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase"),
        reason => reason,
    }
    .to_owned();
    let inits = list(pod, "/status/initContainerStatuses");
    for (at, status) in inits.iter().enumerate() {
        let done = status["state"]["terminated"]["exitCode"] == 0;
        let sidecar = status["started"] == true && status["state"]["running"].is_object();
        if done || sidecar {
            continue;
        }
        return match container_state(status).as_str() {
            "Running" | "Waiting" | "PodInitializing" => format!("Init:{at}/{}", inits.len()),
            other => format!("Init:{other}"),
        };
    }
    let mut runs = false;
    for status in list(pod, "/status/containerStatuses").iter().rev() {
        match container_state(status).as_str() {
            "Running" => runs |= status["ready"] == true,
            "Waiting" => {}
            other => words = other.to_owned(),
        }
    }
    if words == "Completed" && runs {
        words = "Running".into();
    }
    if words.is_empty() { "Pending".into() } else { words }
}

/// Whether a pod's phase is final.
#[must_use]
pub fn is_done(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pods_state_is_what_matters_most() {
        let ready = json!({"ready": true, "state": {"running": {}}, "restartCount": 2});
        let crash =
            json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 1});
        let done = json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        let init = json!({"state": {"running": {}}});
        let cases = [
            (json!({"status": {"phase": "Running", "containerStatuses": [ready]}}), "Running"),
            (
                json!({"status": {"phase": "Running", "containerStatuses": [ready, crash]}}),
                "CrashLoopBackOff",
            ),
            (
                json!({"status": {"phase": "Running", "containerStatuses": [ready, done]}}),
                "Running",
            ),
            (json!({"status": {"phase": "Succeeded", "containerStatuses": [done]}}), "Completed"),
            (json!({"status": {"phase": "Pending", "initContainerStatuses": [init]}}), "Init:0/1"),
            (
                json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded"}}),
                "DeadlineExceeded",
            ),
            (json!({"metadata": {"deletionTimestamp": "x"}, "status": {}}), "Terminating"),
            (json!({}), "Pending"),
        ];
        for (pod, want) in cases {
            assert_eq!(pod_state(&pod), want, "{pod}");
        }
        let pod = json!({
            "spec": {"containers": [{}, {}]},
            "status": {"containerStatuses": [ready, crash]},
        });
        assert_eq!((readiness(&pod).as_str(), restarts(&pod)), ("1/2", 3));
    }
}
