//! `events`: one JSON line for each out-of-memory kill and for the end, and statistics from time to
//! time. runc's lines, and an `exit` one that runc has not.

use std::time::{Duration, Instant};

use runtime::Runtime;
use runtime::cgroup::Usage;
use serde::Serialize;

use super::{Verb, id, open};
use crate::args::{Flag, Given, Words};
use crate::report::{Failure, print};

const INTERVAL: Duration = Duration::from_secs(5);
/// How often out-of-memory kills are looked for.
const LOOK: Duration = Duration::from_millis(250);

/// `events ID`.
pub(super) const EVENTS: Verb = Verb {
    name: "events",
    help: "print what happens to a container, as JSON lines",
    arguments: "ID",
    flags: &[
        Flag::value("interval", 0, "TIME", "between two statistics, as in 5s or 1m30s"),
        Flag::switch("stats", 0, "print the statistics once and end"),
    ],
    words: Words::Anywhere,
    least: 1,
    most: 1,
    hidden: false,
    examples: ["events --stats web", "events --interval 10s web"],
    run: events,
};

fn events(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let (runtime, id) = (open(globals)?, id(given)?);
    let interval = given.text("interval")?.map_or(Ok(INTERVAL), interval)?;
    if given.has("stats") {
        tell(&stats(&runtime, id)?)?;
        return Ok(0);
    }
    watch(&runtime, id, interval)
}

fn watch(runtime: &Runtime, id: &str, interval: Duration) -> Result<u8, Failure> {
    let pid = runtime
        .state(id)?
        .pid
        .ok_or_else(|| Failure::new(format!("cannot watch container \"{id}\": it is stopped")))?;
    let failed = |error| Failure::new(format!("watch process {pid}: {error}"));
    let process = [sys::teardown::open_process(pid).map_err(failed)?];
    let mut due = Instant::now();
    let mut killed = runtime.oom_kills(id)?;
    loop {
        let now = Instant::now();
        if now >= due {
            match stats(runtime, id) {
                Ok(line) => tell(&line)?,
                // It ends just now.
                Err(_) if runtime.usage(id).is_err() => {}
                Err(failure) => return Err(failure),
            }
            due = now + interval;
        }
        let ended = sys::teardown::any_ended(&process, due.min(now + LOOK)).map_err(failed)?;
        let kills = runtime.oom_kills(id).unwrap_or(killed);
        for _ in killed..kills {
            tell(&Event::bare("oom", id))?;
        }
        killed = kills;
        if ended {
            tell(&Event::bare("exit", id))?;
            return Ok(0);
        }
    }
}

/// One line. Scripts match its text: the fields are in runc's order.
#[derive(Debug, Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Usage>,
}

impl<'a> Event<'a> {
    fn bare(kind: &'static str, id: &'a str) -> Event<'a> {
        Event { kind, id, data: None }
    }
}

fn stats<'a>(runtime: &Runtime, id: &'a str) -> Result<Event<'a>, Failure> {
    Ok(Event { kind: "stats", id, data: Some(runtime.usage(id)?) })
}

fn tell(event: &Event<'_>) -> Result<(), Failure> {
    let line = serde_json::to_string(event).map_err(|error| Failure::new(error.to_string()))?;
    print(&format!("{line}\n"))
}

fn interval(text: &str) -> Result<Duration, Failure> {
    oci::duration::parse(text).filter(|interval| !interval.is_zero()).ok_or_else(|| Failure {
        text: format!("invalid value {text:?} for --interval"),
        hint: Some("give a duration over 0, as in 5s, 500ms or 1m30s".to_owned()),
        code: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_gos_and_over_zero() {
        assert_eq!(interval("1m0.5s").unwrap(), Duration::from_millis(60_500));
        for wrong in ["0", "0s", "x", "-1s", "5", "5d", ""] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
