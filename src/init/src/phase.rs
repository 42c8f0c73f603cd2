//! What follows what in the life of PID 1: one total table, pure.
//!
//! Time is CLOCK_BOOTTIME in ms. Every wait is bounded but the one for the supervisor's end.

use sys::reboot::Ending;

/// Least time between two starts of the supervisor, in ms.
pub(crate) const RESTART_MS: u64 = 1000;
/// Longest wait for `podvisor down`, which gives every pod its grace period, in ms.
pub(crate) const DOWN_MS: u64 = 120_000;
/// Longest wait for a supervisor that was told to end, in ms.
pub(crate) const STOP_MS: u64 = 10_000;
/// Longest wait for what was killed, in ms.
pub(crate) const KILL_MS: u64 = 3_000;

/// Where PID 1 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Image number `at` is being loaded.
    Loading { at: usize },
    /// The supervisor runs since then.
    Serving { since: u64 },
    /// The supervisor has ended; it is started again then.
    Pausing { until: u64 },
    /// `podvisor down` runs.
    Downing { ending: Ending, until: u64 },
    /// The supervisor has been told to end.
    Stopping { ending: Ending, until: u64 },
    /// Everything has been killed.
    Killing { ending: Ending, until: u64 },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The supervisor ended: by itself, or killed by a signal.
    SupervisorEnded { killed: bool },
    /// `podvisor load` or `podvisor down` ended, or could not be started.
    HelperEnded,
    /// Somebody asked for the machine's end.
    Asked(Ending),
    /// No child is left.
    Childless,
    /// Time has passed.
    Time,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    Load(usize),
    StartSupervisor,
    StartDown,
    /// SIGTERM to the supervisor and to a helper that runs.
    Terminate,
    KillEverything,
    End(Ending),
}

/// What the table has to know beside phase and event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// How many images are to be loaded.
    pub(crate) images: usize,
    /// The supervisor's own end is the machine's.
    pub(crate) exit: Option<Ending>,
}

/// First phase and action.
pub(crate) fn first(setting: Setting, now: u64) -> (Action, Phase) {
    match setting.images {
        0 => (Action::StartSupervisor, Phase::Serving { since: now }),
        _ => (Action::Load(0), Phase::Loading { at: 0 }),
    }
}

/// The table.
pub(crate) fn step(setting: Setting, phase: Phase, event: Event, now: u64) -> (Action, Phase) {
    let stay = (Action::Nothing, phase);
    let stop = |ending| (Action::Terminate, Phase::Stopping { ending, until: now + STOP_MS });
    let kill = |ending| (Action::KillEverything, Phase::Killing { ending, until: now + KILL_MS });
    let serve = (Action::StartSupervisor, Phase::Serving { since: now });
    match (phase, event) {
        (Phase::Loading { at }, Event::HelperEnded) if at + 1 < setting.images => {
            (Action::Load(at + 1), Phase::Loading { at: at + 1 })
        }
        (Phase::Loading { .. }, Event::HelperEnded) => serve,
        (Phase::Loading { .. } | Phase::Pausing { .. }, Event::Asked(ending)) => stop(ending),
        (Phase::Loading { .. }, Event::SupervisorEnded { .. } | Event::Childless | Event::Time) => {
            stay
        }

        (Phase::Serving { since }, Event::SupervisorEnded { killed }) => match setting.exit {
            // It has run its set to completion; a crash is not that.
            Some(ending) if !killed => kill(ending),
            _ if now >= since + RESTART_MS => serve,
            _ => (Action::Nothing, Phase::Pausing { until: since + RESTART_MS }),
        },
        (Phase::Serving { .. }, Event::Asked(ending)) => {
            (Action::StartDown, Phase::Downing { ending, until: now + DOWN_MS })
        }
        (Phase::Serving { .. }, Event::HelperEnded | Event::Childless | Event::Time) => stay,

        (Phase::Pausing { until }, Event::Time) if now >= until => serve,
        (
            Phase::Pausing { .. },
            Event::Time | Event::SupervisorEnded { .. } | Event::HelperEnded | Event::Childless,
        ) => stay,

        (Phase::Downing { ending, .. }, Event::HelperEnded | Event::SupervisorEnded { .. }) => {
            stop(ending)
        }
        // Asked once more: no more patience.
        (Phase::Downing { .. }, Event::Asked(ending)) => stop(ending),
        (Phase::Downing { ending, until }, Event::Time) if now >= until => stop(ending),
        (Phase::Downing { .. }, Event::Time | Event::Childless) => stay,

        (Phase::Stopping { ending, .. }, Event::SupervisorEnded { .. } | Event::Childless) => {
            kill(ending)
        }
        (Phase::Stopping { .. }, Event::Asked(ending)) => kill(ending),
        (Phase::Stopping { ending, until }, Event::Time) if now >= until => kill(ending),
        (Phase::Stopping { .. }, Event::Time | Event::HelperEnded) => stay,

        (Phase::Killing { ending, .. }, Event::Childless) => (Action::End(ending), phase),
        (Phase::Killing { ending, until }, Event::Time) if now >= until => {
            (Action::End(ending), phase)
        }
        (
            Phase::Killing { .. },
            Event::Time | Event::SupervisorEnded { .. } | Event::HelperEnded | Event::Asked(_),
        ) => stay,
    }
}

/// When the next [`Event::Time`] is due.
pub(crate) fn due_at(phase: Phase) -> Option<u64> {
    match phase {
        Phase::Loading { .. } | Phase::Serving { .. } => None,
        Phase::Pausing { until }
        | Phase::Downing { until, .. }
        | Phase::Stopping { until, .. }
        | Phase::Killing { until, .. } => Some(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVE: Setting = Setting { images: 0, exit: None };
    const BATCH: Setting = Setting { images: 2, exit: Some(Ending::PowerOff) };
    const CRASH: Event = Event::SupervisorEnded { killed: true };
    const DONE: Event = Event::SupervisorEnded { killed: false };

    /// Runs the table over events at times; the actions that are not nothing.
    fn play(setting: Setting, events: &[(u64, Event)]) -> Vec<(u64, Action)> {
        let (action, mut phase) = first(setting, 0);
        let mut done = vec![(0, action)];
        for &(now, event) in events {
            let (action, next) = step(setting, phase, event, now);
            phase = next;
            done.push((now, action));
        }
        done.retain(|(_, action)| *action != Action::Nothing);
        done
    }

    #[test]
    fn a_crashing_supervisor_is_restarted_at_most_once_a_second() {
        let events = [
            (5000, CRASH),
            (5001, CRASH),
            (5002, Event::Time),
            (5999, Event::Time),
            (6000, Event::Time),
        ];
        let start = Action::StartSupervisor;
        assert_eq!(play(SERVE, &events), [(0, start), (5000, start), (6000, start)]);
    }

    #[test]
    fn images_are_loaded_in_order_and_the_end_of_the_set_ends_the_machine() {
        let events = [
            (10, Event::HelperEnded),
            (20, Event::HelperEnded),
            (900, CRASH),
            (1020, Event::Time),
            (3000, DONE),
            (3001, Event::Childless),
        ];
        assert_eq!(
            play(BATCH, &events),
            [
                (0, Action::Load(0)),
                (10, Action::Load(1)),
                (20, Action::StartSupervisor),
                (1020, Action::StartSupervisor),
                (3000, Action::KillEverything),
                (3001, Action::End(Ending::PowerOff)),
            ]
        );
    }

    #[test]
    fn an_asked_end_takes_every_pod_down_first_and_is_bounded() {
        let ask = Event::Asked(Ending::Restart);
        let end = Action::End(Ending::Restart);
        let patient = [(100, ask), (200, Event::HelperEnded), (300, DONE), (301, Event::Childless)];
        assert_eq!(
            play(SERVE, &patient)[1..],
            [
                (100, Action::StartDown),
                (200, Action::Terminate),
                (300, Action::KillEverything),
                (301, end),
            ]
        );
        let mut now = 100;
        let mut stuck = vec![(now, ask)];
        for wait in [DOWN_MS, STOP_MS, KILL_MS] {
            now += wait;
            stuck.push((now, Event::Time));
        }
        assert_eq!(play(SERVE, &stuck).last(), Some(&(now, end)));
    }

    #[test]
    fn a_plain_end_of_the_supervisor_is_no_end_of_the_machine() {
        assert_eq!(play(SERVE, &[(2000, DONE)])[1], (2000, Action::StartSupervisor));
    }
}
