//! Verbs on an existing container: start, state, kill, delete, pause, resume.

use runtime::Runtime;

use super::create::await_ready;
use super::{Verb, id, open};
use crate::args::{Flag, Given, Words};
use crate::readiness::Manager;
use crate::report::{Failure, print};

const REGEX: Flag = Flag::switch(
    "regex",
    b'r',
    "the id is an extended regular expression, for all that it matches",
);

const NO_VERB: Verb = Verb {
    name: "",
    help: "",
    arguments: "ID",
    flags: &[],
    words: Words::Anywhere,
    least: 1,
    most: 1,
    hidden: false,
    examples: ["", ""],
    run: |_, _| Ok(0),
};

/// `start ID`.
pub(super) const START: Verb = Verb {
    name: "start",
    help: "start the process of a created container",
    examples: ["start web", "--root /tmp/state start web"],
    run: |globals, given| {
        let Some(manager) = Manager::of_caller() else {
            open(globals)?.start(id(given)?)?;
            return Ok(0);
        };
        let started = open(globals)?.start_heard(id(given)?)?;
        await_ready(Some(manager), started)
    },
    ..NO_VERB
};

/// `state ID`.
pub(super) const STATE: Verb = Verb {
    name: "state",
    help: "print a container's state as JSON",
    examples: ["state web", "state web | jq -r .status"],
    run: |globals, given| {
        let entry = super::list::entry(&open(globals)?, id(given)?)?;
        let text = serde_json::to_string_pretty(&entry).map_err(|e| Failure::new(e.to_string()))?;
        print(&format!("{text}\n"))?;
        Ok(0)
    },
    ..NO_VERB
};

/// `kill ID [SIGNAL]`.
pub(super) const KILL: Verb = Verb {
    name: "kill",
    help: "send a signal to a container's process (default TERM)",
    arguments: "ID [SIGNAL]",
    flags: &[Flag::switch("all", b'a', "signal every process of the container"), REGEX],
    most: 2,
    examples: ["kill web", "kill --all web KILL"],
    run: kill,
    ..NO_VERB
};

/// Does it with the container of that id, or with each that the expression matches. The first
/// failure is told when all have been tried.
fn each(
    runtime: &Runtime,
    given: &Given,
    act: impl Fn(&str) -> runtime::Result<()>,
) -> Result<u8, Failure> {
    let id = id(given)?;
    if !given.has("regex") {
        act(id)?;
        return Ok(0);
    }
    let wrong = |error| Failure::new(format!("invalid regular expression {id:?}: {error}"));
    let pattern = sys::pattern::Pattern::new(id).map_err(wrong)?;
    let all = runtime.ids()?;
    let tried = all.iter().filter(|id| pattern.matches(id)).map(|id| act(id));
    let failed: Vec<runtime::Error> = tried.filter_map(Result::err).collect();
    failed.into_iter().next().map_or(Ok(0), |first| Err(first.into()))
}

fn kill(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let name = given.words.get(1).map_or_else(|| "TERM".into(), |w| w.to_string_lossy());
    let signal = sys::foreground::signal_number(&name).ok_or_else(|| Failure {
        text: format!("unknown signal {name:?}"),
        hint: Some("name it like TERM, SIGTERM or 15".to_owned()),
        code: 1,
    })?;
    let runtime = open(globals)?;
    each(&runtime, given, |id| runtime.kill(id, signal, given.has("all")))
}

/// `delete ID`.
pub(super) const DELETE: Verb = Verb {
    name: "delete",
    help: "remove what a stopped container has left",
    flags: &[Flag::switch("force", b'f', "kill it first; no error when it does not exist"), REGEX],
    examples: ["delete web", "delete --force web"],
    run: |globals, given| {
        let runtime = open(globals)?;
        each(&runtime, given, |id| runtime.delete(id, given.has("force")))
    },
    ..NO_VERB
};

/// `pause ID`.
pub(super) const PAUSE: Verb = Verb {
    name: "pause",
    help: "stop every process of a container where it is",
    examples: ["pause web", "--root /tmp/state pause web"],
    run: |globals, given| {
        open(globals)?.pause(id(given)?)?;
        Ok(0)
    },
    ..NO_VERB
};

/// `resume ID`.
pub(super) const RESUME: Verb = Verb {
    name: "resume",
    help: "let a paused container go on",
    examples: ["resume web", "--root /tmp/state resume web"],
    run: |globals, given| {
        open(globals)?.resume(id(given)?)?;
        Ok(0)
    },
    ..NO_VERB
};
