//! The census itself: a planted leak must fail.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

fn shell(line: &str) -> Vec<OsString> {
    ["-c", line].map(OsString::from).to_vec()
}

/// Each line leaves one thing on the host; the census must name it. What is planted is taken away.
#[test]
fn a_planted_leak_on_the_host_is_found() {
    let (status, leaks) =
        scope::run_command(Path::new("sh"), &shell("mkdir -p /run/podvisor/planted"), false)
            .expect("scope");
    assert!(status.success());
    let _ = fs::remove_dir("/run/podvisor/planted");
    let _ = fs::remove_dir("/run/podvisor");
    assert!(leaks.iter().any(|l| l.kind == "file" && l.what.contains("planted")), "{leaks:?}");
}

#[test]
fn a_planted_leak_inside_a_scope_is_found() {
    let Some(scope) = scope::enter("leak::a_planted_leak_inside_a_scope_is_found") else { return };
    let plants = [
        ("mount", "mount -t tmpfs planted /mnt", "umount /mnt"),
        ("cgroup", "mkdir /sys/fs/cgroup/pids/planted", "rmdir /sys/fs/cgroup/pids/planted"),
        ("link", "ip link add planted type bridge", "ip link del planted"),
        ("rule", "nft add table inet planted", "nft delete table inet planted"),
        ("file", "mkdir -p /run/podvisor-oci/planted", "rm -r /run/podvisor-oci/planted"),
    ];
    for (kind, plant, remove) in plants {
        let run = |line: &str| Command::new("sh").args(["-ec", line]).status().expect("sh");
        assert!(run(plant).success(), "{plant}");
        let leaks = scope.leaks();
        assert!(leaks.iter().any(|l| l.kind == kind), "{plant}: {leaks:?}");
        assert!(run(remove).success(), "{remove}");
        assert_eq!(scope.leaks(), [], "{remove}");
    }
    let sleeper = Command::new("sleep").arg("100").spawn();
    let mut sleeper = sleeper.expect("sleep");
    assert!(scope.leaks().iter().any(|l| l.kind == "process"));
    sleeper.kill().expect("kill");
    sleeper.wait().expect("wait");
}
