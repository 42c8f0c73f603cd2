//! What must hold, told from the world's own history and never from the memory under test.

use crate::scenario::Scenario;
use crate::world::World;
use pod::{Action, BackoffPolicy, ContainerObserved, PodMemory, PodStatusCore};
use std::collections::{BTreeMap, BTreeSet};

/// History of the world.
#[derive(Default)]
pub(crate) struct Oracle {
    /// `(name, attempt)` -> `(start, finish)` of every attempt that existed.
    attempts: BTreeMap<(String, u32), (u64, Option<u64>)>,
    /// Init containers that ended with 0.
    done: BTreeSet<String>,
    /// First signal to an attempt; `None` when one failed, after which nothing is promised.
    signalled: BTreeMap<(String, u32), Option<u64>>,
    pub(crate) deleted: bool,
    pub(crate) starts: u64,
}

type Verdict = Result<(), String>;

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl Oracle {
    /// An action is handed out.
    pub(crate) fn handed_out(
        &self,
        action: &Action,
        in_flight: &BTreeSet<Action>,
        now: u64,
    ) -> Verdict {
        must(!in_flight.contains(action), || format!("{action:?} is already in flight"))?;
        match action {
            Action::StartContainer { container, attempt } => {
                must(!self.deleted, || format!("start of {container} of a deleted pod"))?;
                self.backed_off(container, *attempt, now)
            }
            Action::CreateSandbox => {
                must(!self.deleted, || "a sandbox for a deleted pod".to_owned())
            }
            Action::KillContainer { container, attempt } => {
                let told = self.signalled.get(&(container.clone(), *attempt)).copied().flatten();
                must(told.is_none_or(|told| now >= told + pod::MIN_KILL_MS), || {
                    format!("{container} is killed {} ms after its signal", now - told.unwrap_or(0))
                })
            }
            _ => Ok(()),
        }
    }

    /// Ends in a row decide the wait; recomputed here from the true history.
    fn backed_off(&self, name: &str, attempt: u32, now: u64) -> Verdict {
        let policy = BackoffPolicy::default();
        let mut row = 0;
        let mut until = 0;
        for number in 0..attempt {
            let Some((start, Some(finish))) = self.attempts.get(&(name.to_owned(), number)) else {
                continue;
            };
            row = if finish - start > policy.reset_ms { 1 } else { row + 1 };
            until = finish + policy.delay_ms(row);
        }
        must(now >= until, || {
            format!("{name} attempt {attempt} starts {} ms too early", until - now)
        })
    }

    /// An action is about to take effect.
    pub(crate) fn takes_effect(
        &self,
        action: &Action,
        world: &World,
        scenario: &Scenario,
        durable: &PodMemory,
    ) -> Verdict {
        match action {
            Action::StartContainer { container, attempt } => {
                let before = attempt.checked_sub(1);
                must(
                    before.is_none_or(|b| self.attempts.contains_key(&(container.clone(), b))),
                    || format!("{container} attempt {attempt} without the one before"),
                )?;
                let init = &scenario.pod.spec.init_containers;
                let plain = init.iter().filter(|c| c.restart_policy.is_none());
                let missing =
                    plain.map(|c| &c.name).find(|name| !self.done.contains(name.as_str()));
                let main = container.starts_with("main");
                must(!main || missing.is_none(), || {
                    format!("{container} starts before {missing:?} is done")
                })
            }
            Action::RemoveContainer { container, attempt } => {
                let known = durable.containers.get(container).and_then(|m| m.last.as_ref());
                let key = (container.clone(), *attempt);
                let there = world.containers.contains_key(&key);
                let kept = known.is_some_and(|last| last.attempt >= *attempt);
                must(!there || kept, || {
                    format!("{container} attempt {attempt} is removed, its exit is not durable")
                })
            }
            _ => Ok(()),
        }
    }

    /// The stop signal was sent, or could not be sent.
    pub(crate) fn signal(&mut self, name: &str, attempt: u32, sent_at: Option<u64>) {
        let known = self.signalled.entry((name.to_owned(), attempt)).or_insert(sent_at);
        if sent_at.is_none() {
            *known = None;
        }
    }

    /// A start was reported as an ended attempt.
    pub(crate) fn start_error(&mut self, name: &str, attempt: u32, now: u64) {
        self.attempts.entry((name.to_owned(), attempt)).or_insert((now, Some(now)));
    }

    /// After every event: what lives, and since when.
    pub(crate) fn look(&mut self, world: &World) -> Verdict {
        let mut alive: BTreeSet<&str> = BTreeSet::new();
        for ((name, attempt), state) in &world.containers {
            let key = (name.clone(), *attempt);
            match state {
                ContainerObserved::Running { started_at, .. } => {
                    must(alive.insert(name), || format!("two live attempts of {name}"))?;
                    if let std::collections::btree_map::Entry::Vacant(slot) =
                        self.attempts.entry(key)
                    {
                        slot.insert((*started_at, None));
                        self.starts += 1;
                    }
                }
                ContainerObserved::Exited(exit) => {
                    let times = (exit.started_at, Some(exit.finished_at));
                    self.attempts.insert(key, times);
                    if exit.code == 0 {
                        self.done.insert(name.clone());
                    }
                }
            }
        }
        // What vanished without an exit ended at the latest now.
        for ((name, attempt), (_, finish)) in &mut self.attempts {
            if finish.is_none() && !world.containers.contains_key(&(name.clone(), *attempt)) {
                *finish = Some(world.now);
            }
        }
        Ok(())
    }

    /// After a decision in a calm world: restart counts are those of history.
    pub(crate) fn counts(&self, status: &PodStatusCore) -> Verdict {
        for container in status.init_containers.iter().chain(&status.containers) {
            let name = container.name.as_str();
            let latest = self.attempts.keys().filter(|(n, _)| n == name).map(|(_, a)| *a).max();
            must(container.restart_count == latest.unwrap_or(0), || {
                let told = container.restart_count;
                format!("{name} says {told} restarts, history says {latest:?}")
            })?;
        }
        Ok(())
    }
}
