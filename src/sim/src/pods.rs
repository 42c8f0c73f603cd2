//! One pod through faults, calm and deletion.

use crate::oracle::Oracle;
use crate::random::Random;
use crate::scenario::{self, Scenario};
use crate::world::{Event, World};
use crate::{Bug, Failure, Summary};
use pod::{Action, Outcome, PodMemory, PodObserved, PodStatusCore};
use std::collections::BTreeSet;

/// Decisions at one and the same time that count as a livelock.
const MAX_DECISIONS_AT_ONCE: u64 = 200;
/// Time after the deletion within which everything must be gone, in milliseconds.
const GONE_WITHIN_MS: u64 = 400_000;

struct Driver {
    scenario: Scenario,
    world: World,
    oracle: Oracle,
    bug: Bug,
    /// The supervisor lives.
    up: bool,
    memory: PodMemory,
    durable: PodMemory,
    in_flight: BTreeSet<Action>,
    status: Option<PodStatusCore>,
    finished: bool,
    summary: Summary,
    story: Vec<String>,
    at_once: (u64, u64),
}

/// Runs a seed.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run(seed: u64, bug: Bug) -> Result<Summary, Failure> {
    let mut random = Random::new(seed);
    let scenario = scenario::make(&mut random);
    let mut driver = Driver {
        scenario,
        world: World::new(random),
        oracle: Oracle::default(),
        bug,
        up: true,
        memory: PodMemory::default(),
        durable: PodMemory::default(),
        in_flight: BTreeSet::new(),
        status: None,
        finished: false,
        summary: Summary::default(),
        story: Vec::new(),
        at_once: (0, 0),
    };
    driver.live().map_err(|what| Failure {
        seed,
        at: driver.world.now,
        what,
        story: std::mem::take(&mut driver.story),
    })?;
    driver.summary.starts = driver.oracle.starts;
    Ok(driver.summary)
}

impl Driver {
    fn tell(&mut self, line: impl FnOnce() -> String) {
        self.story.push(format!("{:>9} {}", self.world.now, line()));
    }

    fn live(&mut self) -> Result<(), String> {
        let delete_at = self.scenario.delete_at;
        let spec = serde_json::to_string(&self.scenario.pod.spec).unwrap_or_default();
        self.tell(|| spec);
        self.world.at(1_000, Event::Boot);
        self.world.at(delete_at, Event::Delete);
        while !self.finished {
            let Some(((time, _), event)) = self.world.queue.pop_first() else {
                return Err("nothing more happens, and the pod is not gone".to_owned());
            };
            self.world.now = time;
            if time > delete_at.max(self.scenario.calm_at) + GONE_WITHIN_MS {
                return Err("deleted long ago, and not gone".to_owned());
            }
            self.happen(event)?;
            self.oracle.look(&self.world)?;
            if self.up && !self.finished {
                self.decide()?;
            }
            self.oracle.look(&self.world)?;
        }
        let left = self.world.containers.len();
        if left > 0 || self.world.sandbox != pod::SandboxState::Absent {
            return Err(format!("finished, and {left} containers or a sandbox are left"));
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        if event != Event::Wake {
            self.tell(|| format!("{event:?}"));
        }
        match event {
            Event::Effect(action) => self.effect(action)?,
            Event::Completion(action, outcome) => {
                // Late: handed out by a supervisor that is dead.
                if self.up && self.in_flight.remove(&action) {
                    let now = self.world.now;
                    pod::absorb(&mut self.memory, &action, &outcome, now);
                }
            }
            Event::Exit(name, attempt, code) => {
                self.world.exit(&name, attempt, code);
            }
            Event::SandboxBreaks => {
                if self.world.now < self.scenario.calm_at {
                    self.world.break_sandbox();
                }
            }
            Event::Boot => {
                self.up = true;
                // Through the form in which it is stored.
                let stored = serde_json::to_string(&self.durable).map_err(|e| e.to_string())?;
                self.memory = serde_json::from_str(&stored).map_err(|e| e.to_string())?;
            }
            Event::Delete => self.delete()?,
            Event::Wake => {}
        }
        Ok(())
    }

    fn effect(&mut self, action: Action) -> Result<(), String> {
        self.oracle.takes_effect(&action, &self.world, &self.scenario, &self.durable)?;
        let outcome = self.world.effect(&action, &self.scenario);
        let now = self.world.now;
        match (&action, &outcome) {
            (Action::StartContainer { container, attempt }, Outcome::Failed { reason, .. })
                if reason.is_attempt() =>
            {
                self.oracle.start_error(container, *attempt, now);
            }
            (Action::StopContainer { container, attempt }, outcome) => {
                let sent_at = (*outcome == Outcome::Ok).then_some(now);
                self.oracle.signal(container, *attempt, sent_at);
            }
            _ => {}
        }
        self.world.after(self.scenario.max_delay_ms, Event::Completion(action, outcome));
        Ok(())
    }

    /// A person asks; the request is durable before it is answered, and asked again until then.
    fn delete(&mut self) -> Result<(), String> {
        if self.up {
            self.check_calm()?;
            pod::request_delete(&mut self.memory, self.scenario.delete_grace_ms, self.world.now);
            self.persist();
            self.oracle.deleted = true;
        } else {
            self.world.at(self.world.now + 5_000, Event::Delete);
        }
        Ok(())
    }

    /// Long after the last fault the pod is ready, or has ended for good.
    fn check_calm(&mut self) -> Result<(), String> {
        if self.world.now < self.scenario.calm_at + 500_000 {
            return Ok(());
        }
        let Some(status) = &self.status else { return Err("no status".to_owned()) };
        self.oracle.counts(status)?;
        if status.is_ready() || status.phase.is_final() {
            return Ok(());
        }
        Err(format!("calm for long, and neither ready nor over: {status:?}"))
    }

    fn persist(&mut self) {
        if self.bug != Bug::ForgetMemory {
            self.durable = self.memory.clone();
        }
    }

    fn dies(&mut self) -> bool {
        let faulty = self.world.now < self.scenario.calm_at;
        if !faulty || !self.world.random.chance(self.scenario.supervisor_dies) {
            return false;
        }
        self.tell(|| "the supervisor dies".to_owned());
        self.up = false;
        self.summary.kills += 1;
        self.in_flight.clear();
        self.world.supervisor_died();
        self.world.at(self.world.now + 1_000, Event::Boot);
        true
    }

    fn decide(&mut self) -> Result<(), String> {
        let now = self.world.now;
        self.at_once = if self.at_once.0 == now { (now, self.at_once.1 + 1) } else { (now, 0) };
        if self.at_once.1 > MAX_DECISIONS_AT_ONCE {
            return Err("decides without end".to_owned());
        }
        let seen = PodObserved {
            sandbox: self.world.sandbox.clone(),
            containers: self.world.containers.clone(),
            in_flight: match self.bug {
                Bug::ForgetInFlight => BTreeSet::new(),
                _ => self.in_flight.clone(),
            },
        };
        match self.bug {
            Bug::ForgetBackoff => self.memory.containers.values_mut().for_each(|m| m.crashes = 0),
            Bug::ForgetDeletion => self.memory.deletion = None,
            _ => {}
        }
        let decision = pod::decide_pod(&self.scenario.pod, &seen, &mut self.memory, now);
        self.summary.decisions += 1;
        if self.dies() {
            return Ok(());
        }
        self.persist();
        self.finished = decision.finished;
        self.status = Some(decision.status);
        for action in decision.actions {
            if self.dies() {
                return Ok(());
            }
            self.oracle.handed_out(&action, &self.in_flight, now)?;
            self.summary.actions += 1;
            if !matches!(action, Action::Probe { .. }) {
                self.tell(|| format!("-> {action:?}"));
            }
            self.in_flight.insert(action.clone());
            self.world.after(self.scenario.max_delay_ms, Event::Effect(action));
        }
        if let Some(at) = decision.wake_at {
            let queued = self.world.queue.range(..=(at, u64::MAX)).any(|(_, e)| *e == Event::Wake);
            if !queued {
                self.world.at(at, Event::Wake);
            }
        }
        Ok(())
    }
}
