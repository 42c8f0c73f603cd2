//! What can be typed.

use clap::{CommandFactory, Parser};

use super::*;

/// The examples at the end of a help text.
fn examples(help: &str) -> Vec<String> {
    let after = help.split("Examples:\n").nth(1).unwrap_or_default();
    after.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_verb_ends_with_two_examples_that_parse() {
    let mut command = Cli::command();
    let mut all = vec![("podvisor".to_owned(), command.render_help().to_string())];
    // clap's own `help` has none.
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        all.push((verb.get_name().to_owned(), verb.render_help().to_string()));
    }
    for (name, help) in all {
        let found = examples(&help);
        assert_eq!(found.len(), 2, "{name}: {help}");
        for example in found {
            let line = example.split(" < ").next().unwrap_or_default();
            let words = line.split_whitespace();
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn a_commands_own_flags_are_its_own() {
    let words = "podvisor run --rm busybox ls -la --color=never";
    let Verb::Run(args) = Cli::try_parse_from(words.split(' ')).unwrap().verb else { panic!() };
    assert_eq!(args.command, ["ls", "-la", "--color=never"]);
    let words = "podvisor exec -it web sh -c id";
    let Verb::Exec(args) = Cli::try_parse_from(words.split(' ')).unwrap().verb else { panic!() };
    assert!(args.tty && args.interactive);
    assert_eq!(args.command, ["sh", "-c", "id"]);
}

#[test]
fn global_flags_stand_before_or_after_the_verb() {
    for words in ["podvisor --state /x get pods", "podvisor get pods --state /x"] {
        let cli = Cli::try_parse_from(words.split(' ')).unwrap();
        assert_eq!(cli.global.state.as_deref(), Some(std::path::Path::new("/x")));
    }
}

#[test]
fn a_deletion_is_waited_for_unless_told_not_to() {
    let waits = |words: &str| {
        let words = format!("podvisor delete {words} pod x");
        let Verb::Delete(args) = Cli::try_parse_from(words.split_whitespace()).unwrap().verb else {
            panic!()
        };
        args.wait && !args.no_wait
    };
    assert!(waits("") && waits("--wait") && waits("--wait=true"));
    assert!(!waits("--wait=false") && !waits("--no-wait"));
}

#[test]
fn help_is_a_verb_too() {
    use clap::error::ErrorKind;
    for words in ["podvisor help", "podvisor help run", "podvisor help help"] {
        let told = Cli::try_parse_from(words.split(' ')).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::DisplayHelp, "{words}");
    }
    let told = Cli::try_parse_from(["podvisor", "help", "exec"]).unwrap_err().to_string();
    assert_eq!(examples(&told).len(), 2, "{told}");
    let unknown = Cli::try_parse_from(["podvisor", "help", "nope"]).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidSubcommand);
}

#[test]
fn a_negative_number_is_a_value_and_told_as_such() {
    for (words, flag) in [
        ("podvisor scale web --replicas -1", "--replicas <N>"),
        ("podvisor run --grace-period -5 x", "--grace-period <SECONDS>"),
        ("podvisor delete pod x --grace-period -5", "--grace-period <SECONDS>"),
        ("podvisor down --grace-period -5", "--grace-period <SECONDS>"),
    ] {
        let told = Cli::try_parse_from(words.split(' ')).unwrap_err().to_string();
        assert!(told.contains("invalid value '-") && told.contains(flag), "{words}: {told}");
    }
    let words = "podvisor logs --tail -1 web";
    let Verb::Logs(args) = Cli::try_parse_from(words.split(' ')).unwrap().verb else { panic!() };
    assert_eq!(args.tail, Some(-1));
}

#[test]
fn what_does_not_go_together_is_refused() {
    for words in [
        "podvisor run -d -i busybox",
        "podvisor run -d --rm busybox",
        "podvisor up",
        "podvisor up -d --until-done -f x",
        "podvisor delete",
        "podvisor delete pod x -f y",
        "podvisor delete pod x --wait --no-wait",
        "podvisor get pods -A -n x",
        "podvisor exec web",
        "podvisor scale web",
        "podvisor get things",
    ] {
        assert!(Cli::try_parse_from(words.split(' ')).is_err(), "{words}");
    }
}

#[test]
fn usage_errors_have_the_verbs_code() {
    for (words, code) in [
        ("podvisor run --nope", 125),
        ("podvisor --state run exec --nope", 125),
        ("podvisor --state run get --nope", 2),
        ("podvisor imagse", 2),
        ("podvisor --nope", 2),
        ("podvisor", 2),
    ] {
        let words: Vec<std::ffi::OsString> = words.split(' ').map(Into::into).collect();
        assert_eq!(crate::usage_code(&words), code, "{words:?}");
    }
}

#[test]
fn what_is_said_of_one_end_of_a_copy_is_for_that_end() {
    let words = "podvisor copy --tls-verify=false --authfile a --src-creds me:x --dest-authfile b \
                 --dest-cert-dir c --dest-tls-verify FROM TO";
    let Verb::Copy(args) = Cli::try_parse_from(words.split_whitespace()).unwrap().verb else {
        panic!()
    };
    let [from, to] = args.ends();
    assert_eq!((from.creds.as_deref(), to.creds), (Some("me:x"), None));
    assert_eq!((from.speak.tls_verify, to.speak.tls_verify), (Some(false), Some(true)));
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!((from.speak.authfile, to.speak.authfile), (path("a"), path("b")));
    assert_eq!((from.speak.cert_dir, to.speak.cert_dir), (None, path("c")));
}
