//! Verbs as a person meets them without a supervisor: what is said, and with which exit code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test like the test itself"
)]

use clap::Parser;
use cli::args::Cli;
use cli::failure::Failure;
use cli::settings::Settings;
use cli::verbs::dispatch;

/// Folders of one test; they go with it.
struct Host(scope::Folder);

impl Host {
    fn new(name: &str) -> Host {
        Host(scope::Folder::new(name))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn fails(&self, words: &[&str]) -> Failure {
        let folder = |name: &str| self.0.join(name).display().to_string();
        let (root, state, log) = (folder("root"), folder("state"), folder("log"));
        let mut all = vec![
            "podvisor",
            "--root",
            &root,
            "--state",
            &state,
            "--log-dir",
            &log,
            "--color=never",
        ];
        all.extend(words);
        let parsed = Cli::try_parse_from(&all).unwrap_or_else(|error| panic!("{error}"));
        let settings = Settings::new(&parsed.global, |_| None);
        match dispatch(parsed.verb, &settings) {
            Ok(code) => panic!("{words:?} ended with {code:?}"),
            Err(failure) => failure,
        }
    }
}

#[test]
fn without_a_supervisor_the_verbs_say_how_to_get_one() {
    let host = Host::new("alone");
    for words in [
        &["get", "pods"][..],
        &["ps"],
        &["status"],
        &["logs", "web"],
        &["delete", "pod", "web"],
        &["scale", "web", "--replicas", "2"],
        &["describe", "pod", "web"],
    ] {
        let failure = host.fails(words);
        let text = failure.text();
        assert_eq!(failure.code, 1, "{words:?}");
        assert!(text.contains("podvisor.sock") && text.contains("podvisor serve"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
    assert_eq!(host.fails(&["exec", "web", "--", "true"]).code, 125);
}

#[test]
fn a_wrong_manifest_is_told_by_place_and_nothing_is_asked() {
    let host = Host::new("manifest");
    let file = host.file(
        "web.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - name: a\n    \
         image: busybox\n    comand: [x]\n",
    );
    for verb in ["apply", "up"] {
        let failure = host.fails(&[verb, "-f", &file]);
        let text = failure.text();
        assert_eq!(failure.code, 1);
        assert!(text.contains("web.yaml:8:") && text.contains("comand"), "{text}");
        assert!(text.contains("command"), "{text}");
        assert!(!host.0.join("state").exists(), "nothing is made for a wrong manifest");
    }
    let failure = host.fails(&["apply", "-f", "/no/such.yaml"]);
    assert!(failure.text().contains("/no/such.yaml") && failure.text().contains("ENOENT"));
    let deployment = host.file(
        "d.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: \
         {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: \
         {containers: [{name: a, image: x}]}\n",
    );
    let failure = host.fails(&["up", "--until-done", "-f", &deployment]);
    assert_eq!(failure.code, 2);
}

#[test]
fn an_image_that_is_missing_is_told_before_anything_runs() {
    let host = Host::new("image");
    let failure = host.fails(&["run", "--pull", "never", "no-such-image"]);
    let text = failure.text();
    assert_eq!(failure.code, 125, "{text}");
    assert!(text.contains("no-such-image") && text.contains("podvisor load"), "{text}");
    assert!(!host.0.join("state").exists(), "no supervisor was started for it");
    assert_eq!(host.fails(&["inspect", "no-such-image"]).code, 1);
    assert_eq!(host.fails(&["rmi", "no-such-image"]).code, 1);
    let failure = host.fails(&["load", "/no/such.tar"]);
    assert!(failure.text().contains("/no/such.tar"), "{}", failure.text());
}

#[test]
fn values_that_make_no_sense_are_usage_errors() {
    let host = Host::new("usage");
    for (words, code) in [
        (&["logs", "web", "--since", "yesterday"][..], 2),
        (&["describe", "pod"], 2),
        (&["describe", "job/x"], 2),
        (&["get", "all", "-w"], 2),
        (&["demo-client", "--url", "ftp://x"], 2),
    ] {
        let failure = host.fails(words);
        assert_eq!(failure.code, code, "{words:?}: {}", failure.text());
        assert!(failure.hint.is_some(), "{words:?}");
    }
}
