//! The loop of PID 1: waits for a signal or a deadline, asks the table, acts.
//!
//! Allocates in [`Loop::new`] only.

use std::ffi::OsString;
use std::io::{Result, Write};
use std::os::fd::AsFd;

use sys::children::{Caught, Signals};
use sys::reboot::Ending;
use sys::spawn::Prepared;
use sys::watch::{BATCH, Interest, Ready, Watch};

use crate::cmdline::Boot;
use crate::phase::{Action, Event, Phase, Setting, due_at, first, step};
use crate::say;

/// oom_score_adj of the supervisor: it would inherit PID 1's own, which is out of reach of the
/// killer.
const SUPERVISOR_OOM_SCORE_ADJ: &[u8] = b"-900";
/// Room for the list of mounts at the end.
const MOUNTS_BYTES: usize = 256 * 1024;

const TERMINATE: i32 = 15;

/// PID 1's whole state.
pub(crate) struct Loop {
    watch: Watch,
    signals: Signals,
    setting: Setting,
    phase: Phase,
    supervisor: Prepared,
    loads: Vec<Prepared>,
    down: Prepared,
    supervisor_pid: Option<i32>,
    helper_pid: Option<i32>,
    mounts: Vec<u8>,
    ended: bool,
}

impl Loop {
    /// Prepares every program.
    pub(crate) fn new(argv: &[OsString], boot: &Boot) -> Result<Loop> {
        let signals = Signals::block()?;
        let watch = Watch::new()?;
        watch.add(signals.as_fd(), 0, Interest::Read)?;
        let program = argv.first().cloned().unwrap_or_else(|| "/usr/bin/podvisor".into());
        let command = |words: &[&str]| {
            let words = words.iter().map(OsString::from);
            Prepared::new(std::iter::once(program.clone()).chain(words).collect())
        };
        let supervisor = match supervisor_words(boot) {
            None => Prepared::new(argv.to_vec())?,
            Some(words) => command(&words)?,
        };
        let loads = boot.images.iter().map(|image| command(&["load", image]));
        let setting = Setting { images: boot.images.len(), exit: boot.exit };
        Ok(Loop {
            loads: loads.collect::<Result<Vec<_>>>()?,
            down: command(down_words(boot))?,
            watch,
            signals,
            setting,
            phase: Phase::Loading { at: 0 },
            supervisor,
            supervisor_pid: None,
            helper_pid: None,
            mounts: vec![0; MOUNTS_BYTES],
            ended: false,
        })
    }

    /// Runs until the machine ends; the exit code where it cannot.
    pub(crate) fn run(&mut self) -> i32 {
        let now = sys::clock::boot_ms();
        let (action, phase) = first(self.setting, now);
        self.phase = phase;
        self.act(action);
        let mut ready = [Ready::default(); BATCH];
        while !self.ended {
            let timeout = due_at(self.phase).map(|at| at.saturating_sub(sys::clock::boot_ms()));
            // A failing wait has no remedy; reaping and the deadlines below go on.
            let _ = self.watch.wait(&mut ready, timeout);
            while let Ok(Some(caught)) = self.signals.next() {
                match caught {
                    Caught::Child => {}
                    Caught::Terminate | Caught::Power => self.event(Event::Asked(Ending::PowerOff)),
                    Caught::Interrupt => self.event(Event::Asked(Ending::Restart)),
                    Caught::Other => {}
                }
            }
            self.reap();
            self.event(Event::Time);
        }
        0
    }

    fn reap(&mut self) {
        while let Ok(Some(ended)) = sys::children::reap() {
            if self.supervisor_pid == Some(ended.pid) {
                self.supervisor_pid = None;
                self.event(Event::SupervisorEnded { killed: ended.status.signal.is_some() });
            } else if self.helper_pid == Some(ended.pid) {
                self.helper_pid = None;
                self.event(Event::HelperEnded);
            }
        }
        if !sys::children::has_any() {
            self.event(Event::Childless);
        }
    }

    fn event(&mut self, event: Event) {
        let (action, phase) = step(self.setting, self.phase, event, sys::clock::boot_ms());
        self.phase = phase;
        self.act(action);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Nothing => {}
            Action::Load(at) => {
                self.helper_pid = self.loads.get(at).and_then(start);
                self.helper_started();
            }
            Action::StartDown => {
                say("init: stopping every pod");
                self.helper_pid = start(&self.down);
                self.helper_started();
            }
            Action::StartSupervisor => {
                self.supervisor_pid = start(&self.supervisor);
                match self.supervisor_pid {
                    Some(pid) => protect(pid),
                    // Tried again after a second, like one that crashed.
                    None => self.event(Event::SupervisorEnded { killed: true }),
                }
            }
            Action::Terminate => {
                for pid in [self.supervisor_pid, self.helper_pid].into_iter().flatten() {
                    // Unreaped children: their pids are their own.
                    let _ = sys::children::kill_group(pid, TERMINATE);
                }
                if self.supervisor_pid.is_none() {
                    self.event(Event::SupervisorEnded { killed: false });
                }
            }
            Action::KillEverything => {
                let _ = sys::machine::kill_everything();
            }
            Action::End(ending) => self.end(ending),
        }
    }

    /// A helper that could not be started has ended.
    fn helper_started(&mut self) {
        if self.helper_pid.is_none() {
            self.event(Event::HelperEnded);
        }
    }

    fn end(&mut self, ending: Ending) {
        sys::reboot::sync();
        // What stays mounted has been synced.
        let _ = sys::machine::unmount_everything(&mut self.mounts);
        sys::reboot::sync();
        // Without CAP_SYS_BOOT the end of PID 1 is the end of its PID namespace.
        let _ = sys::reboot::end(ending);
        self.ended = true;
    }
}

/// What `podvisor` is to do instead of serving; `None` without pods on the kernel's command line.
fn supervisor_words(boot: &Boot) -> Option<Vec<&str>> {
    if boot.pods.is_empty() {
        return None;
    }
    let mut words = vec!["up"];
    for file in &boot.pods {
        words.extend(["-f", file]);
    }
    if boot.exit.is_some() {
        words.extend(["--until-done", "--json"]);
    }
    Some(words)
}

/// How pods are stopped before the machine's end. A machine that runs its set and ends with it
/// begins anew at each boot; every other one has its pods back after a reboot.
fn down_words(boot: &Boot) -> &'static [&'static str] {
    if boot.exit.is_some() { &["down"] } else { &["down", "--keep"] }
}

fn start(program: &Prepared) -> Option<i32> {
    match program.start() {
        Ok(pid) => Some(pid),
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(0);
            // Formatting an integer into the stream does not allocate.
            let _ = writeln!(std::io::stderr(), "podvisor: init: cannot start: errno {number}");
            None
        }
    }
}

/// Writes the supervisor's oom_score_adj without allocating.
fn protect(pid: i32) {
    let mut path = [0u8; 40];
    let mut rest = &mut path[..];
    if write!(rest, "/proc/{pid}/oom_score_adj").is_err() {
        return;
    }
    let unused = rest.len();
    let path = &path[..40 - unused];
    // It may have ended already.
    let _ = sys::machine::write_once(path, SUPERVISOR_OOM_SCORE_ADJ);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_on_the_command_line_replace_plain_serving() {
        let mut boot = Boot { pods: vec!["/a".into(), "/b".into()], ..Boot::default() };
        assert_eq!(supervisor_words(&boot).unwrap(), ["up", "-f", "/a", "-f", "/b"]);
        boot.exit = Some(Ending::PowerOff);
        assert_eq!(supervisor_words(&boot).unwrap()[5..], ["--until-done", "--json"]);
        assert_eq!(supervisor_words(&Boot::default()), None);
        assert_eq!(down_words(&boot), ["down"]);
        assert_eq!(down_words(&Boot::default()), ["down", "--keep"]);
    }
}
