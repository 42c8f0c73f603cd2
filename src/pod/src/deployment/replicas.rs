//! Meeting the wanted number of each revision: slow-start batches up, ranked deletions down.

use super::{OwnedPod, PodToCreate, Turn};
use crate::manifest::StrategyType;
use crate::state::Millis;
use std::cmp::Reverse;

/// Largest batch.
const MAX_BATCH: u32 = 500;
/// Wait before pods that did not come up in the list are asked for again, in milliseconds.
const CREATE_RETRY_MS: Millis = 1_000;

/// Pods to make, and uids of pods to delete.
pub(super) fn meet(turn: &mut Turn<'_>) -> (Vec<PodToCreate>, Vec<String>) {
    let mut delete: Vec<String> = finished(turn);
    let mut missing: Vec<(String, u32)> = Vec::new();
    for revision in &turn.memory.revisions {
        let have = turn.count(&revision.hash).active;
        if have > revision.wanted {
            let mut pods: Vec<&OwnedPod> = turn.active(&revision.hash).collect();
            pods.sort_by_key(|pod| rank(pod));
            let over = (have - revision.wanted) as usize;
            delete.extend(pods.iter().take(over).map(|pod| pod.uid.clone()));
        } else if have < revision.wanted {
            missing.push((revision.hash.clone(), revision.wanted - have));
        }
    }
    delete.extend(strangers(turn));
    (create(turn, missing), delete)
}

/// Lower goes first: pending, not ready, cheaper, ready for less time, more restarts, newer.
fn rank(pod: &OwnedPod) -> impl Ord + use<> {
    let pending = pod.phase == crate::status::Phase::Pending;
    (
        !pending,
        pod.ready,
        pod.deletion_cost,
        Reverse(pod.ready_since.unwrap_or(u64::MAX)),
        Reverse(pod.restarts),
        Reverse(pod.created_at),
        pod.uid.clone(),
    )
}

/// Pods that have ended for good are replaced and go.
fn finished(turn: &Turn<'_>) -> Vec<String> {
    let over = turn.owned.iter().filter(|pod| pod.phase.is_final() && !pod.deleting);
    over.map(|pod| pod.uid.clone()).collect()
}

/// Pods of a revision that is not known any more.
fn strangers(turn: &Turn<'_>) -> Vec<String> {
    let known = |hash: &str| turn.memory.revisions.iter().any(|r| r.hash == hash);
    let strangers = turn
        .owned
        .iter()
        .filter(|pod| !pod.deleting && !pod.phase.is_final() && !known(&pod.template_hash));
    strangers.map(|pod| pod.uid.clone()).collect()
}

/// How many may be made without going beyond the surge: after a change of `replicas` in the middle
/// of a roll-out the wanted numbers may add up to more for a while.
fn room(turn: &Turn<'_>, wanted: u32) -> u32 {
    let spec = &turn.deployment.spec;
    if spec.paused == Some(true) || spec.strategy_type() == StrategyType::Recreate {
        return wanted;
    }
    let (surge, _) = spec.bounds();
    let active = turn.owned.iter().filter(|pod| !pod.deleting && !pod.phase.is_final()).count();
    spec.replicas().saturating_add(surge).saturating_sub(active as u32)
}

/// As many as the batch permits: 1, 2, 4… while every pod of the batch before has come up in the
/// list. A host that cannot make pods is asked for one at a time.
fn create(turn: &mut Turn<'_>, missing: Vec<(String, u32)>) -> Vec<PodToCreate> {
    let have = turn.owned.len() as u32;
    if missing.is_empty() {
        turn.memory.batch = 0;
        turn.memory.expected = None;
        return Vec::new();
    }
    let arrived = turn.memory.expected.is_none_or(|expected| have >= expected);
    turn.memory.batch = match (turn.memory.batch, arrived) {
        (0, _) | (_, false) => 1,
        (batch, true) => (batch * 2).min(MAX_BATCH),
    };
    let wanted: u32 = missing.iter().map(|(_, count)| *count).sum();
    let room = room(turn, wanted);
    // The newest revision first: it is what is wanted.
    let list: Vec<PodToCreate> = missing
        .into_iter()
        .rev()
        .flat_map(|(template_hash, count)| {
            std::iter::repeat_n(PodToCreate { template_hash }, count as usize)
        })
        .take(turn.memory.batch.min(room) as usize)
        .collect();
    let made = list.len() as u32;
    turn.memory.expected = Some(have.saturating_add(made));
    if (made < wanted && made < room) || !arrived {
        turn.wake(if arrived { turn.now } else { turn.now.saturating_add(CREATE_RETRY_MS) });
    }
    list
}
