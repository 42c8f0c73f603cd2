//! A mount namespace that is joined, where somebody mounts over the kernel's files meanwhile.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;

use super::round::{lighten, rounds, rounds_at_most};
use crate::trial::Trial;

/// What is to be written into a sysctl is never in what is mounted over it.
#[test]
fn sysctl() {
    let Some(scope) = scope::enter("race::joined::sysctl") else { return };
    let trial = Trial::new(scope, &["true"]);
    let (canary, tool) = (trial.path("canary"), trial.tool("overmount"));
    fs::write(&canary, "untouched").expect("canary");
    let file = "/proc/sys/kernel/domainname";
    trial.change(|config| {
        lighten(config);
        config["linux"]["sysctl"] = json!({"kernel.domainname": "written"});
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.push(json!({"type": "uts"}));
    });
    let before = trial.traces();
    let bundle = trial.path("b").display().to_string();
    let (mut made, mut refused, mut exchanges) = (0, 0, 0_u64);
    for round in 0..rounds_at_most() {
        if round >= rounds() && made > 0 && refused > 0 {
            break;
        }
        let mut racer = Command::new(&tool);
        let mut racer = racer.arg(&canary).arg(file).stdout(Stdio::piped()).spawn().expect("racer");
        let mut lines = BufReader::new(racer.stdout.take().expect("stdout")).lines();
        lines.next().expect("ready").expect("line");
        trial.change(|config| {
            for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
                if namespace["type"] == "mount" {
                    namespace["path"] = json!(format!("/proc/{}/ns/mnt", racer.id()));
                }
            }
        });
        let run = ["--cgroup-manager", "disabled", "run", "--bundle", &bundle, "c"];
        let done = trial.oci(&run);
        // The racer ends with its count when nothing is said to it any more.
        let _ = Command::new("kill").args(["-TERM", &racer.id().to_string()]).status();
        let count = lines.next().and_then(Result::ok).and_then(|line| line.parse().ok());
        exchanges += count.unwrap_or(0);
        racer.wait().expect("wait");
        match done.code {
            0 => made += 1,
            1 => refused += 1,
            code => panic!("round {round}: {code}: {}{}", done.out, done.err),
        }
        let text = fs::read_to_string(&canary).expect("canary");
        assert_eq!(text, "untouched", "round {round}");
    }
    println!("race::joined::sysctl: {made} made, {refused} refused, {exchanges} exchanges");
    assert!(made > 0 && refused > 0 && exchanges > 0, "not raced");
    trial.clean(&before, "a race");
}
