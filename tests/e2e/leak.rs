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
    // A folder of this test's own: other tests take their censuses at the same time.
    let folder = scope::Folder::new("leak");
    let plant = shell(&format!("mkdir {}/planted", folder.display()));
    let watched = [folder.to_path_buf()];
    let (status, leaks) =
        scope::run_watching(Path::new("sh"), &plant, false, &watched).expect("scope");
    assert!(status.success());
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

#[test]
fn what_a_killed_scope_left_goes_with_the_next() {
    let name = "leak::what_a_killed_scope_left_goes_with_the_next";
    let Some(_scope) = scope::enter(name) else { return };
    let mut ended = Command::new("true").spawn().expect("true");
    ended.wait().expect("wait");
    let left = format!("/sys/fs/cgroup/pids/podvisor-test-{}-0", ended.id());
    fs::create_dir_all(format!("{left}/below")).expect("mkdir");
    let done = scope::run_command(Path::new("true"), &[], false).expect("scope");
    assert!(done.0.success() && done.1.is_empty(), "{done:?}");
    assert!(!Path::new(&left).exists());
}
