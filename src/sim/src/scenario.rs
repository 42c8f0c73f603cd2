//! The pod of a seed, and how bad its world is.

use crate::random::Random;
use pod::Pod;
use serde_json::{Value, json};

/// One seed's pod and faults, all in percent of the occasions.
pub(crate) struct Scenario {
    pub(crate) pod: Pod,
    /// Faults end here; in milliseconds.
    pub(crate) calm_at: u64,
    /// The pod is deleted here.
    pub(crate) delete_at: u64,
    pub(crate) delete_grace_ms: Option<u64>,
    pub(crate) action_fails: u64,
    pub(crate) supervisor_dies: u64,
    pub(crate) container_crashes: u64,
    pub(crate) sandbox_breaks: u64,
    pub(crate) ignores_signal: u64,
    pub(crate) probe_fails: u64,
    pub(crate) max_delay_ms: u64,
}

fn probe(random: &mut Random) -> Value {
    json!({
        "tcpSocket": { "port": 80 },
        "initialDelaySeconds": random.between(0, 5),
        "periodSeconds": random.between(2, 20),
        "failureThreshold": random.between(1, 3),
    })
}

fn container(random: &mut Random, name: &str, probes: bool) -> Value {
    let mut out = json!({ "name": name, "image": "web:1" });
    if probes && random.chance(40) {
        out["startupProbe"] = probe(random);
    }
    if probes && random.chance(40) {
        out["livenessProbe"] = probe(random);
    }
    if probes && random.chance(40) {
        out["readinessProbe"] = probe(random);
    }
    out
}

/// Makes the scenario of a seed.
pub(crate) fn make(random: &mut Random) -> Scenario {
    let mut inits = Vec::new();
    for index in 0..random.between(0, 3) {
        let sidecar = random.chance(40);
        let mut init = container(random, &format!("init{index}"), sidecar);
        if sidecar {
            init["restartPolicy"] = "Always".into();
        }
        inits.push(init);
    }
    let mains: Vec<Value> = (0..random.between(1, 3))
        .map(|index| container(random, &format!("main{index}"), true))
        .collect();
    let policy = random.pick(&["Always", "Always", "OnFailure", "Never"]);
    let mut spec = json!({
        "containers": mains,
        "initContainers": inits,
        "restartPolicy": policy,
        "terminationGracePeriodSeconds": random.between(0, 10),
    });
    if random.chance(10) {
        spec["activeDeadlineSeconds"] = random.between(30, 600).into();
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "uid": "u" }, "spec": spec,
    });
    let pod: Pod = serde_json::from_value(object).unwrap_or_default();
    let calm_at = random.between(60_000, 900_000);
    let early = random.chance(30);
    let delete_at = if early { random.between(1, calm_at) } else { calm_at + 600_000 };
    Scenario {
        pod,
        calm_at,
        delete_at,
        delete_grace_ms: random.chance(50).then(|| random.between(0, 20_000)),
        action_fails: random.pick(&[0, 5, 20]),
        supervisor_dies: random.pick(&[0, 1, 5, 15]),
        container_crashes: random.pick(&[0, 30, 80]),
        sandbox_breaks: random.pick(&[0, 0, 20]),
        ignores_signal: random.pick(&[0, 30, 100]),
        probe_fails: random.pick(&[0, 10, 50]),
        max_delay_ms: random.pick(&[0, 20, 3_000]),
    }
}
