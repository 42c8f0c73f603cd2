//! Containers as images and archives: commit, diff, export, history.

use serde_json::{Value, json};

use crate::workbench::{Bench, sh};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: work}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  \
    - name: main\n    image: busybox\n    command: [sh, -c, 'echo new >/new; rm /etc/group; \
    touch /etc/passwd; echo ready >/ready; exec sleep 1000']\n";

#[test]
fn a_containers_changes_become_an_image() {
    let Some(scope) = scope::enter("containers::a_containers_changes_become_an_image") else {
        return;
    };
    let mut bench = Bench::new(scope);
    bench.host.serve();
    bench.host.apply(POD);
    bench.host.ready("work");
    bench.host.until("the command has written", || {
        let done = bench.host.podvisor(&["exec", "work", "cat", "/ready"]);
        (done.code == 0).then_some(())
    });
    let changes = bench.host.podvisor(&["diff", "work/main"]).ok();
    for line in ["A /new", "D /etc/group", "C /etc/passwd", "C /etc"] {
        assert!(changes.lines().any(|l| l == line), "{line} in {changes}");
    }
    let listed = bench.host.podvisor(&["diff", "-o", "json", "work"]).ok();
    let listed: Vec<Value> = serde_json::from_str(&listed).expect("json");
    assert!(listed.contains(&json!({"kind": "A", "path": "/new"})), "{listed:?}");

    let tar = bench.host.path("root.tar").display().to_string();
    bench.host.podvisor(&["export", "-o", &tar, "work"]).ok();
    let names = sh(&format!("tar -tf {tar}"));
    assert!(names.lines().any(|n| n == "new") && names.lines().any(|n| n == "bin/busybox"));
    assert!(!names.lines().any(|n| n == "etc/group" || n.contains(".wh.")), "{names}");

    let change = ["--change", "CMD [\"/bin/cat\", \"/new\"]", "-c", "ENV A=b", "-m", "by hand"];
    bench.host.podvisor(&[&["commit"], &change[..], &["work", "kept:1"]].concat()).ok();
    let image = bench.inspect("kept:1");
    assert_eq!(image["image"]["config"]["Cmd"], json!(["/bin/cat", "/new"]));
    let env = image["image"]["config"]["Env"].to_string();
    assert!(env.contains("A=b"), "{env}");
    let wrong = bench.host.podvisor(&["commit", "-c", "RUN x", "work", "kept:2"]);
    wrong.fails(1, &["RUN x", "Containerfile"]);
    // It was paused only for the moment.
    bench.host.podvisor(&["exec", "work", "true"]).ok();
    let used = "FROM kept:1\nRUN test -f /new && test ! -e /etc/group && test \"$A\" = b\n";
    bench.context("use", &[("Containerfile", used)]);
    bench.build("use", &["-t", "used:1"]).ok();
    let history = bench.host.podvisor(&["history", "used:1"]).ok();
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines[1].contains("RUN test -f /new"), "{history}");
    assert!(lines[2].contains("by hand"), "{history}");
    let layers = bench.host.podvisor(&["diff", "kept:1"]).ok();
    assert!(layers.contains("A /new\n") && layers.contains("sha256:"), "{layers}");
    bench.host.podvisor(&["diff", "nothing"]).fails(1, &["nothing"]);
    bench.host.podvisor(&["delete", "pod", "work"]).ok();
    bench.host.down();
}
