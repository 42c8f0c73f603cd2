//! A Deployment through template changes, scaling, failing pods and kills of the supervisor.

use crate::random::Random;
use crate::{Bug, Failure, Summary};
use pod::deployment::DeploymentStatus;
use pod::{Deployment, DeploymentMemory, OwnedPod, Phase};
use serde_json::json;

struct Member {
    pod: OwnedPod,
    /// When it becomes ready.
    ready_at: u64,
    /// When it is gone, once deleted.
    gone_at: Option<u64>,
}

struct Driver {
    random: Random,
    now: u64,
    deployment: Deployment,
    members: Vec<Member>,
    memory: DeploymentMemory,
    durable: DeploymentMemory,
    serial: u64,
    bug: Bug,
    summary: Summary,
    story: Vec<String>,
}

const STEP_MS: u64 = 500;
const CALM_STEP_MS: u64 = 5_000;
const CALM_AT: u64 = 150_000;
const END_AT: u64 = 750_000;

/// Runs a seed.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run(seed: u64, bug: Bug) -> Result<Summary, Failure> {
    let mut random = Random::new(seed ^ 0xd0d0);
    let kind = if random.chance(20) { "Recreate" } else { "RollingUpdate" };
    let mut strategy = json!({ "type": kind });
    if kind == "RollingUpdate" && random.chance(70) {
        let surge = random.between(0, 3);
        let gone = if surge == 0 { random.between(1, 3) } else { random.between(0, 3) };
        strategy["rollingUpdate"] = json!({ "maxSurge": surge, "maxUnavailable": gone });
    }
    let spec = json!({
        "replicas": random.between(0, 12),
        "selector": { "matchLabels": { "app": "web" } },
        "template": {
            "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
        },
        "strategy": strategy,
        "minReadySeconds": random.pick(&[0, 0, 5]),
    });
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": spec,
    });
    let mut driver = Driver {
        random,
        now: 1_000,
        deployment: serde_json::from_value(object).unwrap_or_default(),
        members: Vec::new(),
        memory: DeploymentMemory::default(),
        durable: DeploymentMemory::default(),
        serial: 0,
        bug,
        summary: Summary::default(),
        story: Vec::new(),
    };
    driver.live().map_err(|what| Failure {
        seed,
        at: driver.now,
        what,
        story: std::mem::take(&mut driver.story),
    })?;
    Ok(driver.summary)
}

impl Driver {
    fn tell(&mut self, line: String) {
        self.story.push(format!("{:>9} {line}", self.now));
    }

    fn live(&mut self) -> Result<(), String> {
        let mut status = DeploymentStatus::default();
        while self.now < END_AT {
            self.now += if self.now < CALM_AT { STEP_MS } else { CALM_STEP_MS };
            if self.now < CALM_AT {
                self.disturb();
            }
            self.members.retain(|m| m.gone_at.is_none_or(|at| at > self.now));
            for member in &mut self.members {
                let ready = !member.pod.phase.is_final() && self.now >= member.ready_at;
                if ready && !member.pod.ready {
                    member.pod.ready_since = Some(self.now);
                    member.pod.phase = Phase::Running;
                }
                member.pod.ready = ready;
            }
            status = self.decide()?;
        }
        let wanted = self.deployment.spec.replicas();
        if status.complete && self.members.len() as u32 == wanted {
            return Ok(());
        }
        Err(format!("calm for long, and not complete: {status:?}"))
    }

    fn disturb(&mut self) {
        if self.random.chance(1) {
            let tag = self.random.between(1, 4);
            self.tell(format!("image web:{tag}"));
            self.deployment.spec.template.spec.containers[0].image = format!("web:{tag}");
        }
        if self.random.chance(1) {
            let replicas = self.random.between(0, 12) as u32;
            self.tell(format!("replicas {replicas}"));
            self.deployment.spec.replicas = Some(replicas);
        }
        if !self.members.is_empty() && self.random.chance(5) {
            let index = self.random.between(0, self.members.len() as u64 - 1) as usize;
            let late = self.random.between(1_000, 60_000);
            let member = &mut self.members[index];
            if self.random.chance(20) {
                member.pod.phase = Phase::Failed;
            }
            member.pod.ready = false;
            member.pod.ready_since = None;
            member.pod.restarts += 1;
            member.ready_at = self.now + late;
        }
        if self.random.chance(3) {
            self.summary.kills += 1;
            self.memory = self.durable.clone();
        }
    }

    fn decide(&mut self) -> Result<DeploymentStatus, String> {
        let mut owned: Vec<OwnedPod> = self.members.iter().map(|m| m.pod.clone()).collect();
        if self.bug == Bug::ForgetInFlight {
            // Pods that are not ready yet are not seen.
            owned.retain(|pod| pod.ready);
        }
        let decision = pod::decide_deployment(&self.deployment, &owned, &mut self.memory, self.now);
        self.summary.decisions += 1;
        if self.now < CALM_AT && self.random.chance(3) {
            self.memory = self.durable.clone();
            return Ok(decision.status);
        }
        self.durable = self.memory.clone();
        let before = self.available();
        for uid in &decision.delete {
            let late = self.random.between(0, 20_000);
            let gone_at = self.now + late;
            if let Some(member) = self.members.iter_mut().find(|m| m.pod.uid == *uid) {
                member.pod.deleting = true;
                member.gone_at = Some(gone_at);
            }
            self.story.push(format!("{:>9} delete {uid}", self.now));
        }
        self.check_available(before)?;
        for wanted in &decision.create {
            self.make(&wanted.template_hash);
        }
        self.check_surge(!decision.create.is_empty())?;
        self.summary.actions += (decision.create.len() + decision.delete.len()) as u64;
        Ok(decision.status)
    }

    fn make(&mut self, hash: &str) {
        self.serial += 1;
        let uid = format!("u{}", self.serial);
        self.tell(format!("create {uid} {hash}"));
        let late = self.random.between(500, 20_000);
        let pod = OwnedPod {
            name: uid.clone(),
            uid,
            template_hash: hash.to_owned(),
            ready: false,
            ready_since: None,
            phase: Phase::Pending,
            created_at: self.now,
            restarts: 0,
            deletion_cost: 0,
            deleting: false,
        };
        self.members.push(Member { pod, ready_at: self.now + late, gone_at: None });
    }

    fn active(&self) -> impl Iterator<Item = &OwnedPod> {
        let pods = self.members.iter().map(|member| &member.pod);
        pods.filter(|pod| !pod.deleting && !pod.phase.is_final())
    }

    fn available(&self) -> u32 {
        let wait = u64::from(self.deployment.spec.min_ready_seconds.unwrap_or(0)) * 1000;
        let ready = |pod: &&OwnedPod| pod.ready_since.is_some_and(|at| at + wait <= self.now);
        self.active().filter(ready).count() as u32
    }

    fn check_available(&self, before: u32) -> Result<(), String> {
        let recreate =
            self.deployment.spec.strategy_type() == pod::manifest::StrategyType::Recreate;
        let (_, gone) = self.deployment.spec.bounds();
        let least = self.deployment.spec.replicas().saturating_sub(gone);
        let after = self.available();
        if recreate || after >= least.min(before) {
            return Ok(());
        }
        Err(format!("{after} available after a deletion, {before} before, {least} promised"))
    }

    fn check_surge(&self, made: bool) -> Result<(), String> {
        let recreate =
            self.deployment.spec.strategy_type() == pod::manifest::StrategyType::Recreate;
        let hashes: std::collections::BTreeSet<&str> =
            self.members.iter().map(|m| m.pod.template_hash.as_str()).collect();
        let (surge, _) = self.deployment.spec.bounds();
        let most = self.deployment.spec.replicas() + if recreate { 0 } else { surge };
        let have = self.active().count() as u32;
        if made && have > most {
            return Err(format!("{have} pods after a creation, at most {most} promised"));
        }
        let newest = self.memory.current().map(|r| r.hash.as_str()).unwrap_or_default();
        if made && recreate && hashes.contains(newest) && hashes.len() > 1 {
            return Err("Recreate runs two revisions side by side".to_owned());
        }
        Ok(())
    }
}
