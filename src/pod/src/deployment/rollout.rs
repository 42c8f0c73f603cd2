//! Moving the wanted numbers of the revisions, and telling how far it is.

use super::{Count, DeploymentStatus, Turn};
use crate::manifest::StrategyType;
use crate::status::Condition;

/// Moves the wanted numbers by one step.
pub(super) fn roll(turn: &mut Turn<'_>) {
    let replicas = turn.deployment.spec.replicas();
    if turn.deployment.spec.paused == Some(true) {
        scale(turn, replicas);
    } else if turn.deployment.spec.strategy_type() == StrategyType::Recreate {
        recreate(turn, replicas);
    } else {
        rolling(turn, replicas);
    }
    turn.memory.replicas = Some(replicas);
}

/// Paused: only a change of `replicas` has an effect, on the newest revisions first.
fn scale(turn: &mut Turn<'_>, replicas: u32) {
    let total: u32 = turn.memory.revisions.iter().map(|r| r.wanted).sum();
    let first = turn.memory.replicas.is_none();
    if turn.memory.replicas == Some(replicas) {
        return;
    }
    if first || replicas > total {
        if let Some(last) = turn.memory.revisions.last_mut() {
            last.wanted += replicas.saturating_sub(total);
        }
        return;
    }
    let mut over = total - replicas;
    for revision in &mut turn.memory.revisions {
        let less = revision.wanted.min(over);
        revision.wanted -= less;
        over -= less;
    }
}

fn recreate(turn: &mut Turn<'_>, replicas: u32) {
    let Some((new, old)) = turn.memory.revisions.split_last_mut() else { return };
    old.iter_mut().for_each(|revision| revision.wanted = 0);
    // Old pods must be gone, not only told to go.
    let gone = turn.owned.iter().all(|pod| pod.template_hash == new.hash);
    if gone || new.wanted > 0 {
        new.wanted = replicas;
    }
}

fn rolling(turn: &mut Turn<'_>, replicas: u32) {
    let (surge, gone) = turn.deployment.spec.bounds();
    let counts: Vec<Count> = turn.memory.revisions.iter().map(|r| turn.count(&r.hash)).collect();
    let total: u32 = turn.memory.revisions.iter().map(|r| r.wanted).sum();
    let Some((new, old)) = turn.memory.revisions.split_last_mut() else { return };
    let Some((new_count, old_counts)) = counts.split_last() else { return };
    // Scale up within the surge, or down to `replicas`.
    let most = replicas.saturating_add(surge);
    if new.wanted > replicas {
        new.wanted = replicas;
    } else if new.wanted < replicas {
        // Pods that exist count too: a step down is not made until it is seen.
        let exist: u32 = counts.iter().map(|c| c.active).sum();
        let room = most.saturating_sub(total.max(exist));
        new.wanted += room.min(replicas - new.wanted);
    }
    // Scale down old ones: unhealthy ones first, then as availability permits.
    let least = replicas.saturating_sub(gone);
    let total = new.wanted + old.iter().map(|r| r.wanted).sum::<u32>();
    let new_missing = new.wanted.saturating_sub(new_count.available);
    let mut may_go = total.saturating_sub(least).saturating_sub(new_missing);
    for (revision, count) in old.iter_mut().zip(old_counts) {
        let unhealthy = revision.wanted.saturating_sub(count.available).min(may_go);
        revision.wanted -= unhealthy;
        may_go -= unhealthy;
    }
    let available = new_count.available
        + old.iter().zip(old_counts).map(|(r, c)| c.available.min(r.wanted)).sum::<u32>();
    let mut may_go = available.saturating_sub(least);
    for revision in old.iter_mut() {
        let less = revision.wanted.min(may_go);
        revision.wanted -= less;
        may_go -= less;
    }
}

/// Drops old revisions without pods beyond the limit.
pub(super) fn forget(turn: &mut Turn<'_>) {
    let keep = turn.deployment.spec.revision_history_limit.unwrap_or(10) as usize;
    let idle: Vec<String> = turn
        .memory
        .revisions
        .iter()
        .rev()
        .skip(1)
        .filter(|r| r.wanted == 0 && !turn.owned.iter().any(|p| p.template_hash == r.hash))
        .skip(keep)
        .map(|r| r.hash.clone())
        .collect();
    turn.memory.revisions.retain(|revision| !idle.contains(&revision.hash));
}

/// Counts, conditions and progress.
pub(super) fn status(turn: &mut Turn<'_>) -> DeploymentStatus {
    let replicas = turn.deployment.spec.replicas();
    let hash = turn.memory.current().map(|r| r.hash.clone()).unwrap_or_default();
    let mut all = Count::default();
    let mut updated = Count::default();
    for revision in &turn.memory.revisions {
        let count = turn.count(&revision.hash);
        all.active += count.active;
        all.ready += count.ready;
        all.available += count.available;
        if revision.hash == hash {
            updated = count;
        }
    }
    let coming = turn.owned.iter().filter(|p| !p.deleting).filter_map(|p| turn.available_at(p));
    if let Some(at) = coming.filter(|at| *at > turn.now).min() {
        turn.wake(at);
    }
    let complete =
        updated.active == replicas && all.active == replicas && updated.available == replicas;
    let (_, gone) = turn.deployment.spec.bounds();
    let enough = all.available >= replicas.saturating_sub(gone);
    let conditions = vec![
        condition(
            "Available",
            enough,
            if enough {
                ("MinimumReplicasAvailable", "enough pods are available".to_owned())
            } else {
                ("MinimumReplicasUnavailable", format!("{} of {replicas} available", all.available))
            },
        ),
        progress(turn, complete, &updated, all.active),
    ];
    DeploymentStatus {
        replicas: all.active,
        updated_replicas: updated.active,
        ready_replicas: all.ready,
        available_replicas: all.available,
        unavailable_replicas: replicas.max(all.active).saturating_sub(all.available),
        terminating_replicas: turn.owned.iter().filter(|p| p.deleting).count() as u32,
        revision: turn.memory.current().map_or(0, |r| r.number),
        complete,
        conditions,
    }
}

fn condition(kind: &str, value: bool, why: (&str, String)) -> Condition {
    Condition {
        kind: kind.to_owned(),
        value,
        since: 0,
        reason: Some(why.0.to_owned()),
        message: Some(why.1),
    }
}

fn progress(turn: &mut Turn<'_>, complete: bool, updated: &Count, all: u32) -> Condition {
    let mark = (updated.active, updated.available, all - updated.active);
    if turn.memory.progress != Some(mark) || turn.memory.progressed_at.is_none() {
        turn.memory.progress = Some(mark);
        turn.memory.progressed_at = Some(turn.now);
    }
    if complete {
        let why = ("NewReplicaSetAvailable", "the roll-out is complete".to_owned());
        return condition("Progressing", true, why);
    }
    if turn.deployment.spec.paused == Some(true) {
        let why = ("DeploymentPaused", "the Deployment is paused".to_owned());
        return condition("Progressing", true, why);
    }
    let seconds = turn.deployment.spec.progress_deadline_seconds.unwrap_or(600);
    let since = turn.memory.progressed_at.unwrap_or(turn.now);
    let at = since.saturating_add(u64::from(seconds) * 1000);
    if turn.now >= at {
        let why = ("ProgressDeadlineExceeded", format!("no progress for {seconds} s"));
        return condition("Progressing", false, why);
    }
    turn.wake(at);
    condition("Progressing", true, ("ReplicaSetUpdated", "the roll-out goes on".to_owned()))
}
