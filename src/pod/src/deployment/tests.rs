//! Tables: Deployment + pods -> what is made and what is deleted.

use super::*;
use serde_json::{Value, json};

fn deployment(spec: Value) -> Deployment {
    let mut wanted = json!({
        "replicas": 3,
        "selector": { "matchLabels": { "app": "web" } },
        "template": {
            "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
        },
    });
    for (key, value) in spec.as_object().expect("object") {
        wanted[key] = value.clone();
    }
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": wanted,
    });
    serde_json::from_value(object).expect("deployment")
}

/// A Deployment, its pods and the clock.
struct World {
    deployment: Deployment,
    memory: DeploymentMemory,
    pods: Vec<OwnedPod>,
    now: Millis,
    serial: u32,
}

impl World {
    fn new(spec: Value) -> World {
        World {
            deployment: deployment(spec),
            memory: DeploymentMemory::default(),
            pods: Vec::new(),
            now: 1_000,
            serial: 0,
        }
    }

    fn decide(&mut self) -> DeploymentDecision {
        decide_deployment(&self.deployment, &self.pods, &mut self.memory, self.now)
    }

    /// Does what is decided; `(made, deleted)`.
    fn step(&mut self) -> (usize, usize) {
        let decision = self.decide();
        for wanted in &decision.create {
            self.serial += 1;
            self.pods.push(OwnedPod {
                uid: format!("u{}", self.serial),
                name: format!("web-{}", self.serial),
                template_hash: wanted.template_hash.clone(),
                ready: false,
                ready_since: None,
                phase: Phase::Pending,
                created_at: self.now,
                restarts: 0,
                deletion_cost: 0,
                deleting: false,
            });
        }
        self.pods.retain(|pod| !decision.delete.contains(&pod.uid));
        (decision.create.len(), decision.delete.len())
    }

    fn ready(&mut self) {
        for pod in self.pods.iter_mut().filter(|pod| !pod.ready) {
            pod.ready = true;
            pod.ready_since = Some(self.now);
            pod.phase = Phase::Running;
        }
    }

    /// Steps until nothing more happens, pods becoming ready in between.
    fn settle(&mut self) {
        for _ in 0..100 {
            let quiet = self.step() == (0, 0);
            if quiet && self.pods.iter().all(|pod| pod.ready) {
                return;
            }
            self.ready();
        }
        panic!("does not settle");
    }

    fn image(&mut self, image: &str) {
        self.deployment.spec.template.spec.containers[0].image = image.to_owned();
    }

    fn of(&self, revision: u32) -> usize {
        let hash = self.memory.revisions.iter().find(|r| r.number == revision).map(|r| &r.hash);
        self.pods.iter().filter(|pod| Some(&pod.template_hash) == hash).count()
    }
}

#[test]
fn pods_are_made_in_batches_that_double() {
    let mut world = World::new(json!({ "replicas": 10 }));
    let batches: Vec<usize> = (0..5).map(|_| world.step().0).collect();
    assert_eq!(batches, [1, 2, 4, 3, 0]);
}

#[test]
fn a_host_that_makes_no_pods_is_asked_for_one_at_a_time() {
    let mut world = World::new(json!({ "replicas": 10 }));
    let asked: Vec<usize> = (0..4).map(|_| world.decide().create.len()).collect();
    assert_eq!(asked, [1, 1, 1, 1]);
    assert_eq!(world.decide().wake_at, Some(2_000));
}

/// `(replicas, surge, unavailable, wanted surge, wanted unavailable)`.
const BOUNDS: &[(u32, &str, &str, u32, u32)] = &[
    (3, "", "", 1, 0),
    (4, "", "", 1, 1),
    (10, "", "", 3, 2),
    (1, "", "", 1, 0),
    (0, "", "", 0, 1),
    (10, "2", "0", 2, 0),
    (10, "0", "50%", 0, 5),
    (10, "0", "5%", 0, 1),
    (3, "100%", "100%", 3, 3),
];

#[test]
fn surge_rounds_up_and_unavailability_down() {
    for (replicas, surge, gone, up, down) in BOUNDS {
        let value = |text: &str| text.parse::<u32>().map_or(json!(text), |n| json!(n));
        let mut rolling = json!({});
        if !surge.is_empty() {
            rolling = json!({ "maxSurge": value(surge), "maxUnavailable": value(gone) });
        }
        let spec = json!({ "replicas": replicas, "strategy": { "rollingUpdate": rolling } });
        let row = (replicas, surge, gone);
        assert_eq!(deployment(spec).spec.bounds(), (*up, *down), "{row:?}");
    }
}

#[test]
fn a_rolling_update_goes_step_by_step() {
    let rolling = json!({ "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    let mut world = World::new(json!({ "strategy": rolling }));
    world.settle();
    assert_eq!((world.of(1), world.decide().status.complete), (3, true));
    world.image("web:2");
    assert_eq!(world.step(), (1, 0), "one above");
    assert_eq!(world.step(), (0, 0), "it is not ready");
    assert!(!world.decide().status.complete);
    world.ready();
    assert_eq!(world.step(), (0, 1), "an old one goes");
    assert_eq!(world.step(), (1, 0));
    world.settle();
    assert_eq!((world.of(1), world.of(2), world.pods.len()), (0, 3, 3));
    let status = world.decide().status;
    assert!(status.complete && status.revision == 2 && status.updated_replicas == 3, "{status:?}");
}

#[test]
fn without_surge_old_pods_go_first() {
    let rolling = json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } });
    let mut world = World::new(json!({ "strategy": rolling }));
    world.settle();
    world.image("web:2");
    assert_eq!(world.step(), (0, 1));
    assert_eq!(world.step(), (1, 0));
    assert_eq!(world.step(), (0, 0), "the new one is not ready");
    world.settle();
    assert_eq!(world.of(2), 3);
}

#[test]
fn unhealthy_old_pods_go_first_and_a_broken_template_stops_the_rollout() {
    let mut world = World::new(json!({}));
    world.settle();
    world.pods[1].ready = false;
    world.pods[1].ready_since = None;
    let broken = world.pods[1].uid.clone();
    world.image("web:2");
    assert_eq!(world.step(), (1, 0));
    assert_eq!(world.step(), (0, 0), "two of three are available, and the new one is missing");
    world.pods.retain(|pod| pod.uid != broken);
    for _ in 0..10 {
        world.step();
    }
    let old: Vec<_> = world.pods.iter().filter(|pod| pod.ready).collect();
    assert_eq!(old.len(), 2, "no available pod is given up for one that never is");
}

#[test]
fn min_ready_seconds_hold_availability_back() {
    let mut world = World::new(json!({ "replicas": 1, "minReadySeconds": 10 }));
    world.step();
    world.ready();
    let decision = world.decide();
    assert_eq!((decision.status.ready_replicas, decision.status.available_replicas), (1, 0));
    assert_eq!(decision.wake_at, Some(11_000));
    world.now = 11_000;
    assert_eq!(world.decide().status.available_replicas, 1);
}

#[test]
fn recreate_waits_until_the_old_are_gone() {
    let mut world = World::new(json!({ "strategy": { "type": "Recreate" } }));
    world.settle();
    world.image("web:2");
    let decision = world.decide();
    assert_eq!((decision.create.len(), decision.delete.len()), (0, 3));
    world.pods.iter_mut().for_each(|pod| pod.deleting = true);
    assert_eq!(world.step(), (0, 0), "told to go is not gone");
    world.pods.clear();
    assert_eq!(world.step().0, 1);
    world.settle();
    assert_eq!((world.of(2), world.pods.len()), (3, 3));
}

#[test]
fn a_roll_back_takes_the_old_revision_up_again() {
    let mut world = World::new(json!({}));
    world.settle();
    world.image("web:2");
    world.step();
    world.image("web:1");
    world.settle();
    assert_eq!(
        (world.memory.revisions.len(), world.memory.current().map(|r| r.number)),
        (2, Some(3))
    );
    assert_eq!((world.of(3), world.pods.len()), (3, 3));
}

#[test]
fn history_is_kept_to_its_limit() {
    let mut world = World::new(json!({ "revisionHistoryLimit": 1 }));
    for image in ["web:1", "web:2", "web:3", "web:4"] {
        world.image(image);
        world.settle();
    }
    let numbers: Vec<u32> = world.memory.revisions.iter().map(|r| r.number).collect();
    assert_eq!(numbers, [3, 4]);
}

#[test]
fn paused_scales_and_rolls_nothing_out() {
    let mut world = World::new(json!({}));
    world.settle();
    world.deployment.spec.paused = Some(true);
    world.image("web:2");
    world.deployment.spec.replicas = Some(5);
    world.settle();
    assert_eq!((world.of(1), world.pods.len()), (5, 5));
    world.deployment.spec.replicas = Some(2);
    world.settle();
    assert_eq!((world.of(1), world.pods.len()), (2, 2));
    world.deployment.spec.paused = None;
    world.settle();
    assert_eq!((world.of(2), world.pods.len()), (2, 2));
}

#[test]
fn no_progress_is_told_after_the_deadline() {
    let mut world = World::new(json!({ "progressDeadlineSeconds": 60 }));
    for _ in 0..5 {
        world.step();
    }
    assert_eq!(world.decide().wake_at, Some(61_000));
    world.now = 61_000;
    let status = world.decide().status;
    let progressing = &status.conditions[1];
    assert_eq!(
        (progressing.value, progressing.reason.as_deref()),
        (false, Some("ProgressDeadlineExceeded"))
    );
}

#[test]
fn finished_pods_are_replaced() {
    let mut world = World::new(json!({}));
    world.settle();
    world.pods[0].phase = Phase::Failed;
    let decision = world.decide();
    assert_eq!((decision.create.len(), decision.delete.len()), (1, 1));
}

/// Changes to the second of two equal pods that make it go first.
#[test]
fn deletions_are_ranked() {
    type Change = fn(&mut OwnedPod);
    let changes: [(&str, Change); 6] = [
        ("pending", |pod| pod.phase = Phase::Pending),
        ("not ready", |pod| pod.ready = false),
        ("cheaper", |pod| pod.deletion_cost = -1),
        ("ready for less time", |pod| pod.ready_since = Some(5_000)),
        ("more restarts", |pod| pod.restarts = 1),
        ("newer", |pod| pod.created_at = 5_000),
    ];
    for (name, change) in changes {
        let mut world = World::new(json!({ "replicas": 3 }));
        world.settle();
        change(&mut world.pods[1]);
        world.deployment.spec.replicas = Some(2);
        assert_eq!(world.decide().delete, ["u2"], "{name}");
    }
}

#[test]
fn a_pod_is_made_from_a_template() {
    let mut world = World::new(json!({}));
    world.deployment.metadata.name = "a".repeat(80);
    world.deployment.metadata.namespace = Some("team".to_owned());
    let hash = world.decide().create[0].template_hash.clone();
    let template = world.memory.template(&hash).expect("template");
    let pod = world.deployment.pod(template, "x7k2p", "uid");
    assert_eq!((pod.metadata.name.len(), pod.metadata.namespace()), (63, "team"));
    assert!(pod.metadata.name.ends_with("-x7k2p"));
    assert_eq!(pod.metadata.labels["app"], "web");
    assert_eq!(pod.metadata.owner_references[0].kind, "Deployment");
}
