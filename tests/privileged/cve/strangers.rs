//! What is another container's: a verb about one ends nobody else, and forgets nobody.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::trial::{self, Trial, Verb};

fn pid(trial: &Trial, id: &str) -> u64 {
    let state: Value = serde_json::from_str(&trial.oci(&["state", id]).ok()).expect("JSON");
    assert_eq!(state["status"], "running", "{id}");
    state["pid"].as_u64().expect("pid")
}

/// A container is made in the cgroup of another one, and its maker killed before each of its system
/// calls: whatever is left of it is deleted, and the other one lives.
/// Red when `prepare` of `src/runtime/src/create.rs` owns the cgroup before it has looked into it.
#[test]
fn half_made_in_anothers_cgroup_it_is_deleted_alone() {
    let Some((trial, bundle)) =
        trial!(half_made_in_anothers_cgroup_it_is_deleted_alone, "sleep", "1000")
    else {
        return;
    };
    let inject = trial.tool("inject");
    trial.change(|config| config["linux"]["cgroupsPath"] = json!("/shared"));
    trial.oci(&["run", "-d", "--bundle", &bundle, "a"]).ok();
    let first = pid(&trial, "a");
    let before = trial.traces();
    let mut known = 0;
    let tried = trial::sweep(&[("kill", 1)], |number, how| {
        let create = Verb::Oci(&["create", "--bundle", "AT/b", "b"]);
        let hit = trial.interrupt(&inject, (number, how), &create);
        // Before its first step there is none of that id.
        let deleted = trial.oci(&["delete", "b"]);
        known += usize::from(deleted.code == 0);
        assert_eq!(pid(&trial, "a"), first, "{}: {deleted:?}", hit.what);
        trial.clean(&before, &hit.what);
        hit
    });
    // Where only a few of the calls are tried, it is the rest that has none.
    assert!(known > 10 || tried < 10, "{known} of {tried} had an id");
    trial.oci(&["delete", "--force", "a"]).ok();
}

/// A state of a newer version is read as far as it is known. One that tells nothing hides no other
/// one, and its container is not forgotten while somebody lives in its cgroup.
/// Red when `delete` of `src/runtime/src/remove.rs` removes the claim at once, and when
/// `Runtime::list` ends with the first failure.
#[test]
fn a_state_that_cannot_be_read_is_told_and_not_forgotten() {
    let Some((trial, bundle)) =
        trial!(a_state_that_cannot_be_read_is_told_and_not_forgotten, "sleep", "1000")
    else {
        return;
    };
    let before = trial.traces();
    let run = |id: &str| drop(trial.oci(&["run", "-d", "--bundle", &bundle, id]).ok());
    let state = trial.path("state/c/state");
    run("c");
    let newer = fs::read_to_string(&state).expect("state").replacen("n\":1,", "n\":2,\"x\":0,", 1);
    assert!(newer.starts_with("{\"version\":2,"), "{newer}");
    fs::write(&state, newer).expect("write");
    trial.oci(&["delete", "--force", "c"]).ok();
    trial.clean(&before, "a state of a newer version");
    run("c");
    run("other");
    let (first, whole) = (pid(&trial, "c"), fs::read(&state).expect("state"));
    let document = whole.split(|byte| *byte == b'\n').next_back().expect("document");
    for text in [&b""[..], b"{}", b"{\"version\":7}\n", &[b"?\n", document].concat()] {
        fs::write(&state, text).expect("write");
        let listed = trial.oci(&["list", "--quiet"]);
        assert_eq!(listed.ok(), "other\n");
        let listed = trial.oci(&["list", "--quiet"]);
        assert!(listed.err.contains("c/state"), "{listed:?}");
        let deleted = trial.oci(&["delete", "--force", "c"]);
        assert!(deleted.code == 1 && deleted.err.contains("1 processes are in"), "{deleted:?}");
        assert!(Path::new(&format!("/proc/{first}")).exists());
    }
    fs::write(&state, &whole).expect("write");
    trial.oci(&["kill", "c", "KILL"]).ok();
    trial.wait_for("its end", || trial.oci(&["state", "c"]).out.contains("stopped"));
    fs::write(&state, "").expect("write");
    // Nobody is left: now it goes, and so do the folders.
    let deleted = trial.oci(&["delete", "--force", "c"]);
    assert!(deleted.code == 0 && deleted.err.contains("warning"), "{deleted:?}");
    trial.oci(&["delete", "--force", "other"]).ok();
    trial.clean(&before, "states that cannot be read");
}
