//! Verbs on an existing container: start, state, kill, delete, pause, resume.

use super::{Verb, id, open};
use crate::args::{Flag, Given, Words};
use crate::report::Failure;

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
        open(globals)?.start(id(given)?)?;
        Ok(0)
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
        println!("{text}");
        Ok(0)
    },
    ..NO_VERB
};

/// `kill ID [SIGNAL]`.
pub(super) const KILL: Verb = Verb {
    name: "kill",
    help: "send a signal to a container's process (default TERM)",
    arguments: "ID [SIGNAL]",
    flags: &[Flag::switch("all", b'a', "signal every process of the container")],
    most: 2,
    examples: ["kill web", "kill --all web KILL"],
    run: kill,
    ..NO_VERB
};

fn kill(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let name = given.words.get(1).map_or_else(|| "TERM".into(), |w| w.to_string_lossy());
    let signal = sys::foreground::signal_number(&name).ok_or_else(|| Failure {
        text: format!("unknown signal {name:?}"),
        hint: Some("name it like TERM, SIGTERM or 15".to_owned()),
        code: 1,
    })?;
    open(globals)?.kill(id(given)?, signal, given.has("all"))?;
    Ok(0)
}

/// `delete ID`.
pub(super) const DELETE: Verb = Verb {
    name: "delete",
    help: "remove what a stopped container has left",
    flags: &[Flag::switch("force", b'f', "kill it first; no error when it does not exist")],
    examples: ["delete web", "delete --force web"],
    run: |globals, given| {
        open(globals)?.delete(id(given)?, given.has("force"))?;
        Ok(0)
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
