//! `hold` (hidden): waits for the end of its input. A systemd scope is made round such a process,
//! before the container's own is in it.

use super::Verb;
use crate::args::Words;
use crate::report::Failure;

/// `hold`.
pub(super) const HOLD: Verb = Verb {
    name: runtime::HOLD,
    help: "wait for the end of the standard input",
    arguments: "",
    flags: &[],
    words: Words::Anywhere,
    least: 0,
    most: 0,
    hidden: true,
    examples: ["hold", "hold </dev/null"],
    run: |_, _| {
        let ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.map(|_| 0).map_err(|e| Failure::new(format!("hold: {e}")))
    },
};
