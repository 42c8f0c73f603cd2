//! Both ways beside skopeo: push, pull, copy, platforms, pins, mounts, tags, deletion, referrers.

use crate::world::World;

const REGISTRY: &str = "127.0.0.1:5000";

fn world(name: &str) -> Option<World> {
    let mut world = World::new(scope::enter(&format!("exchange::{name}"))?);
    world.registry(5000, "", "");
    world.file("registries.conf", "[[registry]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n");
    Some(world)
}

#[test]
fn skopeo_takes_what_we_push_and_we_pull_what_skopeo_pushes() {
    let Some(world) = world("skopeo_takes_what_we_push_and_we_pull_what_skopeo_pushes") else {
        return;
    };
    let digest = world.layout("lay 1 3 1000000");
    world.sh(&format!(
        "skopeo copy -q --dest-tls-verify=false oci:lay:1 docker://{REGISTRY}/a/web:1"
    ));
    let out = world.podvisor(&format!("pull {REGISTRY}/a/web:1")).ok();
    assert_eq!(out, format!("pulled {REGISTRY}/a/web:1\n{digest}\n"));
    assert_eq!(world.sh("cat root/snapshots/*/file2 | wc -c").trim(), "1000000");
    assert_eq!(world.sh("find root/partial -type f"), "");
    let again = world.podvisor(&format!("pull {REGISTRY}/a/web:1"));
    assert!(
        again.err.contains("layer 3/3") && again.err.contains("there already"),
        "{}",
        again.err
    );
    // Another repository of the registry: nothing is sent twice.
    let pushed = world.podvisor(&format!("push {REGISTRY}/a/web:1 {REGISTRY}/b/web:2"));
    assert_eq!(pushed.err.matches("mounted").count(), 3, "{}", pushed.err);
    let pushed = world.podvisor(&format!("push {REGISTRY}/a/web:1 {REGISTRY}/b/web:3"));
    assert_eq!(pushed.err.matches("there already").count(), 4, "{}", pushed.err);
    world.sh(&format!(
        "skopeo copy -q --src-tls-verify=false docker://{REGISTRY}/b/web:2 oci:back:1"
    ));
    assert!(world.read("back/index.json").contains(&digest));
    let tags = world.podvisor(&format!("image tags {REGISTRY}/b/web")).ok();
    assert!(tags == "2\n3\n" || tags == "3\n2\n", "{tags}");
    // docker's schema 2, zstd layers.
    let copy = "skopeo copy -q --dest-tls-verify=false";
    world.sh(&format!("{copy} --format v2s2 oci:lay:1 docker://{REGISTRY}/a/docker:1"));
    world.sh("skopeo copy -q --dest-decompress oci:lay:1 dir:plain
         skopeo copy -q --dest-compress --dest-compress-format zstd dir:plain oci:z:1");
    world.podvisor(&format!("copy -q oci:z:1 {REGISTRY}/zstd/web:1")).ok();
    let other = world.path("other");
    world.podvisor(&format!("--root {other} pull -q {REGISTRY}/zstd/web:1")).ok();
    let shown = world.podvisor(&format!("--root {other} inspect {REGISTRY}/zstd/web:1")).ok();
    assert!(shown.contains("v1.tar+zstd"), "{shown}");
    let out = world.podvisor(&format!("pull -q {REGISTRY}/a/docker:1")).ok();
    assert_eq!(out, format!("{REGISTRY}/a/docker:1\n"));
    world.podvisor(&format!("image delete {REGISTRY}/b/web@{digest}")).ok();
    assert_eq!(world.podvisor(&format!("image tags {REGISTRY}/b/web")).ok(), "");
    let name = format!("{REGISTRY}/b/web:2");
    world.podvisor(&format!("pull {name}")).fails(1, &[REGISTRY, "repository b/web", "not found"]);
}

#[test]
fn the_platform_is_chosen_and_a_pin_holds() {
    let Some(world) = world("the_platform_is_chosen_and_a_pin_holds") else { return };
    let index = world.layout("lay 1 1 1000 linux/arm/v5 linux/arm/v6 linux/arm64/v8 linux/amd64");
    let name = format!("{REGISTRY}/multi:1");
    world.podvisor(&format!("copy -q --all oci:lay:1 {name}")).ok();
    world.podvisor(&format!("copy -q --all {name} oci:back:1")).ok();
    assert!(world.read("back/index.json").contains(&index));
    assert_eq!(world.sh("diff -r lay/blobs back/blobs"), "");
    for (platform, expected) in [
        ("linux/arm/v7", "linux/arm/v6"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("arm64", "linux/arm64/v8"),
        ("linux/amd64", "linux/amd64"),
    ] {
        world.podvisor(&format!("pull -q --platform {platform} {name}")).ok();
        let last = world.sh("ls -d root/snapshots/[0-9]* | sort -V | tail -n 1");
        assert_eq!(world.sh(&format!("cat {}/platform", last.trim())), expected);
    }
    world
        .podvisor(&format!("pull --platform linux/s390x {name}"))
        .fails(1, &["linux/s390x", "linux/arm/v5, linux/arm/v6"]);
    let out = world.podvisor(&format!("pull {REGISTRY}/multi@{index}")).ok();
    assert!(out.starts_with("pulled sha256:"), "{out}");
    world.podvisor(&format!("inspect {REGISTRY}/multi@{index}")).ok();
    let other = format!("sha256:{}", "0".repeat(64));
    world.podvisor(&format!("pull {REGISTRY}/multi@{other}")).fails(1, &["not found"]);
    // Nor is another one taken that the registry gives for it.
    let second = world.layout("second 1 2 1000");
    world.podvisor(&format!("copy -q oci:second:1 {REGISTRY}/multi:2")).ok();
    let data = |digest: &str| {
        let hex = &digest["sha256:".len()..];
        format!("registry5000/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
    };
    world.sh(&format!("cp {} {}", data(&second), data(&index)));
    let pull = format!("--root {} pull -q {REGISTRY}/multi@{index}", world.path("fresh"));
    world.podvisor(&pull).fails(1, &[&index, &second]);
}

/// Red without `no_urls` in `pull::manifest`.
#[test]
fn a_layer_that_is_to_come_from_elsewhere_is_refused() {
    let name = "a_layer_that_is_to_come_from_elsewhere_is_refused";
    let Some(mut world) = world(name) else { return };
    // A registry that takes such layers.
    world.registry(5001, "", "validation: {manifests: {urls: {allow: ['^http:']}}}");
    const OTHER: &str = "127.0.0.1:5001";
    world.file("registries.conf", &format!("[[registry]]\nlocation=\"{OTHER}\"\ninsecure=true\n"));
    world.layout("lay 1 1 1000");
    world.file(
        "elsewhere.py",
        "import hashlib, json, os
os.chdir('lay')
index = json.load(open('index.json'))
entry = index['manifests'][0]
manifest = json.load(open('blobs/' + entry['digest'].replace(':', '/')))
manifest['layers'][0]['urls'] = ['http://127.0.0.1:1/layer']
text = json.dumps(manifest).encode()
entry.update(digest='sha256:' + hashlib.sha256(text).hexdigest(), size=len(text))
open('blobs/' + entry['digest'].replace(':', '/'), 'wb').write(text)
json.dump(index, open('index.json', 'w'))
",
    );
    world.sh("python3 elsewhere.py");
    world.podvisor(&format!("copy -q oci:lay:1 {OTHER}/elsewhere:1")).ok();
    let pull = format!("pull -q {OTHER}/elsewhere:1");
    world.podvisor(&pull).fails(1, &["layer 1", "other addresses", "urls"]);
    assert_eq!(world.sh("find root/partial root/store/blobs -type f 2>/dev/null || true"), "");
}

#[test]
fn referrers_are_entered_where_the_registry_does_not() {
    let Some(world) = world("referrers_are_entered_where_the_registry_does_not") else { return };
    let digest = world.layout("lay 1 1 1000");
    let name = format!("{REGISTRY}/r/web");
    world.podvisor(&format!("copy -q oci:lay:1 {name}:1")).ok();
    let size = world.sh(&format!("stat -c %s lay/blobs/sha256/{}", &digest[7..]));
    let artifact = format!(
        "printf {{}} >empty; e=$(sha256sum empty | cut -d' ' -f1); mkdir -p art/blobs/sha256
         cp empty art/blobs/sha256/$e; cp lay/oci-layout art/
         printf '{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"artifactType\":\"test/sig\",\"config\":{{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\
         \"digest\":\"sha256:%s\",\"size\":2}},\"layers\":[],\"subject\":{{\"mediaType\":\
         \"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"{digest}\",\"size\":{}}}}}' $e >m
         d=$(sha256sum m | cut -d' ' -f1); cp m art/blobs/sha256/$d
         printf '{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\
         \"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\",\"size\":%s}}]}}' \
         $d $(stat -c %s m) >art/index.json; echo sha256:$d",
        size.trim()
    );
    let artifact = world.sh(&artifact);
    let artifact = artifact.trim();
    world.podvisor(&format!("copy -q oci:art {name}@{artifact}")).ok();
    let listed = world.podvisor(&format!("image referrers {name}:1")).ok();
    assert!(listed.contains("test/sig") && listed.contains(artifact), "{listed}");
    world.podvisor(&format!("copy -q oci:art {name}@{artifact}")).ok();
    let again = world.podvisor(&format!("image referrers {name}:1")).ok();
    assert_eq!(again, listed);
}
