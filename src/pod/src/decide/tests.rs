//! Tables: spec + listing + memory -> actions, state, wake-up. One row is one turn.
//!
//! A short language keeps rows readable. Listing: `a0+` runs, `a0-3` exited with 3, `a0!` was
//! killed for memory. Actions: `+a0` start, `.a0` stop, `xa0` kill, `~a0` remove, `?La0` liveness
//! probe, `S+` and `S-` sandbox.

use super::*;
use crate::memory::Stop;
use crate::state::{ExitInfo, Outcome, ProbeKind, Reason};
use crate::status::{ContainerState, Phase};
use serde_json::{Value, json};
use std::collections::BTreeSet;

mod lives;
mod rows;

fn pod(spec: Value) -> Pod {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": spec,
    });
    serde_json::from_value(object).expect("pod")
}

/// `a,b | i,s*` : main containers `a` and `b`, init container `i`, sidecar `s`.
fn spec(text: &str) -> Value {
    let (mains, inits) = text.split_once('|').unwrap_or((text, ""));
    let list = |text: &str| -> Vec<Value> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let one = |name: &str| {
            let mut out = json!({ "name": name.trim_end_matches('*'), "image": "i:1" });
            if name.ends_with('*') {
                out["restartPolicy"] = "Always".into();
            }
            out
        };
        names.map(one).collect()
    };
    json!({ "containers": list(mains), "initContainers": list(inits) })
}

const SINCE: Millis = 1_000;

fn listed(text: &str, now: Millis) -> Vec<((String, u32), ContainerObserved)> {
    let entry = |word: &str| {
        let at = word.find(|c: char| c.is_ascii_digit()).expect("attempt");
        let end = word.find(['+', '-', '!']).expect("state");
        let key = (word[..at].to_owned(), word[at..end].parse().expect("attempt"));
        let exit = |code, oom_killed| {
            ContainerObserved::Exited(ExitInfo {
                code,
                signal: None,
                oom_killed,
                started_at: SINCE,
                finished_at: now,
                message: None,
            })
        };
        let state = match &word[end..] {
            "+" => ContainerObserved::Running { started_at: SINCE, pid: 7 },
            "!" => exit(137, true),
            code => exit(code[1..].parse().expect("code"), false),
        };
        (key, state)
    };
    text.split_whitespace().map(entry).collect()
}

fn word(action: &Action) -> String {
    let target = action.target().map(|(name, attempt)| format!("{name}{attempt}"));
    let target = target.unwrap_or_default();
    match action {
        Action::CreateSandbox => "S+".to_owned(),
        Action::RemoveSandbox => "S-".to_owned(),
        Action::StartContainer { .. } => format!("+{target}"),
        Action::StopContainer { .. } => format!(".{target}"),
        Action::KillContainer { .. } => format!("x{target}"),
        Action::RemoveContainer { .. } => format!("~{target}"),
        Action::Probe { kind, .. } => format!("?{}{target}", &format!("{kind:?}")[..1]),
    }
}

fn parse_action(word: &str) -> Action {
    let split = |rest: &str| {
        let at = rest.find(|c: char| c.is_ascii_digit()).expect("attempt");
        (rest[..at].to_owned(), rest[at..].parse().expect("attempt"))
    };
    match word {
        "S+" => return Action::CreateSandbox,
        "S-" => return Action::RemoveSandbox,
        _ => {}
    }
    if let Some(rest) = word.strip_prefix('?') {
        let kind = match &rest[..1] {
            "L" => ProbeKind::Liveness,
            "R" => ProbeKind::Readiness,
            _ => ProbeKind::Startup,
        };
        let (container, attempt) = split(&rest[1..]);
        return Action::Probe { container, attempt, kind };
    }
    let (container, attempt) = split(&word[1..]);
    match &word[..1] {
        "+" => Action::StartContainer { container, attempt },
        "." => Action::StopContainer { container, attempt },
        "x" => Action::KillContainer { container, attempt },
        _ => Action::RemoveContainer { container, attempt },
    }
}

/// A pod, its memory and the clock; each turn is one decision.
struct Life {
    pod: Pod,
    memory: PodMemory,
    now: Millis,
    sandbox: SandboxState,
    in_flight: BTreeSet<Action>,
    last: Option<PodDecision>,
}

impl Life {
    fn new(spec: Value) -> Life {
        Life {
            pod: pod(spec),
            memory: PodMemory::default(),
            now: SINCE,
            sandbox: SandboxState::Ready { ip: None },
            in_flight: BTreeSet::new(),
            last: None,
        }
    }

    /// Decides over a listing; the actions as words.
    fn turn(&mut self, text: &str) -> String {
        let seen = PodObserved {
            sandbox: self.sandbox.clone(),
            containers: listed(text, self.now).into_iter().collect(),
            in_flight: self.in_flight.clone(),
        };
        let decision = decide_pod(&self.pod, &seen, &mut self.memory, self.now);
        let again = decide_pod(&self.pod, &seen, &mut self.memory.clone(), self.now);
        let words: Vec<String> = decision.actions.iter().map(word).collect();
        assert_eq!(again.status, decision.status, "a second look at the same differs");
        self.last = Some(decision);
        words.join(" ")
    }

    fn at(&mut self, now: Millis, text: &str) -> String {
        self.now = now;
        self.turn(text)
    }

    fn done(&mut self, action: &str, outcome: &Outcome) {
        absorb(&mut self.memory, &parse_action(action), outcome, self.now);
    }

    fn ok(&mut self, action: &str) {
        self.done(action, &Outcome::Ok);
    }

    fn fails(&mut self, action: &str, reason: Reason) {
        self.done(action, &Outcome::Failed { reason, message: "why".to_owned() });
    }

    fn probed(&mut self, action: &str, success: bool) {
        self.done(action, &Outcome::Probe { success, message: "out".to_owned() });
    }

    fn decision(&self) -> &PodDecision {
        self.last.as_ref().expect("a turn")
    }

    fn phase(&self) -> Phase {
        self.decision().status.phase
    }

    fn wake(&self) -> Option<Millis> {
        self.decision().wake_at
    }

    /// Reason of a waiting or terminated container; `Running`.
    fn state(&self, name: &str) -> String {
        let status = &self.decision().status;
        let mut all = status.init_containers.iter().chain(&status.containers);
        match &all.find(|c| c.name == name).expect("container").state {
            ContainerState::Waiting { reason, .. } => reason.clone(),
            ContainerState::Running { .. } => "Running".to_owned(),
            ContainerState::Terminated(end) => end.reason.clone(),
        }
    }
}

fn stop(attempt: u32, cause: StopCause, decided_at: Millis, deadline: Millis) -> Stop {
    Stop {
        attempt,
        cause,
        decided_at,
        deadline,
        signalled_at: None,
        killed_at: None,
        error: None,
        failed_at: None,
        retry_at: 0,
    }
}
