//! Quantities, environment, resources, durations, hashes: tables of pure functions.

use pod::backoff::{BackoffPolicy, duration_ms};
use pod::manifest::{Container, EnvVar, Pod, PodSpec};
use pod::resources::{self, QosClass};
use pod::{Quantity, env, hash, status};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn quantities_are_exact() {
    let rows: &[(&str, i64, i64)] = &[
        ("0", 0, 0),
        ("1", 1, 1_000),
        ("100m", 1, 100),
        ("0.5", 1, 500),
        (".5", 1, 500),
        ("1.", 1, 1_000),
        ("+2", 2, 2_000),
        ("-1", -1, -1_000),
        ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
        ("128Mi", 134_217_728, 134_217_728_000),
        ("1e3", 1_000, 1_000_000),
        ("1E3", 1_000, 1_000_000),
        ("1e-3", 1, 1),
        ("1E", 1_000_000_000_000_000_000, i64::MAX),
        ("1k", 1_000, 1_000_000),
        ("0.1m", 1, 1),
        ("1n", 1, 1),
        ("0.0000000001", 1, 1),
        ("0.5Ki", 512, 512_000),
        ("9223372036854775807", i64::MAX, i64::MAX),
    ];
    for (text, value, milli) in rows {
        let quantity = Quantity::parse(text).expect(text);
        assert_eq!((quantity.value(), quantity.milli()), (*value, *milli), "{text}");
        assert_eq!(quantity.to_string(), *text);
    }
}

#[test]
fn what_is_no_quantity_is_refused_with_advice() {
    for text in ["", "-", ".", "a", "1.2.3", "1 Mi", "1mi", "64MB", "1e", "1e+", "9Ei", "1e99"] {
        assert!(Quantity::parse(text).is_err(), "{text}");
    }
    let hint = Quantity::parse("64MB").expect_err("refused").hint();
    assert_eq!(hint.as_deref(), Some("for mebibytes write Mi"));
}

#[test]
fn variables_expand() {
    let known: BTreeMap<String, String> =
        [("A", "1"), ("B", "$(A)"), ("", "empty")].map(|(k, v)| (k.into(), v.into())).into();
    let rows = [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$", "$"),
        ("$", "$"),
        ("a$", "a$"),
        ("$A", "$A"),
        ("$(NO)", "$(NO)"),
        ("$(A", "$(A"),
        ("$(B)", "$(A)"),
        ("$()", "empty"),
        ("é$(A)é", "é1é"),
    ];
    for (text, wanted) in rows {
        assert_eq!(env::expand(text, &known), wanted, "{text}");
    }
}

#[test]
fn the_environment_sees_earlier_variables_and_fields() {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "p", "uid": "u", "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "c", "image": "i", "env": [
            { "name": "LATER", "value": "$(NAME)" },
            { "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            { "name": "APP",
              "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
            { "name": "ALL", "value": "$(NAME)-$(IP)-$(APP)" },
            { "name": "PATH", "value": "/own" },
        ] }] },
    });
    let pod: Pod = serde_json::from_value(object).expect("pod");
    let facts = env::Facts { pod_ip: Some([10, 0, 0, 9].into()), ..Default::default() };
    let image = [("PATH".to_owned(), "/bin".to_owned()), ("X".to_owned(), "y".to_owned())];
    let list = env::environment(&pod, &pod.spec.containers[0], &image, &facts);
    let text: Vec<String> = list.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let wanted = [
        "PATH=/own",
        "X=y",
        "LATER=$(NAME)",
        "NAME=p",
        "IP=10.0.0.9",
        "APP=web",
        "ALL=p-10.0.0.9-web",
    ];
    assert_eq!(text, wanted);
    let words = env::expand_all(&["$(ALL)".to_owned(), "$$(ALL)".to_owned()], &list);
    assert_eq!(words, ["p-10.0.0.9-web", "$(ALL)"]);
}

fn container(resources: Value) -> Container {
    let object = json!({ "name": "c", "image": "i", "resources": resources });
    serde_json::from_value(object).unwrap_or_default()
}

#[test]
fn resources_become_numbers_of_the_kernel() {
    for (milli, shares, weight) in
        [(0, 2, 1), (1, 2, 1), (100, 102, 4), (1_000, 1_024, 39), (300_000, 262_144, 10_000)]
    {
        assert_eq!(resources::shares(milli), shares, "{milli}");
        assert_eq!(resources::weight(shares), weight, "{milli}");
    }
    assert_eq!((resources::quota_us(1), resources::quota_us(1_500)), (1_000, 150_000));
    let numbers =
        resources::container(&container(json!({ "limits": { "cpu": "500m", "memory": "64Mi" } })));
    assert_eq!((numbers.cpu_shares, numbers.cpu_quota_us), (512, Some(50_000)));
    assert_eq!(numbers.memory_max_bytes, Some(64 << 20));
    let none = resources::container(&container(json!({})));
    assert_eq!((none.cpu_shares, none.cpu_quota_us, none.memory_max_bytes), (2, None, None));
}

#[test]
fn a_pod_adds_up_what_runs_together() {
    let mebi = |n: u32| json!({ "limits": { "memory": format!("{n}Mi") } });
    let spec = |init: u32, sidecar: u32| -> PodSpec {
        let object = json!({
            "initContainers": [
                { "name": "s", "image": "i", "restartPolicy": "Always", "resources": mebi(sidecar) },
                { "name": "i", "image": "i", "resources": mebi(init) },
            ],
            "containers": [
                { "name": "a", "image": "i", "resources": mebi(10) },
                { "name": "b", "image": "i", "resources": mebi(20) },
            ],
        });
        serde_json::from_value(object).expect("spec")
    };
    assert_eq!(resources::pod(&spec(5, 7)).memory_max_bytes, Some(37 << 20));
    assert_eq!(resources::pod(&spec(50, 7)).memory_max_bytes, Some(57 << 20));
    let mut open = spec(5, 7);
    open.containers[0].resources = None;
    assert_eq!(resources::pod(&open).memory_max_bytes, None);
}

#[test]
fn quality_of_service_and_oom_score() {
    let rows = [
        (json!({}), QosClass::BestEffort, 1000),
        (json!({ "limits": { "cpu": "1", "memory": "1Gi" } }), QosClass::Guaranteed, -997),
        (json!({ "limits": { "memory": "1Gi" } }), QosClass::Burstable, 750),
        (json!({ "requests": { "cpu": "1" } }), QosClass::Burstable, 999),
        (json!({ "requests": { "memory": "4Gi" } }), QosClass::Burstable, 3),
        (
            json!({ "requests": { "cpu": 1, "memory": "1Gi" },
                    "limits": { "cpu": "1000m", "memory": "1024Mi" } }),
            QosClass::Guaranteed,
            -997,
        ),
    ];
    for (given, class, score) in rows {
        let text = given.to_string().replace("\"cpu\":1,", "\"cpu\":\"1\",");
        let container = container(serde_json::from_str(&text).expect("json"));
        let spec = PodSpec { containers: vec![container.clone()], ..PodSpec::default() };
        assert_eq!(resources::qos_class(&spec), class, "{given}");
        assert_eq!(resources::oom_score_adj(class, &container, 4 << 30), score, "{given}");
    }
}

#[test]
fn durations_and_delays() {
    let rows = [
        ("10s", Some(10_000)),
        ("500ms", Some(500)),
        ("1m30s", Some(90_000)),
        ("1h", Some(3_600_000)),
        ("", None),
        ("10", None),
        ("s", None),
        ("1d", None),
        ("-1s", None),
    ];
    for (text, wanted) in rows {
        assert_eq!(duration_ms(text), wanted, "{text}");
    }
    let policy = BackoffPolicy::default();
    let sum: Vec<u64> = (1..=7)
        .scan(0, |sum, n| {
            *sum += policy.delay_ms(n) / 1000;
            Some(*sum)
        })
        .collect();
    assert_eq!(sum, [0, 10, 30, 70, 150, 310, 610]);
    assert_eq!(policy.delay_ms(u32::MAX), 300_000);
}

/// These values are stored and compared by later versions: they must never change.
#[test]
fn hashes_are_stable_and_see_what_was_written() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: \
        {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n\
        \u{20}     containers: [{name: web, image: 'web:1'}]\n";
    let of = |text: &str| -> String {
        match pod::manifest::parse("-", text, pod::Strictness::Strict).expect(text).remove(0) {
            pod::Object::Deployment(d) => hash::template(&d.spec.template),
            _ => panic!("a pod"),
        }
    };
    assert_eq!(of(text), "mg9jj5ds8f");
    let one = container(json!({ "limits": { "cpu": "1", "memory": "1Gi" } }));
    assert_eq!(hash::container(&one), 17_906_234_370_897_262_676);
    let other_order = text.replace("{name: web, image: 'web:1'}", "{image: 'web:1', name: web}");
    assert_eq!(of(&other_order), of(text), "order of keys says nothing");
    let null =
        text.replace("{name: web, image: 'web:1'}", "{name: web, image: 'web:1', tty: null}");
    assert_eq!(of(&null), of(text), "null is absent");
    let replicas = text.replace("spec:\n  selector", "spec:\n  replicas: 5\n  selector");
    assert_eq!(of(&replicas), of(text), "replicas are not the template");
    assert_ne!(of(&text.replace("web:1", "web:2")), of(text));
    assert_ne!(of(&text.replace("image: 'web:1'", "image: 'web:1', tty: false")), of(text));
}

#[test]
fn times_are_written_as_rfc_3339() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (4_102_444_799, "2099-12-31T23:59:59Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(status::rfc3339(seconds), text);
    }
}

#[test]
fn a_variable_keeps_its_empty_value() {
    let given = json!({ "name": "X", "value": "" });
    let variable: EnvVar = serde_json::from_value(given.clone()).expect("variable");
    assert_eq!(serde_json::to_value(&variable).expect("json"), given);
}
