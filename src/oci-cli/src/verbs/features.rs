//! `features`: what this runtime can do, for engines (docker asks before the first container).

use super::Verb;
use crate::args::Words;
use crate::help::{COMMIT, SPEC};
use crate::report::Failure;

/// The document of the specification's features.md; a test holds it against what the code knows.
const TEMPLATE: &str = include_str!("features.json");

/// `features`.
pub(super) const FEATURES: Verb = Verb {
    name: "features",
    help: "print what this runtime supports, as JSON",
    arguments: "",
    flags: &[],
    words: Words::Anywhere,
    least: 0,
    most: 0,
    hidden: false,
    examples: ["features", "features | jq .linux.seccomp.actions"],
    run: |_, _| {
        print!("{}", document());
        Ok::<u8, Failure>(0)
    },
};

fn document() -> String {
    TEMPLATE
        .replace("@SPEC@", SPEC)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@COMMIT@", COMMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_specifications_shape() {
        let features: oci::runtime::Features =
            serde_json::from_str(&document()).expect("features.md's shape");
        assert_eq!(features.oci_version_max(), SPEC);
        assert_eq!(features.hooks().as_ref().map(Vec::len), Some(6));
    }
}
