//! The status in the shape of Kubernetes. Wall-clock times come from a given offset.

use super::{Condition, ContainerState, ContainerStatus, PodStatusCore};
use crate::memory::Termination;
use crate::state::Millis;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What the shell knows and the decision does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusFacts {
    /// Unix time in milliseconds minus CLOCK_BOOTTIME in milliseconds.
    pub wall_offset_ms: i64,
    /// Identity of the pod, part of container ids.
    pub uid: String,
    /// The pod's address.
    pub pod_ip: Option<Ipv4Addr>,
    /// The host's address.
    pub host_ip: Option<Ipv4Addr>,
    /// Container name -> digest of its image.
    pub image_ids: BTreeMap<String, String>,
}

/// `status` of a Pod as Kubernetes serves it (core/v1 PodStatus).
pub fn pod_status_json(core: &PodStatusCore, facts: &StatusFacts) -> Value {
    let mut out = Map::new();
    out.insert("phase".into(), core.phase.as_str().into());
    text(&mut out, "reason", core.reason.as_ref());
    text(&mut out, "message", core.message.as_ref());
    if let Some(at) = core.started_at {
        out.insert("startTime".into(), facts.time(at));
    }
    if let Some(ip) = facts.pod_ip {
        out.insert("podIP".into(), ip.to_string().into());
        out.insert("podIPs".into(), json!([{ "ip": ip.to_string() }]));
    }
    if let Some(ip) = facts.host_ip {
        out.insert("hostIP".into(), ip.to_string().into());
        out.insert("hostIPs".into(), json!([{ "ip": ip.to_string() }]));
    }
    let conditions: Vec<Value> = core.conditions.iter().map(|c| facts.condition(c)).collect();
    out.insert("conditions".into(), conditions.into());
    let list = |containers: &[ContainerStatus]| -> Value {
        containers.iter().map(|c| facts.container(c)).collect::<Vec<Value>>().into()
    };
    if !core.init_containers.is_empty() {
        out.insert("initContainerStatuses".into(), list(&core.init_containers));
    }
    out.insert("containerStatuses".into(), list(&core.containers));
    out.insert("qosClass".into(), core.qos.as_str().into());
    Value::Object(out)
}

fn text(out: &mut Map<String, Value>, key: &str, value: Option<&String>) {
    if let Some(value) = value {
        out.insert(key.to_owned(), value.clone().into());
    }
}

impl StatusFacts {
    fn time(&self, at: Millis) -> Value {
        let wall = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(self.wall_offset_ms);
        rfc3339(wall.div_euclid(1000)).into()
    }

    fn id(&self, name: &str, attempt: u32) -> Value {
        format!("podvisor://{}.{name}.{attempt}", self.uid).into()
    }

    fn condition(&self, condition: &Condition) -> Value {
        let mut out = Map::new();
        out.insert("type".into(), condition.kind.clone().into());
        out.insert("status".into(), if condition.value { "True" } else { "False" }.into());
        out.insert("lastTransitionTime".into(), self.time(condition.since));
        text(&mut out, "reason", condition.reason.as_ref());
        text(&mut out, "message", condition.message.as_ref());
        Value::Object(out)
    }

    fn terminated(&self, name: &str, end: &Termination) -> Value {
        let mut out = Map::new();
        out.insert("exitCode".into(), end.code.into());
        if let Some(signal) = end.signal {
            out.insert("signal".into(), signal.into());
        }
        out.insert("reason".into(), end.reason.clone().into());
        text(&mut out, "message", end.message.as_ref());
        out.insert("startedAt".into(), self.time(end.started_at));
        out.insert("finishedAt".into(), self.time(end.finished_at));
        out.insert("containerID".into(), self.id(name, end.attempt));
        json!({ "terminated": out })
    }

    fn container(&self, status: &ContainerStatus) -> Value {
        let state = match &status.state {
            ContainerState::Waiting { reason, message } => {
                let mut out = Map::new();
                out.insert("reason".into(), reason.clone().into());
                text(&mut out, "message", message.as_ref());
                json!({ "waiting": out })
            }
            ContainerState::Running { started_at } => {
                json!({ "running": { "startedAt": self.time(*started_at) } })
            }
            ContainerState::Terminated(end) => self.terminated(&status.name, end),
        };
        let last = status.last_state.as_ref().map(|end| self.terminated(&status.name, end));
        let mut out = Map::new();
        out.insert("name".into(), status.name.clone().into());
        out.insert("image".into(), status.image.clone().into());
        let image_id = self.image_ids.get(&status.name).cloned().unwrap_or_default();
        out.insert("imageID".into(), image_id.into());
        if let Some(attempt) = status.attempt {
            out.insert("containerID".into(), self.id(&status.name, attempt));
        }
        out.insert("state".into(), state);
        out.insert("lastState".into(), last.unwrap_or_else(|| json!({})));
        out.insert("ready".into(), status.ready.into());
        out.insert("started".into(), status.started.into());
        out.insert("restartCount".into(), status.restart_count.into());
        Value::Object(out)
    }
}

/// Seconds of unix time as `2006-01-02T15:04:05Z`.
pub fn rfc3339(unix_seconds: i64) -> String {
    let days = unix_seconds.div_euclid(86_400);
    let second = unix_seconds.rem_euclid(86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}
