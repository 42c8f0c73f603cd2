//! Tables: text -> findings, and text -> objects.

use super::*;
use serde_json::{Value as Json, json};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n";

fn one(container: &str) -> String {
    format!("{POD}  - name: web\n    image: web:1\n{container}")
}

fn findings(text: &str) -> Vec<Finding> {
    parse("pod.yaml", text, Strictness::Strict).expect_err(text)
}

fn pod(text: &str) -> Pod {
    match parse("pod.yaml", text, Strictness::Strict) {
        Ok(mut objects) => match objects.remove(0) {
            Object::Pod(pod) => pod,
            other => panic!("a {}", other.kind()),
        },
        Err(findings) => panic!("{findings:#?}\n{text}"),
    }
}

/// `(lines below the container, line, column, path, part of the problem, part of the hint)`.
type Row = (&'static str, usize, usize, &'static str, &'static str, &'static str);

const CONTAINER: &[Row] = &[
    ("    imagee: x\n", 9, 5, "containers[0].imagee", "unknown field \"imagee\"", "\"image\""),
    ("    imagepullpolicy: x\n", 9, 5, "", "unknown field", "\"imagePullPolicy\""),
    ("    comand: [a]\n", 9, 5, "", "unknown field", "\"command\""),
    ("    qqqqqqqq: 1\n", 9, 5, "", "unknown field", "known here: name, image"),
    ("    envFrom: []\n", 9, 5, ".envFrom", "not supported yet", "--validate=warn"),
    ("    lifecycle: {}\n", 9, 5, ".lifecycle", "not supported yet", ""),
    ("    command: sleep\n", 9, 14, ".command", "expected a list, found text", ""),
    ("    args: [1]\n", 9, 12, ".args[0]", "expected text, found a number (1)", "\"1\""),
    ("    args: [yes]\n", 9, 12, ".args[0]", "found a boolean (yes)", "\"yes\""),
    ("    tty: maybe\n", 9, 10, ".tty", "expected true or false, found text", ""),
    ("    tty: \"true\"\n", 9, 10, ".tty", "expected true or false", ""),
    ("    image: web:2\n", 9, 5, "", "duplicate key \"image\"", "line 8"),
    ("    imagePullPolicy: never\n", 9, 22, "", "\"never\" is not a valid value", "\"Never\""),
    ("    imagePullPolicy: Foo\n", 9, 22, "", "not a valid value", "IfNotPresent, Always, Never"),
    ("    workingDir: a/b\n", 9, 17, ".workingDir", "not an absolute path", ""),
    ("    env: [{value: x}]\n", 9, 11, ".env[0].name", "required field \"name\" is missing", ""),
    ("    env: [{name: a=b}]\n", 9, 18, ".env[0].name", "not the name of a variable", ""),
    ("    env: [{name: a, value: 1}]\n", 9, 28, ".value", "expected text, found a number", "\"1\""),
    (
        "    env: [{name: a, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n",
        9,
        11,
        ".env[0]",
        "both value and valueFrom",
        "",
    ),
    (
        "    env: [{name: a, valueFrom: {fieldRef: {fieldPath: metadata.nam}}}]\n",
        9,
        55,
        ".fieldPath",
        "not a field a variable may take",
        "metadata.name",
    ),
    ("    env: [{name: a, valueFrom: {secretKeyRef: {}}}]\n", 9, 33, "", "not supported yet", ""),
    ("    env: [{name: a, valueFrom: {}}]\n", 9, 32, ".valueFrom", "has no source", "fieldRef"),
    ("    ports: [{containerPort: 0}]\n", 9, 29, "", "between 1 and 65535", ""),
    ("    ports: [{containerPort: 70000}]\n", 9, 29, "", "70000 is not between", ""),
    ("    ports: [{containerPort: http}]\n", 9, 29, "", "expected an integer, found text", ""),
    ("    ports: [{}]\n", 9, 13, ".ports[0].containerPort", "is missing", ""),
    ("    ports: [{containerPort: 80, name: UP}]\n", 9, 39, "", "not a port name", ""),
    ("    ports: [{containerPort: 80, hostIP: x}]\n", 9, 41, "", "not an IPv4 address", ""),
    ("    ports: [{containerPort: 80, protocol: tcp}]\n", 9, 43, "", "not a valid value", "TCP"),
    (
        "    ports: [{containerPort: 80, name: a}, {containerPort: 81, name: a}]\n",
        9,
        69,
        ".ports[1].name",
        "used twice",
        "",
    ),
    ("    resources: {limits: {cpu: 1x}}\n", 9, 31, ".cpu", "unknown suffix \"x\"", ""),
    ("    resources: {limits: {memory: 64mb}}\n", 9, 34, "", "unknown suffix \"mb\"", "Mi"),
    ("    resources: {limits: {memory: abc}}\n", 9, 34, "", "is not a quantity", "128Mi"),
    ("    resources: {limits: {memory: -1}}\n", 9, 34, "", "below 0", ""),
    ("    resources: {limits: {memory: 100m}}\n", 9, 34, ".memory", "too little", "Mi"),
    ("    resources: {limits: {memory: 1k}}\n", 9, 34, ".memory", "too little", "16Mi"),
    ("    resources: {limits: {gpu: 1}}\n", 9, 26, "", "unknown field \"gpu\"", "\"cpu\""),
    (
        "    resources: {limits: {cpu: 1}, requests: {cpu: 2}}\n",
        9,
        51,
        ".requests.cpu",
        "request 2 is above the limit 1",
        "",
    ),
    ("    volumeMounts: [{name: x, mountPath: /a}]\n", 9, 27, "", "has no volume \"x\"", ""),
    ("    volumeMounts: [{name: x, mountPath: a}]\n", 9, 41, "", "not an absolute path", ""),
    ("    volumeMounts: [{name: x, mountPath: /}]\n", 9, 41, "", "must not be the root", ""),
    ("    volumeMounts: [{name: x, mountPath: //proc/}]\n", 9, 41, "", "must not hide /proc", ""),
    (
        "    volumeMounts: [{name: x, mountPath: /a, subPath: ../b}]\n",
        9,
        54,
        ".subPath",
        "leaves its root",
        "",
    ),
    ("    livenessProbe: {}\n", 9, 20, ".livenessProbe", "has no handler", "tcpSocket"),
    ("    livenessProbe: {grpc: {port: 1}}\n", 9, 21, "", "not supported yet", ""),
    (
        "    livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}\n",
        9,
        20,
        "",
        "more than one handler",
        "",
    ),
    (
        "    livenessProbe: {exec: {command: [a]}, periodSeconds: 0}\n",
        9,
        58,
        ".periodSeconds",
        "at least 1",
        "",
    ),
    (
        "    livenessProbe: {exec: {command: [a]}, successThreshold: 2}\n",
        9,
        61,
        "",
        "must be 1 here",
        "",
    ),
    ("    livenessProbe: {exec: {command: []}}\n", 9, 37, "", "must not be empty", ""),
    ("    readinessProbe: {tcpSocket: {port: web}}\n", 9, 40, "", "no port named \"web\"", ""),
    ("    readinessProbe: {httpGet: {port: 0}}\n", 9, 38, "", "0 is not between 1", ""),
    (
        "    readinessProbe: {httpGet: {port: 1, scheme: http}}\n",
        9,
        49,
        "",
        "not a valid value",
        "\"HTTP\"",
    ),
    (
        "    readinessProbe: {httpGet: {port: 1, scheme: HTTPS}}\n",
        9,
        49,
        ".httpGet.scheme",
        "HTTPS probes are not supported yet",
        "tcpSocket",
    ),
    (
        "    readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 3}\n",
        9,
        75,
        "",
        "stops nothing",
        "",
    ),
    ("    securityContext: {runAsUser: -1}\n", 9, 34, "", "-1 is not between 0", ""),
    ("    securityContext: {runAsUser: root}\n", 9, 34, "", "expected an integer", ""),
    (
        "    securityContext: {capabilities: {add: [NET_ADMINN]}}\n",
        9,
        44,
        "",
        "is not a capability",
        "NET_ADMIN",
    ),
    (
        "    securityContext: {seccompProfile: {type: Localhost}}\n",
        9,
        39,
        ".localhostProfile",
        "is required",
        "",
    ),
    (
        "    securityContext: {privileged: true, allowPrivilegeEscalation: false}\n",
        9,
        67,
        "",
        "cannot be false",
        "",
    ),
];

#[test]
fn wrong_containers_are_named_by_line_and_column() {
    for (text, line, column, path, problem, hint) in CONTAINER {
        let all = findings(&one(text));
        let hit = all.iter().find(|f| f.problem.contains(problem));
        let found = hit.unwrap_or_else(|| panic!("{text}: {all:#?}"));
        assert_eq!((found.line, found.column), (*line, *column), "{text}: {found:?}");
        assert!(found.path.contains(path) || found.path.is_empty(), "{text}: {found:?}");
        assert!(found.hint.as_deref().unwrap_or("").contains(hint), "{text}: {found:?}");
        assert_eq!(found.source, "pod.yaml");
    }
}

/// `(whole text, line, part of the problem)`.
const DOCUMENTS: &[(&str, usize, &str)] = &[
    ("", 1, "no object"),
    ("---\n---\n", 1, "no object"),
    ("just text", 1, "expected an object"),
    ("- a\n- b\n", 1, "expected an object"),
    ("kind: Pod\n", 1, "\"apiVersion\" is missing"),
    ("apiVersion: v1\n", 1, "\"kind\" is missing"),
    ("apiVersion: v1\nkind: Pot\n", 2, "unknown kind \"Pot\""),
    ("apiVersion: v1\nkind: Service\n", 2, "kind Service is not supported yet"),
    ("apiVersion: v2\nkind: Pod\n", 1, "apiVersion \"v2\" has no kind Pod"),
    ("apiVersion: v1\nkind: Deployment\n", 1, "has no kind Deployment"),
    ("apiVersion: v1\nkind: Pod\n", 1, "\"metadata\" is missing"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", 1, "\"spec\" is missing"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", 3, "\"name\" is missing"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\n", 3, "not a DNS-1123 name"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n", 4, "\"containers\" is missing"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n", 4, "be empty"),
    ("a: [1, 2\nb: 3\n", 2, "not YAML"),
    ("a:\n\tb: 1\n", 2, "not YAML"),
    ("{\"kind\": \"Pod\"", 2, "not YAML"),
    ("apiVersion: v1\nkind: List\nitems: 3\n", 3, "needs a list of items"),
];

#[test]
fn wrong_documents_are_named() {
    for (text, line, problem) in DOCUMENTS {
        let all = findings(text);
        let hit = all.iter().find(|f| f.problem.contains(problem));
        let found = hit.unwrap_or_else(|| panic!("{text:?}: {all:#?}"));
        assert_eq!(found.line, *line, "{text:?}: {found:?}");
    }
}

/// `(lines of the spec, part of the problem)`.
const SPECS: &[(&str, &str)] = &[
    ("  nodeSelector: {a: b}\n", "not supported yet"),
    ("  restartPolicy: Sometimes\n", "not a valid value"),
    ("  hostname: a.b\n", "not a DNS-1123 label"),
    ("  terminationGracePeriodSeconds: x\n", "expected an integer"),
    ("  activeDeadlineSeconds: 0\n", "at least 1"),
    ("  volumes: [{name: a}]\n", "has no source"),
    ("  volumes: [{name: a, emptyDir: {}, hostPath: {path: /x}}]\n", "more than one source"),
    ("  volumes: [{name: a, configMap: {name: x}}]\n", "not supported yet"),
    ("  volumes: [{name: a, hostPath: {path: /x/../y}}]\n", "must not contain .."),
    ("  volumes: [{name: a, hostPath: {path: /x, type: Dir}}]\n", "not a valid value"),
    ("  volumes: [{name: a, emptyDir: {medium: memory}}]\n", "not a valid value"),
    ("  volumes: [{name: a, emptyDir: {sizeLimit: 1Mi}}]\n", "a limit on disk"),
    ("  volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]\n", "used twice"),
    ("  initContainers: [{name: web, image: a}]\n", "\"web\" is used twice"),
    ("  initContainers: [{name: i, image: a, livenessProbe: {exec: {command: [a]}}}]\n", "cannot"),
    ("  securityContext: {sysctls: [{name: vm.swappiness, value: \"1\"}]}\n", "whole host"),
    (
        "  hostNetwork: true\n  securityContext: {sysctls: [{name: net.a, value: \"1\"}]}\n",
        "would change the host",
    ),
    ("  initContainers: [{name: i, image: 'a b'}]\n", "not an image reference"),
    ("  initContainers: [{name: i, image: UP}]\n", "not an image reference"),
    ("  initContainers: [{name: i, image: 'a:'}]\n", "not an image reference"),
    ("  initContainers: [{name: i}]\n", "\"image\" is missing"),
];

#[test]
fn wrong_specs_are_named() {
    for (text, problem) in SPECS {
        let all = findings(&one(text));
        assert!(all.iter().any(|f| f.problem.contains(problem)), "{text}: {all:#?}");
        assert!(all.iter().all(|f| f.line > 0 && f.column > 0), "{text}: {all:#?}");
    }
}

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
    spec:\n      containers: [{name: web, image: 'web:1'}]\n";

const DEPLOYMENTS: &[(&str, &str)] = &[
    ("  replicas: -1\n", "is not between 0"),
    ("  replicas: 1.5\n", "expected an integer"),
    ("  strategy: {type: Rolling}\n", "not a valid value"),
    ("  strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}\n", "cannot be used with type"),
    ("  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}\n", "cannot both be 0"),
    ("  strategy: {rollingUpdate: {maxSurge: a%}}\n", "not a percentage"),
    ("  strategy: {rollingUpdate: {maxUnavailable: 101%}}\n", "above 100%"),
    ("  progressDeadlineSeconds: 5\n  minReadySeconds: 5\n", "above minReadySeconds"),
];

#[test]
fn wrong_deployments_are_named() {
    for (text, problem) in DEPLOYMENTS {
        let all = findings(&format!("{DEPLOYMENT}{text}"));
        assert!(all.iter().any(|f| f.problem.contains(problem)), "{text}: {all:#?}");
    }
    let other = DEPLOYMENT.replace("labels: {app: web}}\n    spec", "labels: {app: x}}\n    spec");
    assert!(findings(&other)[0].problem.contains("have no app=web"));
    let never =
        DEPLOYMENT.replace("      containers", "      restartPolicy: Never\n      containers");
    assert!(findings(&never)[0].problem.contains("Never cannot be used"));
}

#[test]
fn every_finding_comes_at_once_and_in_order() {
    let text = one("    imagee: x\n    tty: 3\n    ports: [{containerPort: 0}]\n  restart: x\n");
    let lines: Vec<usize> = findings(&text).iter().map(|f| f.line).collect();
    assert_eq!(lines, [9, 10, 11, 12]);
}

#[test]
fn the_text_of_a_finding_names_file_line_and_field() {
    let text = findings(&one("    imagee: x\n"))[0].to_string();
    let wanted = "pod.yaml:9:5: spec.containers[0].imagee: unknown field \"imagee\" \
                  (hint: did you mean \"image\"?)";
    assert_eq!(text, wanted);
}

#[test]
fn strictness_decides_about_unknown_fields_only() {
    let text = one("    imagee: x\n    lifecycle: {}\n");
    let warned = parse_with_warnings("-", &text, Strictness::Warn).expect("warned");
    assert_eq!((warned.objects.len(), warned.warnings.len()), (1, 2));
    let ignored = parse_with_warnings("-", &text, Strictness::Ignore).expect("ignored");
    assert_eq!((ignored.objects.len(), ignored.warnings.len()), (1, 0));
    assert!(parse("-", &one("    tty: 3\n"), Strictness::Ignore).is_err());
}

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let pod = pod(&one("    tty: yes\n    stdin: off\n    ports: [{containerPort: 0120}]\n    \
         securityContext: {runAsUser: 0644, runAsGroup: 0x10}\n  \
         terminationGracePeriodSeconds: 1e1\n  hostname: ~\n"));
    let web = &pod.spec.containers[0];
    assert_eq!((web.tty, web.stdin), (Some(true), Some(false)));
    assert_eq!(web.ports[0].container_port, 80);
    let context = web.security_context.clone().expect("context");
    assert_eq!((context.run_as_user, context.run_as_group), (Some(420), Some(16)));
    assert_eq!(pod.spec.grace_ms(), 10_000);
    assert_eq!(pod.spec.hostname, None);
}

#[test]
fn several_documents_lists_json_anchors_and_merges() {
    let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"j"},
        "spec":{"containers":[{"name":"a","image":"b"}]}}"#;
    let list = "apiVersion: v1\nkind: List\nitems:\n- &p\n  apiVersion: v1\n  kind: Pod\n  \
        metadata: {name: one}\n  spec: {containers: [{name: a, image: b}]}\n- <<: *p\n  \
        metadata: {name: two}\n";
    let text = format!("{DEPLOYMENT}---\n{list}---\n{json}\n");
    let objects = parse("-", &text, Strictness::Strict).expect("objects");
    let names: Vec<&str> = objects.iter().map(|o| o.metadata().name.as_str()).collect();
    assert_eq!(names, ["web", "one", "two", "j"]);
    let twice = format!("{DEPLOYMENT}---\n{DEPLOYMENT}");
    assert!(findings(&twice)[0].problem.contains("twice"));
}

#[test]
fn bounds_hold() {
    let deep = format!("{}1{}", "[".repeat(150), "]".repeat(150));
    assert!(findings(&deep)[0].problem.contains("nested deeper"));
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let before = level - 1;
        let list = vec![format!("*a{before}"); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    assert!(findings(&laughs)[0].problem.contains("aliases expanded"));
    let long = " ".repeat(tree::MAX_TEXT_BYTES + 1);
    assert!(findings(&long)[0].problem.contains("bytes"));
}

#[test]
fn objects_read_back_as_they_were_given() {
    let given: Json = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web", "labels": { "app": "web" } },
        "spec": {
            "initContainers": [{ "name": "log", "image": "log", "restartPolicy": "Always" }],
            "containers": [{
                "name": "web", "image": "web:1", "imagePullPolicy": "Never",
                "command": ["a"], "args": ["$(X)"], "workingDir": "/",
                "env": [
                    { "name": "X", "value": "" },
                    { "name": "Y", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
                ],
                "ports": [{ "containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1" }],
                "resources": { "limits": { "cpu": "500m", "memory": "64Mi" } },
                "volumeMounts": [{ "name": "v", "mountPath": "/v", "subPath": "a/b" }],
                "readinessProbe": { "httpGet": { "path": "/", "port": 80, "httpHeaders": [
                    { "name": "Host", "value": "x" }] } },
                "securityContext": { "capabilities": { "drop": ["ALL"] } },
            }],
            "volumes": [{ "name": "v", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }],
            "shareProcessNamespace": true,
        },
    });
    let pod = pod(&given.to_string());
    assert_eq!(serde_json::to_value(&pod).expect("json"), given);
    let object: Object = serde_json::from_value(given).expect("object");
    assert_eq!(object, Object::Pod(pod));
}

#[test]
fn what_an_api_server_writes_is_accepted() {
    let text = one("").replace(
        "  name: web\nspec",
        "  name: web\n  uid: x\n  resourceVersion: \"3\"\n  creationTimestamp: null\n  \
         managedFields: []\nstatus: {phase: Running}\nspec",
    );
    assert_eq!(pod(&text).metadata.uid.as_deref(), Some("x"));
}

#[test]
fn pull_policy_follows_the_tag() {
    let rows = [
        ("web", ImagePullPolicy::Always),
        ("web:latest", ImagePullPolicy::Always),
        ("host:5000/web", ImagePullPolicy::Always),
        ("web:1", ImagePullPolicy::IfNotPresent),
        ("web@sha256:0", ImagePullPolicy::IfNotPresent),
    ];
    for (image, wanted) in rows {
        let container = Container { image: image.to_owned(), ..Container::default() };
        assert_eq!(container.image_pull_policy(), wanted, "{image}");
    }
}

/// `docs/pods.md` names every supported field, and none that is not.
#[test]
fn the_documentation_names_every_field() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pods.md");
    let text = std::fs::read_to_string(path).expect("docs/pods.md");
    for table in tables() {
        let row = format!("| `{}` |", table.name);
        let line = text.lines().find(|line| line.starts_with(&row));
        let line = line.unwrap_or_else(|| panic!("docs/pods.md has no row {row}"));
        let cell = line.split('|').nth(2).expect("cell");
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, table.fields, "{}", table.name);
    }
}
