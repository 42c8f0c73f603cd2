//! No verb waits without an end: what is paused, frozen, half-made or held is deleted or reported
//! within ten seconds. `Trial::oci` kills a verb that takes longer, which is code 137 here.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use crate::trial::Trial;

fn trial(test: &str, args: &[&str]) -> Option<(Trial, String)> {
    let trial = Trial::new(scope::enter(test)?, args);
    let bundle = trial.path("b").display().to_string();
    Some((trial, bundle))
}

#[test]
fn a_paused_container_is_deleted_and_killed() {
    let name = "stuck::a_paused_container_is_deleted_and_killed";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    let before = trial.traces();
    for last in [&["delete", "--force", "c"][..], &["kill", "c", "KILL"]] {
        trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
        trial.oci(&["pause", "c"]).ok();
        assert!(trial.oci(&["state", "c"]).ok().contains("\"paused\""));
        trial.oci(last).ok();
        trial.oci(&["delete", "--force", "c"]).ok();
        trial.clean(&before, "a paused container");
    }
}

/// Red without `Cgroup::thaw_whole`: what v1's freezer holds below the container no signal ends.
#[test]
fn a_container_that_froze_a_part_of_itself_is_deleted() {
    let name = "stuck::a_container_that_froze_a_part_of_itself_is_deleted";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    let before = trial.traces();
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let folder = "/sys/fs/cgroup/freezer/c/part";
    fs::create_dir(folder).expect("cgroup");
    let state = trial.oci(&["state", "c"]).ok();
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    fs::write(format!("{folder}/cgroup.procs"), state["pid"].to_string()).expect("move");
    fs::write(format!("{folder}/freezer.state"), "FROZEN").expect("freeze");
    trial.oci(&["delete", "--force", "c"]).ok();
    trial.clean(&before, "a container that froze itself");
}

/// Red when the lock is waited for without a deadline.
#[test]
fn a_container_that_is_worked_on_is_reported_with_the_process() {
    let name = "stuck::a_container_that_is_worked_on_is_reported_with_the_process";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    trial.oci(&["create", "--bundle", &bundle, "c"]).ok();
    let lock = File::open(trial.path("state/c")).expect("open");
    lock.lock().expect("lock");
    for verb in [&["delete", "--force", "c"][..], &["start", "c"]] {
        let done = trial.oci(verb);
        let holder = format!("process {}", std::process::id());
        assert!(done.code == 1 && done.err.contains(&holder), "{done:?}");
    }
    trial.oci(&["state", "c"]).ok();
    drop(lock);
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// Red without the limit on the child's silence.
#[test]
fn exec_into_a_frozen_container_is_given_up() {
    let name = "stuck::exec_into_a_frozen_container_is_given_up";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    trial.oci(&["pause", "c"]).ok();
    let begun = Instant::now();
    let done = trial.oci(&["exec", "--ignore-paused", "c", "true"]);
    assert!(done.code == 255 && done.err.contains("given up"), "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    trial.oci(&["delete", "--force", "c"]).ok();
}
