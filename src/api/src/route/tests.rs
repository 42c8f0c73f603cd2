//! Every path, and what is refused.

use super::*;

fn target(container: Option<&str>) -> Target {
    Target {
        namespace: "default".into(),
        pod: "web".into(),
        container: container.map(str::to_owned),
    }
}

fn all() -> Selection {
    Selection::default()
}

fn of_default() -> Selection {
    Selection { namespace: Some("default".into()), ..all() }
}

#[test]
fn every_path_leads_to_its_call() {
    let (ns, web) = ("default".to_owned(), "web".to_owned());
    let base = "/api/v1/namespaces/default";
    let apps = "/apis/apps/v1/namespaces/default";
    let cases = [
        ("GET", "/version".to_owned(), "", Call::Version),
        ("GET", "/healthz".into(), "", Call::Health),
        ("GET", "/api/v1/pods".into(), "", Call::List(Kind::Pods, all())),
        ("GET", format!("{base}/pods"), "", Call::List(Kind::Pods, of_default())),
        ("GET", format!("{base}/events"), "", Call::List(Kind::Events, of_default())),
        ("GET", "/api/v1/pods".into(), "watch=1", Call::Watch(Kind::Pods, all(), None)),
        (
            "GET",
            "/apis/apps/v1/deployments".into(),
            "watch=true&resourceVersion=7",
            Call::Watch(Kind::Deployments, all(), Some(7)),
        ),
        ("GET", format!("{base}/pods/web"), "", Call::Get(Kind::Pods, ns.clone(), web.clone())),
        (
            "DELETE",
            format!("{base}/pods/web"),
            "gracePeriodSeconds=0",
            Call::Delete(Kind::Pods, ns.clone(), web.clone(), Some(0)),
        ),
        ("POST", format!("{apps}/deployments"), "", Call::Create(Kind::Deployments, ns.clone())),
        ("PATCH", format!("{apps}/deployments/web/scale"), "", Call::SetScale(ns, web)),
        ("GET", format!("{base}/pods/w%65b/exec"), "container=a", Call::Exec(target(Some("a")))),
        (
            "GET",
            format!("{base}/pods/web/log"),
            "follow=true&tailLines=5&previous=0&timestamps&format=cri",
            Call::Log(
                target(None),
                LogOptions {
                    follow: true,
                    tail: Some(5),
                    timestamps: true,
                    raw: true,
                    ..LogOptions::default()
                },
            ),
        ),
        ("POST", "/podvisor/v1/apply".into(), "", Call::Apply),
        ("GET", "/podvisor/v1/status".into(), "", Call::Status),
        ("POST", "/podvisor/v1/shutdown".into(), "", Call::Shutdown),
    ];
    for (method, path, query, want) in cases {
        assert_eq!(route(method, &path, query), Ok(want), "{method} {path}?{query}");
    }
}

#[test]
fn selectors_are_read() {
    let query = "labelSelector=app%3Dweb&fieldSelector=metadata.name%3Dx";
    let Ok(Call::List(_, selection)) = route("GET", "/api/v1/pods", query) else { panic!() };
    assert_eq!(selection.name.as_deref(), Some("x"));
    assert!(selection.labels.takes(&serde_json::json!({"metadata": {"labels": {"app": "web"}}})));
    assert!(!selection.labels.takes(&serde_json::json!({"metadata": {}})));
}

#[test]
fn what_is_not_understood_is_refused_with_its_code() {
    let pod = "/api/v1/namespaces/default/pods/web";
    let cases = [
        ("GET", "/", "", 404),
        ("GET", "/api/v1/deployments", "", 404),
        ("GET", "/apis/apps/v1/pods", "", 404),
        ("GET", "/api/v1/namespaces/default/pods/web/portforward", "", 404),
        ("PUT", "/version", "", 405),
        ("POST", "/api/v1/pods", "", 405),
        ("DELETE", "/api/v1/namespaces/default/events/x", "", 405),
        ("POST", "/api/v1/namespaces/default/pods/web/log", "", 405),
        ("GET", "/api/v1/pods", "watch=perhaps", 400),
        ("GET", "/api/v1/pods", "labelSelector=a%20b", 400),
        ("GET", "/api/v1/pods", "fieldSelector=status.phase%3DRunning", 400),
        ("DELETE", pod, "gracePeriodSeconds=-1", 400),
        ("GET", "/api/v1/pods%zz", "", 400),
        ("GET", "/api/v1/namespaces/default/pods/web/log", "sinceTime=yesterday", 400),
        ("GET", "/api/v1/namespaces/default/pods/web/log", "format=xml", 400),
    ];
    for (method, path, query, code) in cases {
        let error = route(method, path, query).unwrap_err();
        assert_eq!(error.code, code, "{method} {path}?{query}: {error}");
    }
}

#[test]
fn an_escaped_text_comes_back() {
    for text in ["", "plain", "a b/c?d=e&f", "grüße", "100%"] {
        assert_eq!(decode(&encode(text)).as_deref(), Ok(text));
    }
}
