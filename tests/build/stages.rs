//! Stages side by side, and how what goes on is shown.

use std::time::{Duration, Instant};

use crate::workbench::Bench;

/// What seconds begin with, however many.
const DIGIT: fn(char) -> bool = |c| c.is_ascii_digit();

/// Red with one worker in `work::crew`: each of the two waits for the other.
#[test]
fn independent_stages_run_side_by_side() {
    let Some(scope) = scope::enter("stages::independent_stages_run_side_by_side") else { return };
    let bench = Bench::new(scope);
    assert!(std::thread::available_parallelism().expect("cores").get() > 1, "needs two cores");
    let meet = |own: &str, other: &str| {
        format!(
            "RUN --mount=type=cache,id=m,target=/m touch /m/{own}; \
             timeout 60 sh -c 'until [ -e /m/{other} ]; do sleep 0.05; done' && echo met >/{own}\n"
        )
    };
    let file = format!(
        "ARG BASE=busybox\nFROM ${{BASE}} AS one\n{}FROM busybox AS two\n{}\
         FROM busybox AS unused\nRUN exit 1\n\
         FROM one\nENV N=two\nCOPY --from=two /two /by/$N\nRUN cat /one /by/two\n",
        meet("one", "two"),
        meet("two", "one")
    );
    bench.context("context", &[("Containerfile", &file)]);
    let done = bench.build("context", &["--progress", "plain"]);
    let told = done.err.clone();
    done.ok();
    // Numbers and labels as in the file, whichever was first.
    for line in [
        "#1 [one 1/2] FROM busybox AS one",
        "#3 [two 1/2] FROM busybox AS two",
        "#7 [stage-3 3/4] COPY --from=two /two /by/two",
        "#9 exporting to image",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    let lines = told.lines().filter_map(|line| line.strip_prefix("#8 [stage-3] "));
    assert_eq!(lines.filter(|line| line.starts_with(DIGIT)).count(), 2, "{told}");
    bench.clean();
}

/// Red without `Interrupt::cancel`: the other stage sleeps on.
#[test]
fn a_failure_ends_the_other_stages() {
    let Some(scope) = scope::enter("stages::a_failure_ends_the_other_stages") else { return };
    let bench = Bench::new(scope);
    let file = "FROM busybox AS one\nRUN M touch /m/begun; sleep 600\nFROM busybox AS two\n\
        RUN M timeout 30 sh -c 'until [ -e /m/begun ]; do sleep 0.05; done'; exit 3\n\
        FROM scratch\nCOPY --from=one /a /\nCOPY --from=two /b /\n";
    let file = file.replace("RUN M", "RUN --mount=type=cache,id=m,target=/m");
    bench.context("context", &[("Containerfile", &file)]);
    let begun = Instant::now();
    let told = bench.build("context", &[]).fails(1, &["Containerfile:4", "exit code 3"]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(told.contains("#2 CANCELED") && told.contains("#4 ERROR"), "{told}");
    bench.clean();
}

/// Red where `Mounts::lock` takes a folder twice: the step waits for itself.
#[test]
fn a_step_may_use_a_cache_twice() {
    let Some(scope) = scope::enter("stages::a_step_may_use_a_cache_twice") else { return };
    let bench = Bench::new(scope);
    let mount = |at: &str, sharing: &str| {
        format!("--mount=type=cache,id=twice,target={at},sharing={sharing}")
    };
    let file = format!(
        "FROM busybox\nRUN {} {} touch /a/x && test -e /b/x\nRUN {} {} test -e /a/x && test -e /b/x\n",
        mount("/a", "locked"),
        mount("/b", "locked"),
        mount("/a", "shared"),
        mount("/b", "locked")
    );
    let context = bench.context("context", &[("Containerfile", &file)]).display().to_string();
    let mut build = bench.host.command(&["build", &context]).spawn().expect("build");
    let ended = bench.host.until("the build ends", || build.try_wait().expect("build"));
    assert!(ended.success(), "{ended}");
    bench.clean();
}

/// Red without `Board::busy`: both do it.
#[test]
fn the_same_step_of_two_stages_is_done_once() {
    let Some(scope) = scope::enter("stages::the_same_step_of_two_stages_is_done_once") else {
        return;
    };
    let bench = Bench::new(scope);
    let step = "FROM busybox AS NAME\nRUN --mount=type=cache,id=n,target=/n echo x >>/n/count; \
        sleep 1; cp /n/count /count\n";
    let file = format!(
        "{}{}FROM busybox\nCOPY --from=one /count /one\nCOPY --from=two /count /two\n\
         RUN test \"$(cat /one /two)\" = \"$(printf 'x\\nx')\"\n",
        step.replace("NAME", "one"),
        step.replace("NAME", "two")
    );
    bench.context("context", &[("Containerfile", &file)]);
    bench.build("context", &[]).ok();
    bench.clean();
}

#[test]
fn a_terminal_shows_what_runs_and_keeps_what_failed() {
    let Some(scope) = scope::enter("stages::a_terminal_shows_what_runs_and_keeps_what_failed")
    else {
        return;
    };
    let bench = Bench::new(scope);
    let file = "FROM busybox\nRUN echo fine; sleep 1\nRUN printf 'b\\033[2Joom\\n'; exit 1\n";
    bench.context("context", &[("Containerfile", file)]);
    let told = bench.build("context", &["--progress", "tty"]).fails(1, &["exit code 1"]);
    assert!(told.split("building ").skip(1).any(|line| line.starts_with(DIGIT)), "{told}");
    assert!(told.contains("    fine"), "{told}");
    assert!(!told.contains("\u{1b}[2J"), "the step has the terminal: {told}");
    let end = told.rsplit("\u{1b}[J").nth(1).expect("drawn");
    let lines: Vec<&str> = end.lines().map(|line| line.trim_start_matches('\r')).collect();
    let failed = lines.iter().position(|line| line.contains("ERROR [stage-0 3/3] RUN printf"));
    let failed = failed.unwrap_or_else(|| panic!("{told}"));
    // Its output stays below it, and nothing else.
    assert_eq!(lines[failed + 1..], ["\u{1b}[K    b[2Joom"], "{told}");
    let lines = bench.build("context", &["--progress", "json"]).fails(1, &["\"event\":\"failed\""]);
    assert!(lines.lines().filter(|line| line.starts_with('{')).count() > 5, "{lines}");
}
