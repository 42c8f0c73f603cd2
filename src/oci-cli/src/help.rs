//! Help and version, printed from the verbs' own tables.

use std::io::Write;

use crate::args::Flag;
use crate::verbs::{GLOBAL, VERBS, Verb};

/// The newest runtime-spec whose documents are understood.
pub(crate) const SPEC: &str = "1.3.0";
/// The source's commit where the builder gave it, else the version alone.
pub(crate) const COMMIT: &str = match option_env!("PODVISOR_COMMIT") {
    Some(commit) => commit,
    None => concat!("v", env!("CARGO_PKG_VERSION")),
};

/// Three lines, as runc's, which engines parse.
pub(crate) fn version() {
    let version = env!("CARGO_PKG_VERSION");
    print(&format!("podvisor-oci version {version}\ncommit: {COMMIT}\nspec: {SPEC}\n"));
}

/// What the program is, its verbs and its global options.
pub(crate) fn program() {
    let mut text = String::from(
        "podvisor-oci: an OCI container runtime with runc's command line\n\n\
         Usage: podvisor-oci [OPTIONS] VERB [VERB OPTIONS] [ARGUMENTS]\n\nVerbs:\n",
    );
    for verb in VERBS.iter().filter(|v| !v.hidden) {
        text.push_str(&format!("  {:<10}{}\n", verb.name, verb.help));
    }
    text.push_str("\nOptions:\n");
    GLOBAL.iter().for_each(|f| flag(&mut text, f));
    text.push_str(
        "\nExamples:\n  podvisor-oci run --bundle /containers/web web\n  \
         podvisor-oci exec web sh -c 'echo hello'\n",
    );
    print(&text);
}

/// One verb.
pub(crate) fn verb(verb: &Verb) {
    let mut text = format!(
        "podvisor-oci {}: {}\n\nUsage: podvisor-oci {} [OPTIONS] {}\n\nOptions:\n",
        verb.name, verb.help, verb.name, verb.arguments
    );
    verb.flags.iter().for_each(|f| flag(&mut text, f));
    text.push_str("\nExamples:\n");
    verb.examples.iter().for_each(|e| text.push_str(&format!("  podvisor-oci {e}\n")));
    print(&text);
}

fn flag(text: &mut String, flag: &Flag) {
    let mut name = format!("--{}", flag.long);
    if flag.short != 0 {
        name.push_str(&format!(", -{}", char::from(flag.short)));
    }
    if !flag.value.is_empty() {
        name.push_str(&format!(" {}", flag.value));
    }
    text.push_str(&format!("  {name:<32}{}\n", flag.help));
}

/// A closed pipe (`... | head`) is no error of ours.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
