//! The texts of help and version, made of the verbs' own tables.

use crate::args::Flag;
use crate::verbs::{GLOBAL, VERBS, Verb};

/// The newest runtime-spec whose documents are understood.
pub(crate) const SPEC: &str = "1.3.0";
/// The source's commit where the builder gave it, else the version alone.
pub(crate) const COMMIT: &str = match option_env!("PODVISOR_COMMIT") {
    Some(commit) => commit,
    None => concat!("v", env!("CARGO_PKG_VERSION")),
};

/// What can be built into crun and is in here, in the words of its version.
const BUILT_IN: &str = "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU";

/// Three lines, as runc's, which engines parse, and crun's line of what is built in.
pub(crate) fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("podvisor-oci version {version}\ncommit: {COMMIT}\nspec: {SPEC}\n{BUILT_IN}\n")
}

/// The name that the program was called by: it may stand where another runtime did.
pub(crate) fn name() -> String {
    let called = std::env::args_os().next();
    let name = called.as_deref().and_then(|path| std::path::Path::new(path).file_name());
    name.map_or_else(|| "podvisor-oci".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What the program is, its verbs and its global options.
pub(crate) fn program() -> String {
    let name = name();
    let mut text = format!(
        "NAME:\n   {name} - Open Container Initiative runtime, podvisor's: makes and runs \
         containers\n\nUSAGE:\n   {name} [OPTIONS] VERB [VERB OPTIONS] [ARGUMENTS]\n\nVERBS:\n"
    );
    let shown = || VERBS.iter().filter(|v| !v.hidden);
    let width = shown().map(|verb| verb.name.len() + 3).max().unwrap_or(0);
    for verb in shown() {
        text.push_str(&format!("  {:<width$}{}\n", verb.name, verb.help));
    }
    text.push_str("\nOPTIONS:\n");
    GLOBAL.iter().for_each(|f| flag(&mut text, f));
    text.push_str(&format!(
        "\nEXAMPLES:\n  {name} run --bundle /containers/web web\n  \
         {name} exec web sh -c 'echo hello'\n",
    ));
    text
}

/// One verb.
pub(crate) fn verb(verb: &Verb) -> String {
    let name = name();
    let mut text = format!(
        "NAME:\n   {name} {} - {}\n\nUSAGE:\n   {name} {} [OPTIONS] {}\n\nOPTIONS:\n",
        verb.name, verb.help, verb.name, verb.arguments
    );
    verb.flags.iter().for_each(|f| flag(&mut text, f));
    text.push_str("\nEXAMPLES:\n");
    verb.examples.iter().for_each(|e| text.push_str(&format!("  {name} {e}\n")));
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_stands_apart_from_what_it_does() {
        let text = program();
        for verb in VERBS.iter().filter(|v| !v.hidden) {
            let line = text.lines().find(|line| line.ends_with(verb.help)).expect(verb.name);
            assert!(line.starts_with(&format!("  {}  ", verb.name)), "{line}");
        }
    }
}
