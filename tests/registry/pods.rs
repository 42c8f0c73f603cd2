//! Images that come when a pod needs them.

use std::time::{Duration, Instant};

use crate::world::World;

const IMAGE: &str = "127.0.0.1:5000/bb:1";

/// A registry that has busybox, and a store that has it no more.
fn world(name: &str) -> Option<World> {
    let mut world = World::new(scope::enter(&format!("pods::{name}"))?);
    world.registry(5000, "", "");
    world.file("registries.conf", "[[registry]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n");
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs/busybox/recipe.sh");
    world.sh(&format!("{recipe} bb.tar"));
    world.podvisor(&format!("import -q bb.tar {IMAGE}")).ok();
    world.podvisor(&format!("push -q {IMAGE}")).ok();
    world.podvisor(&format!("rmi {IMAGE}")).ok();
    Some(world)
}

fn manifest(world: &World, image: &str, policy: &str) {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: one}}\nspec:\n  restartPolicy: Never\n  \
         containers: [{{name: a, image: \"{image}\", imagePullPolicy: {policy}, command: [\"true\"]}}]\n"
    );
    world.file("pod.yaml", &text);
}

#[test]
fn run_brings_its_image() {
    let Some(world) = world("run_brings_its_image") else { return };
    world
        .podvisor(&format!("run --rm --pull never {IMAGE} echo hi"))
        .fails(125, &["podvisor load"]);
    let out = world.podvisor(&format!("run --rm {IMAGE} echo hi")).ok();
    assert_eq!(out, "hi\n");
    let out = world.podvisor(&format!("run --rm --pull always {IMAGE} echo hi"));
    assert!(out.err.contains("there already"), "{}", out.err);
    world
        .podvisor("run --rm 127.0.0.1:5000/none:1 true")
        .fails(125, &["repository none", "not found"]);
}

#[test]
fn a_pod_brings_its_image_and_waits_for_one_that_is_not_there() {
    let name = "a_pod_brings_its_image_and_waits_for_one_that_is_not_there";
    let Some(world) = world(name) else { return };
    manifest(&world, IMAGE, "Always");
    world.podvisor("up --until-done -f pod.yaml").ok();
    assert!(world.podvisor("images -q").ok().contains(IMAGE));
    world.podvisor("down").ok();
    manifest(&world, "127.0.0.1:5000/late:1", "IfNotPresent");
    world.podvisor("up -d -f pod.yaml").ok();
    let shown = || world.podvisor("get pods -o json").ok();
    world.until("the pull has failed", || {
        let pods = shown();
        (pods.contains("ErrImagePull") || pods.contains("ImagePullBackOff"))
            .then(|| assert!(pods.contains("repository late"), "{pods}"))
    });
    world.podvisor(&format!("push -q {IMAGE} 127.0.0.1:5000/late:1")).ok();
    world.until("it has run", || shown().contains("Succeeded").then_some(()));
    world.podvisor("down").ok();
}

#[test]
fn a_pull_ends_with_its_pod() {
    let Some(world) = world("a_pull_ends_with_its_pod") else { return };
    // The whole of it would take 40 s.
    ends_with_its_pod(world, "slow:100000");
}

/// Red without `Agents::shut_down`: a silence is waited for 30 s.
#[test]
fn a_pull_of_a_silent_server_ends_with_its_pod() {
    let Some(world) = world("a_pull_of_a_silent_server_ends_with_its_pod") else { return };
    ends_with_its_pod(world, "silent:200000");
}

fn ends_with_its_pod(mut world: World, fault: &str) {
    const SIZE: u64 = 4_000_000;
    world.proxy(5001, 5000, fault);
    world.sh(
        "printf '[[registry]]\nlocation=\"127.0.0.1:5001\"\ninsecure=true\n' >>registries.conf",
    );
    world.layout(&format!("lay 1 1 {SIZE}"));
    world.podvisor("copy -q oci:lay:1 127.0.0.1:5000/big:1").ok();
    let kept = || {
        let sizes = world.sh("stat -c %s root/partial/* 2>/dev/null || true");
        sizes.lines().filter_map(|l| l.parse::<u64>().ok()).max()
    };
    manifest(&world, "127.0.0.1:5001/big:1", "IfNotPresent");
    world.podvisor("up -d -f pod.yaml").ok();
    world.until("something has come", || kept().filter(|k| *k > 100_000));
    let begun = Instant::now();
    world.podvisor("delete pod one").ok();
    // One answer was broken off, and none follows.
    world.until("the download has ended", || {
        let log = world.read("proxy5001");
        let mut sent = log.lines().filter_map(|l| l.split(' ').next()?.parse::<u64>().ok());
        // The configuration is small.
        sent.any(|bytes| bytes > 10_000).then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let kept = kept().expect("what has come is kept");
    assert!(kept < SIZE / 2, "{kept}");
    world.podvisor("down").ok();
}

/// A Secret with a password for the registry, and a pod that names it.
fn with_secret(world: &World, password: &str, secret: &str) {
    let auth = world.sh(&format!("printf me:{password} | base64 -w0"));
    let config = format!("{{\"auths\":{{\"127.0.0.1:5002\":{{\"auth\":\"{auth}\"}}}}}}");
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: creds}}\n\
         type: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: '{config}'\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: one}}\nspec:\n  restartPolicy: Never\n  \
         imagePullSecrets: [{{name: {secret}}}]\n  containers:\n  - name: a\n    \
         image: 127.0.0.1:5002/bb:1\n    command: [\"true\"]\n"
    );
    world.file("pod.yaml", &text);
}

#[test]
fn a_pods_secrets_open_its_registry_and_are_seen_nowhere() {
    let name = "a_pods_secrets_open_its_registry_and_are_seen_nowhere";
    let Some(mut world) = world(name) else { return };
    world.sh("python3 -W ignore -c \"import crypt; \
         print('me:' + crypt.crypt('hunter2', crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))\" \
         >htpasswd");
    let password =
        format!("auth:\n  htpasswd:\n    realm: r\n    path: {}", world.path("htpasswd"));
    world.registry(5002, "", &password);
    world.sh(
        "printf '[[registry]]\nlocation=\"127.0.0.1:5002\"\ninsecure=true\n' >>registries.conf",
    );
    let copy = format!("copy -q --dest-creds me:hunter2 {IMAGE} 127.0.0.1:5002/bb:1");
    world.podvisor(&copy).ok();
    let shown = || world.podvisor("get pods -o json").ok();
    let told = |words: &str| {
        world.until(words, || shown().contains(words).then_some(()));
    };
    // A name that is none, another's password, and then the right one.
    with_secret(&world, "hunter2", "missing");
    world.podvisor("up -d -f pod.yaml").ok();
    told("credentials are needed");
    with_secret(&world, "hunter3", "creds");
    world.podvisor("apply -f pod.yaml").ok();
    told("credentials are refused");
    with_secret(&world, "hunter2", "creds");
    world.podvisor("apply -f pod.yaml").ok();
    told("Succeeded");
    assert!(world.podvisor("images -q").ok().contains("127.0.0.1:5002/bb:1"));
    // It is kept: by a supervisor that starts anew, too.
    let listed = world.podvisor("get secrets").ok();
    assert!(listed.contains("creds") && listed.contains("dockerconfigjson"), "{listed}");
    world.podvisor("down --keep").ok();
    world.podvisor("rmi -f 127.0.0.1:5002/bb:1").ok();
    with_secret(&world, "hunter2", "creds");
    let pod =
        world.read("pod.yaml").split("---\n").nth(1).unwrap().replace("name: one", "name: two");
    world.file("two.yaml", &pod);
    world.podvisor("up -d -f two.yaml").ok();
    world.until("the second pod has run", || {
        (shown().matches("Succeeded").count() >= 2).then_some(())
    });
    // Neither the password nor what it is encoded to is where anybody may read it.
    let words = world.sh("printf hunter2; printf '\\n'; printf me:hunter2 | base64 -w0; \
        printf '\\n'; printf '\"auth\":\"%s' $(printf me:hunter2 | base64 -w0) | base64 -w0 | cut -c5-24");
    world.file("words", &words);
    let found = world.sh("grep -rlFf words root state log 2>/dev/null || true");
    for file in found.lines() {
        let mode = world.sh(&format!("stat -c %a {file} root | tr '\\n' ' '"));
        assert_eq!(mode, "600 700 ", "{file}");
    }
    let told = ["describe pod one", "describe secret creds", "get events", "get pods -o yaml"]
        .map(|words| world.podvisor(words).ok());
    assert!(told.iter().all(|text| !text.contains("hunter") && !text.contains("bWU6")), "{told:?}");
    world.podvisor("delete secret creds").ok();
    assert_eq!(world.podvisor("get secrets -o name").ok(), "");
    world.podvisor("down").ok();
}
