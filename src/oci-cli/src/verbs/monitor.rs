//! `monitor`: the hidden verb that is a pod's parent process. See the crate `monitor`.

use super::Verb;
use crate::args::{Flag, Given, Words};
use crate::report::Failure;

/// `monitor --pod-dir DIR`.
pub(super) const MONITOR: Verb = Verb {
    name: "monitor",
    help: "be the parent process of a pod (started by podvisor)",
    arguments: "",
    flags: &[
        Flag::value("pod-dir", 0, "DIR", "the pod's folder, with sandbox.json"),
        Flag::value("ready-fd", 0, "N", "descriptor that gets one byte when ready"),
    ],
    words: Words::Anywhere,
    least: 0,
    most: 0,
    hidden: true,
    examples: ["monitor --pod-dir /run/podvisor/pods/1", "monitor --help"],
    run: |_, given| run(given),
};

fn run(given: &Given) -> Result<u8, Failure> {
    let folder =
        given.path("pod-dir").ok_or_else(|| Failure::new("monitor: --pod-dir is needed"))?;
    let ready = given.number("ready-fd")?.and_then(|n| i32::try_from(n).ok());
    let code = monitor::run(&folder, ready);
    Ok(u8::try_from(code).unwrap_or(1))
}
