//! Builds that are interrupted or killed at any moment: the store stays valid, nothing runs on, and
//! the next build gives the image that it would have given.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::workbench::{Bench, sh};

const FILE: &str = "FROM busybox\nCOPY . /ctx/\nRUN head -c 3000000 /dev/zero | md5sum >/sum\n\
    RUN sleep 0.1; head -c 2000000 /dev/zero >/zeroes\nCOPY . /again/\n\
    RUN rm -r /ctx && echo end >/end\n";
const ROUNDS: u32 = 24;

/// A condition, within ten seconds.
#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Whether a `sleep` of this length runs anywhere in the scope.
fn sleeping(length: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("proc").flatten();
    processes.into_iter().any(|process| {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        words.starts_with(b"sleep\0") && words.windows(length.len()).any(|w| w == length.as_bytes())
    })
}

#[test]
fn a_signal_ends_the_step_and_its_container() {
    let Some(scope) = scope::enter("harm::a_signal_ends_the_step_and_its_container") else {
        return;
    };
    let bench = Bench::new(scope);
    let file = "FROM busybox\nRUN echo done >/done\n\
        RUN trap '' INT TERM HUP; (trap '' TERM; sleep 98765) & sleep 98765\n";
    bench.context("context", &[("Containerfile", file)]);
    let path = bench.host.path("context").display().to_string();
    for signal in ["INT", "TERM", "HUP"] {
        let mut command = bench.host.command(&["build", &path]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("build");
        until("the step runs", || sleeping("98765"));
        sh(&format!("kill -{signal} {}", child.id()));
        let started = Instant::now();
        let status = child.wait().expect("wait");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(status.code().is_some_and(|code| code > 128), "{signal}: {status:?}");
        assert!(!sleeping("98765"), "{signal}: the step's processes go on");
        let left = std::fs::read_dir(bench.host.path("root/staging")).expect("staging").count();
        assert_eq!(left, 0, "{signal}: a staging folder is left");
    }
    bench.clean();
}

#[test]
fn a_killed_build_leaves_a_valid_store() {
    let Some(scope) = scope::enter("harm::a_killed_build_leaves_a_valid_store") else { return };
    let bench = Bench::new(scope);
    bench.context("sleeping", &[("Containerfile", "FROM busybox\nRUN sleep 97531\n")]);
    let path = bench.host.path("sleeping").display().to_string();
    let mut command = bench.host.command(&["build", &path]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("build");
    until("the step runs", || sleeping("97531"));
    child.kill().expect("kill");
    child.wait().expect("wait");
    bench.clean();
    until("the step has ended", || !sleeping("97531"));

    let big = "y".repeat(500_000);
    bench.context("context", &[("Containerfile", FILE), ("d/f", "x"), ("big", &big)]);
    let path = bench.host.path("context").display().to_string();
    let build = |extra: &[&str]| {
        let args = [&["build", "-q", "-t", "k:1"], extra, &[&path]].concat();
        let mut command = bench.host.command(&args);
        command.env("SOURCE_DATE_EPOCH", "1700000000").stderr(Stdio::null());
        command
    };
    let whole = build(&[]).output().expect("build");
    assert!(whole.status.success());
    let started = Instant::now();
    let again = build(&["--no-cache"]).output().expect("build");
    assert_eq!(whole.stdout, again.stdout);
    let length = started.elapsed();
    for round in 0..ROUNDS {
        // Evenly over the build, and a little beyond.
        let at = length * round / (ROUNDS - 2);
        let extra: &[&str] = if round % 2 == 0 { &["--no-cache"] } else { &[] };
        if round % 3 == 0 {
            sh(&format!("rm -rf {}", bench.host.path("root/build/steps").display()));
        }
        let mut child = build(extra).stdout(Stdio::null()).spawn().expect("build");
        let deadline = Instant::now() + at;
        until("its moment", || Instant::now() >= deadline);
        let signal = if round % 4 == 1 { "INT" } else { "KILL" };
        sh(&format!("kill -{signal} {} 2>/dev/null || true", child.id()));
        child.wait().expect("wait");
        bench.clean();
        let store = bench.host.path("root/store").display().to_string();
        sh(&format!("skopeo inspect oci:{store}:k:1 >/dev/null"));
        sh(&format!(
            "cd {store}/blobs/sha256; for f in *; do echo \"$f  $f\"; done | sha256sum -c --quiet"
        ));
        let done = build(&[]).output().expect("build");
        assert_eq!(whole.stdout, done.stdout, "round {round}");
    }
    bench.clean();
}
