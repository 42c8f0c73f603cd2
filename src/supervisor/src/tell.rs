//! Events for people, in the words that users of kubectl know.

use monitor::protocol::RecordState;
use pod::manifest::Container;
use pod::memory::StopCause;
use pod::status::ContainerState;
use pod::{Action, Outcome, PodStatusCore, Reason};

use crate::listing::Listed;
use crate::serve::Supervisor;

impl Supervisor {
    fn note(&mut self, uid: &str, warning: bool, reason: &str, message: &str) {
        let Some(about) = self.world.pods.get(uid).map(|entry| entry.about()) else { return };
        self.world.note(&about, warning, reason, message);
    }

    /// An action is about to begin.
    pub(crate) fn tell_begin(&mut self, uid: &str, action: &Action) {
        let Action::StopContainer { container, .. } = action else { return };
        let memory = self.world.pods.get(uid).and_then(|p| p.memory.containers.get(container));
        let cause = memory.and_then(|memory| memory.stop.as_ref()).map(|stop| stop.cause);
        let words = match cause {
            Some(StopCause::Probe(kind)) => {
                let kind = kind.as_str();
                format!("Container {container} failed {kind} probe, will be restarted")
            }
            Some(StopCause::Replaced) => {
                format!("Container {container} definition changed, will be restarted")
            }
            _ => format!("Stopping container {container}"),
        };
        self.note(uid, false, "Killing", &words);
    }

    /// An action has ended.
    pub(crate) fn tell_outcome(&mut self, uid: &str, action: &Action, outcome: &Outcome) {
        match (action, outcome) {
            (Action::StartContainer { container, .. }, Outcome::Ok) => {
                let image = self.container(uid, container).map(|c| c.image.clone());
                let image = image.unwrap_or_default();
                let words = format!("Container image \"{image}\" already present on machine");
                self.note(uid, false, "Pulled", &words);
                self.note(uid, false, "Created", &format!("Created container: {container}"));
                self.note(uid, false, "Started", &format!("Started container {container}"));
            }
            (Action::Probe { kind, .. }, Outcome::Probe { success: false, message }) => {
                let mut name = kind.as_str().to_owned();
                name[..1].make_ascii_uppercase();
                self.note(uid, true, "Unhealthy", &format!("{name} probe failed: {message}"));
            }
            (_, Outcome::Failed { reason, message }) => {
                let (word, words) = failure(action, *reason, message);
                if let Some(word) = word {
                    self.note(uid, true, word, &words);
                }
            }
            _ => {}
        }
    }

    fn container(&self, uid: &str, name: &str) -> Option<&Container> {
        self.world.pods.get(uid)?.pod.spec.container(name)
    }

    /// A container has changed.
    pub(crate) fn tell_change(&mut self, uid: &str, listed: &Listed) {
        let RecordState::Exited(exit) = &listed.record.state else { return };
        if exit.oom_killed {
            let words = format!("Container {} ran out of memory", listed.record.name);
            self.note(uid, true, "OOMKilled", &words);
        }
    }

    /// The status is another than before.
    pub(crate) fn tell_status(&mut self, uid: &str, before: &PodStatusCore) {
        let Some(entry) = self.world.pods.get(uid) else { return };
        let waiting = |status: &PodStatusCore| -> Vec<String> {
            let all = status.init_containers.iter().chain(&status.containers);
            all.filter(|c| {
                matches!(&c.state, ContainerState::Waiting { reason, .. }
                if reason == "CrashLoopBackOff")
            })
            .map(|c| c.name.clone())
            .collect()
        };
        let (was, is) = (waiting(before), waiting(&entry.status));
        let failed = entry.status.reason.clone().filter(|_| before.reason.is_none());
        let message = entry.status.message.clone().unwrap_or_default();
        for container in is.iter().filter(|container| !was.contains(container)) {
            let words = format!("Back-off restarting failed container {container}");
            self.note(uid, true, "BackOff", &words);
        }
        if let Some(reason) = failed {
            self.note(uid, true, &reason, &message);
        }
    }
}

/// Event of a failed action; none where the next try tells it.
fn failure(action: &Action, reason: Reason, message: &str) -> (Option<&'static str>, String) {
    let word = match action {
        Action::CreateSandbox => "FailedCreatePodSandBox",
        Action::RemoveSandbox | Action::StopContainer { .. } | Action::KillContainer { .. } => {
            "FailedKillPod"
        }
        Action::StartContainer { .. } => "Failed",
        Action::RemoveContainer { .. } | Action::Probe { .. } => return (None, String::new()),
    };
    let words = match action.target() {
        Some((container, _)) => format!("{container}: {reason}: {message}"),
        None => message.to_owned(),
    };
    (Some(word), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_container_and_reason() {
        let start = Action::StartContainer { container: "a".to_owned(), attempt: 0 };
        let (word, words) = failure(&start, Reason::ErrImageNeverPull, "no image");
        assert_eq!((word, words.as_str()), (Some("Failed"), "a: ErrImageNeverPull: no image"));
        let (word, words) =
            failure(&Action::CreateSandbox, Reason::CreatePodSandboxError, "no cgroup");
        assert_eq!((word, words.as_str()), (Some("FailedCreatePodSandBox"), "no cgroup"));
        let remove = Action::RemoveContainer { container: "a".to_owned(), attempt: 0 };
        assert_eq!(failure(&remove, Reason::KillContainerError, "x").0, None);
    }
}
