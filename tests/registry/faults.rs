//! Downloads that break: they go on, nothing comes twice, nothing wrong comes in.

use std::process::Stdio;

use crate::world::World;

const SIZE: u64 = 4_000_000;

/// A registry with an image of one layer behind a proxy with a fault, on port 5001.
fn world(name: &str, fault: &str, layers: usize) -> Option<World> {
    let mut world = World::new(scope::enter(&format!("faults::{name}"))?);
    world.registry(5000, "", "");
    world.proxy(5001, 5000, fault);
    let insecure = |p| format!("[[registry]]\nlocation = \"127.0.0.1:{p}\"\ninsecure = true\n");
    world.file("registries.conf", &(insecure(5000) + &insecure(5001)));
    world.layout(&format!("lay 1 {layers} {SIZE}"));
    world.podvisor("copy -q oci:lay:1 127.0.0.1:5000/web:1").ok();
    Some(world)
}

const PULL: &str = "pull -q 127.0.0.1:5001/web:1";

#[test]
fn cut_connections_are_gone_on_with() {
    let Some(world) = world("cut_connections_are_gone_on_with", "cut:1500000", 1) else { return };
    world.podvisor(PULL).ok();
    let (bytes, answers) = world.sent(5001);
    assert!(answers >= 3, "{}", world.read("proxy5001"));
    // The configuration and the layer, nothing twice.
    assert!((SIZE..SIZE + 20_000).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_killed_pull_is_gone_on_with() {
    let Some(world) = world("a_killed_pull_is_gone_on_with", "slow:700000", 1) else { return };
    let mut first = world.command(PULL).stdout(Stdio::null()).spawn().unwrap();
    let kept = || {
        let sizes = world.sh("stat -c %s root/partial/* 2>/dev/null || true");
        sizes.lines().filter_map(|l| l.parse::<u64>().ok()).max()
    };
    world.until("a megabyte has come", || kept().filter(|k| *k > 1_000_000));
    first.kill().unwrap();
    first.wait().unwrap();
    let kept = kept().unwrap();
    world.podvisor(PULL).ok();
    let log = world.read("proxy5001");
    assert!(log.contains(&format!("bytes={kept}-")), "kept {kept}: {log}");
    assert_eq!(world.sh("find root/partial root/staging -type f"), "");
    assert_eq!(world.sh("cat root/snapshots/*/file0 | wc -c").trim(), SIZE.to_string());
}

#[test]
fn what_a_broken_pull_has_left_goes_with_prune() {
    let name = "what_a_broken_pull_has_left_goes_with_prune";
    let Some(world) = world(name, "silent:1000000", 1) else { return };
    let pull = || world.command(PULL).stdout(Stdio::null()).spawn().unwrap();
    let kept = || world.sh("cat root/partial/* 2>/dev/null | wc -c").trim().parse::<u64>().unwrap();
    let mut first = pull();
    world.until("something has come", || (kept() > 500_000).then_some(()));
    // Somebody is at it.
    let pruned = world.podvisor("image prune");
    assert!(!pruned.err.contains("freed"), "{}", pruned.err);
    assert!(kept() > 500_000);
    first.kill().unwrap();
    first.wait().unwrap();
    let left = kept();
    let usage = world.podvisor("system df -o json").ok();
    assert!(usage.contains(&format!("\"downloadBytes\": {left}")), "{left}: {usage}");
    let pruned = world.podvisor("image prune");
    assert!(pruned.err.contains("freed"), "{}", pruned.err);
    assert_eq!(kept(), 0);
    world.podvisor("pull -q 127.0.0.1:5000/web:1").ok();
}

#[test]
fn two_pulls_download_a_blob_once() {
    let Some(world) = world("two_pulls_download_a_blob_once", "slow:8000000", 3) else { return };
    let pull = || world.command(PULL).stdout(Stdio::null()).spawn().unwrap();
    let mut all = [pull(), pull(), pull()];
    for one in &mut all {
        assert!(one.wait().unwrap().success());
    }
    let log = world.read("proxy5001");
    let layers = log.lines().filter(|l| l.split(' ').next().unwrap().len() > 6).count();
    assert_eq!(layers, 3, "{log}");
    assert_eq!(world.sh("ls root/snapshots | grep -c '^[0-9]'").trim(), "3");
}

#[test]
fn a_wrong_blob_is_fetched_once_more_and_then_refused() {
    let Some(mut world) = world("a_wrong_blob_is_fetched_once_more_and_then_refused", "corrupt", 1)
    else {
        return;
    };
    let before = world.podvisor("images").ok();
    world.podvisor(PULL).fails(1, &["127.0.0.1:5001/web", "does not have the digest"]);
    assert_eq!(world.podvisor("images").ok(), before);
    world.proxy(5002, 5000, "corrupt-once");
    world.sh(
        "printf '[[registry]]\nlocation=\"127.0.0.1:5002\"\ninsecure=true\n' >>registries.conf",
    );
    // The configuration is the blob that is wrong first, which is not repeated: it is small.
    world.podvisor("pull -q 127.0.0.1:5002/web:1").fails(1, &["configuration"]);
    world.podvisor("pull -q 127.0.0.1:5002/web:1").ok();
    // What is kept may be wrong, too.
    world.podvisor("rmi 127.0.0.1:5002/web:1").ok();
    world.sh(
        "h=$(ls -S lay/blobs/sha256 | head -n 1); head -c 1000000 /dev/urandom >root/partial/$h",
    );
    world.podvisor("pull -q 127.0.0.1:5002/web:1").ok();
    assert_eq!(world.sh("find root/partial root/staging -type f"), "");
}

#[test]
fn of_a_chunked_layer_only_the_difference_is_downloaded() {
    let name = "of_a_chunked_layer_only_the_difference_is_downloaded";
    let Some(world) = world(name, "pass", 1) else { return };
    // Two layers that differ in one small file; skopeo compresses them in pieces.
    for (tag, platform) in [("old", "linux/amd64"), ("new", "linux/arm64")] {
        world.layout(&format!("lay-{tag} 1 1 {SIZE} {platform}"));
        world.sh(&format!(
            "skopeo copy -q --dest-decompress oci:lay-{tag}:1 dir:plain-{tag}
             skopeo copy -q --dest-compress --dest-compress-format zstd:chunked dir:plain-{tag} \
             oci:chunked-{tag}:1"
        ));
        assert!(world.sh(&format!("cat chunked-{tag}/blobs/sha256/*")).contains("zstd-chunked"));
        world.podvisor(&format!("copy -q oci:chunked-{tag}:1 127.0.0.1:5000/c:{tag}")).ok();
    }
    world.podvisor("pull -q 127.0.0.1:5001/c:old").ok();
    let (before, _) = world.sent(5001);
    assert!(before > SIZE, "{before}");
    world.podvisor("pull -q --platform linux/arm64 127.0.0.1:5001/c:new").ok();
    let (after, _) = world.sent(5001);
    assert!(after - before < 100_000, "{} bytes: {}", after - before, world.read("proxy5001"));
    let last = world.sh("ls -d root/snapshots/[0-9]* | sort -V | tail -n 1");
    assert_eq!(world.sh(&format!("cat {}/platform", last.trim())), "linux/arm64");
    world.sh(&format!("cmp {}/file0 root/snapshots/1/file0", last.trim()));
    assert_eq!(
        world.sh("skopeo inspect oci:root/store:127.0.0.1:5001/c:new >/dev/null && echo ok"),
        "ok\n"
    );
}

#[test]
fn a_busy_registry_is_asked_again() {
    let Some(world) = world("a_busy_registry_is_asked_again", "busy:3", 1) else { return };
    world.podvisor(PULL).ok();
}

#[test]
fn a_blob_goes_in_chunks_where_a_request_may_not_be_large() {
    let name = "faults::a_blob_goes_in_chunks_where_a_request_may_not_be_large";
    let Some(scope) = scope::enter(name) else { return };
    let mut world = World::new(scope);
    const MIB: u64 = 1 << 20;
    world.layout(&format!("lay 1 1 {}", 35 * MIB));
    for (port, least, chunk) in [(5004, 0, 16 * MIB), (5005, 18 * MIB, 18 * MIB)] {
        world.chunks(port, 20 * MIB, least);
        world.file(
            "registries.conf",
            &format!("[[registry]]\nlocation = \"127.0.0.1:{port}\"\ninsecure = true\n"),
        );
        world.podvisor(&format!("copy -q oci:lay:1 127.0.0.1:{port}/a/web:1")).ok();
        let log = world.read(&format!("chunks{port}"));
        let of = |method: &str| -> Vec<Vec<&str>> {
            let lines = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            lines.filter(|words| words[0] == method).map(|words| words[1..].to_vec()).collect()
        };
        // The layer whole, which is refused, then in parts; the configuration whole.
        let parts = of("PATCH");
        assert!(parts.iter().all(|part| part[2] == "202"), "{log}");
        assert_eq!(parts[0][1], format!("0-{}", chunk - 1), "{log}");
        assert_eq!(parts.len() as u64, (35 * MIB).div_ceil(chunk), "{log}");
        let puts: Vec<&str> = of("PUT").iter().map(|put| put[2]).collect();
        assert_eq!(puts.iter().filter(|status| **status == "413").count(), 1, "{log}");
        assert_eq!(puts.iter().filter(|status| **status == "201").count(), 2, "{log}");
        world.podvisor(&format!("copy -q 127.0.0.1:{port}/a/web:1 oci:back{port}:1")).ok();
        assert_eq!(world.sh(&format!("diff -r lay/blobs back{port}/blobs")), "");
    }
}
