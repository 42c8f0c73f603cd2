//! The policy at work: signatures as cosign makes them, made here by openssl.

use crate::world::World;

const NAME: &str = "127.0.0.1:5000/team/web";

/// Writes a signature of `digest` for `name` by KEY.pem as a layout, and pushes it: under cosign's
/// tag, or as a referrer when `subject` says of what.
fn sign(world: &World, key: &str, digest: &str, name: &str, subject: Option<&str>) {
    let options = if key == "ed" { "-rawin" } else { "" };
    let to = match subject {
        None => format!("{NAME}:sha256-{}.sig", &digest[7..]),
        Some(_) => format!("{NAME}@$m"),
    };
    let subject = subject.map_or(String::new(), |s| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        format!(
            ",\"artifactType\":\"application/vnd.dev.cosign.artifact.sig.v1+json\",\
             \"subject\":{{\"mediaType\":\"{media_type}\",\"digest\":\"{s}\",\"size\":1}}"
        )
    });
    let payload = format!(
        "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"{name}\"}},\"image\":\
         {{\"docker-manifest-digest\":\"{digest}\"}},\"type\":\"cosign container image signature\"}},\
         \"optional\":null}}"
    );
    world.file("payload", &payload);
    world.file("subject", &subject);
    world.sh(&format!(
        "rm -rf sig; mkdir -p sig/blobs/sha256; cp lay/oci-layout sig/
         if [ {key} = ed ]; then
           openssl pkeyutl -sign -inkey {key}.pem {options} -in payload -out raw
         else openssl dgst -sha256 -sign {key}.pem -out raw payload; fi
         s=$(base64 -w0 raw)
         put() {{ h=$(sha256sum $1 | cut -d' ' -f1); cp $1 sig/blobs/sha256/$h; }}
         put payload; p=$h; printf {{}} >config; put config; c=$h
         printf '{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:%s\",\
         \"size\":2}},\"layers\":[{{\"mediaType\":\"application/vnd.dev.cosign.simplesigning.v1+json\",\
         \"digest\":\"sha256:%s\",\"size\":%s,\"annotations\":{{\
         \"dev.cosignproject.cosign/signature\":\"%s\"}}}}]%s}}' \
         $c $p $(stat -c %s payload) $s \"$(cat subject)\" >manifest
         put manifest; echo sha256:$h >m
         printf '{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\
         \"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\",\"size\":%s}}]}}' \
         $h $(stat -c %s manifest) >sig/index.json"
    ));
    let to = to.replace("$m", world.read("m").trim());
    world.podvisor(&format!("copy -q oci:sig {to}")).ok();
}

/// A registry without TLS that the settings allow.
fn registry(scope: scope::Scope) -> World {
    let mut world = World::new(scope);
    world.registry(5000, "", "");
    world.file("registries.conf", "[[registry]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n");
    world
}

/// The layout `lay` for two platforms, its digest, and a key pair `ec`.
fn index_and_key(world: &World) -> String {
    world.sh("openssl ecparam -genkey -name prime256v1 -noout -out ec.pem
         openssl pkey -in ec.pem -pubout -out ec.pub");
    world.layout("lay 1 1 1000 linux/arm64 linux/amd64")
}

fn policy(world: &World, key: &str, more: &str) {
    let path = world.path(key);
    let text = format!(
        "{{\"default\":[{{\"type\":\"reject\"}}],\"transports\":{{\"docker\":{{\
         \"127.0.0.1:5000/team\":[{{\"type\":\"sigstoreSigned\",\"keyPath\":\"{path}\"{more}}}],\
         \"127.0.0.1:5000/free\":[{{\"type\":\"insecureAcceptAnything\"}}],\
         \"127.0.0.1:5000/gpg\":[{{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"/k\"}}]\
         }},\"oci\":{{\"{}\":[{{\"type\":\"insecureAcceptAnything\"}}]}}}}}}",
        world.path("sig")
    );
    world.file("policy.json", &text);
}

#[test]
fn only_what_the_policys_key_has_signed_comes_in() {
    let Some(scope) = scope::enter("trust::only_what_the_policys_key_has_signed_comes_in") else {
        return;
    };
    let world = registry(scope);
    world.sh(
        "for k in ec other; do openssl ecparam -genkey -name prime256v1 -noout -out $k.pem; done
         openssl genpkey -algorithm ed25519 -out ed.pem
         for k in ec other ed; do openssl pkey -in $k.pem -pubout -out $k.pub 2>/dev/null; done",
    );
    let digest = world.layout("lay 1 1 1000");
    for place in ["team/web:1", "free/web:1", "gpg/web:1", "rest/web:1"] {
        world.podvisor(&format!("copy -q oci:lay:1 127.0.0.1:5000/{place}")).ok();
    }
    let pull = format!("pull -q {NAME}:1");
    world.podvisor(&pull).ok();
    policy(&world, "ec.pub", "");
    world.podvisor("pull -q 127.0.0.1:5000/free/web:1").ok();
    world.podvisor("pull -q 127.0.0.1:5000/rest/web:1").fails(1, &["not trusted", "rejects"]);
    world.podvisor("pull -q 127.0.0.1:5000/gpg/web:1").fails(1, &["signedBy", "not supported"]);
    world.podvisor(&pull).fails(1, &["127.0.0.1:5000/team/web:1", "no signature", "policy.json"]);
    sign(&world, "other", &digest, NAME, None);
    world.podvisor(&pull).fails(1, &["not made by the key"]);
    sign(&world, "ec", &format!("sha256:{}", "0".repeat(64)), NAME, None);
    world.podvisor(&pull).fails(1, &["not made by the key"]);
    sign(&world, "ec", &digest, "127.0.0.1:5000/other/web", None);
    world.podvisor(&pull).fails(1, &["for the name 127.0.0.1:5000/other/web"]);
    sign(&world, "ec", &digest, NAME, None);
    world.podvisor(&pull).ok();
    world.podvisor(&format!("pull -q {NAME}@{digest}")).ok();
    // Ed25519, as a referrer.
    policy(&world, "ed.pub", ",\"signedIdentity\":{\"type\":\"matchRepository\"}");
    world.podvisor(&pull).fails(1, &["not made by the key"]);
    sign(&world, "ed", &digest, NAME, Some(&digest));
    world.podvisor(&pull).ok();
    policy(&world, "missing.pub", "");
    world.podvisor(&pull).fails(1, &["missing.pub"]);
    world.file("policy.json", "{");
    world.podvisor(&pull).fails(1, &["policy"]);
}

#[test]
fn the_signature_of_an_index_covers_its_images() {
    let Some(scope) = scope::enter("trust::the_signature_of_an_index_covers_its_images") else {
        return;
    };
    let world = registry(scope);
    let index = index_and_key(&world);
    world.podvisor(&format!("copy -q --all oci:lay:1 {NAME}:1")).ok();
    policy(&world, "ec.pub", "");
    world.podvisor(&format!("pull -q {NAME}:1")).fails(1, &["no signature"]);
    sign(&world, "ec", &index, NAME, None);
    world.podvisor(&format!("pull -q {NAME}:1")).ok();
    world.podvisor(&format!("pull -q --platform linux/arm64 {NAME}:1")).ok();
}

/// What the policy says of a source, by skopeo and by us.
fn verdicts(world: &World, from: &str, ours: &str) -> (bool, bool) {
    let line = format!(
        "rm -rf out; skopeo --policy policy.json copy -q --src-tls-verify=false {from} dir:out \
         >/dev/null 2>&1 && echo yes || echo no"
    );
    let theirs = world.sh(&line) == "yes\n";
    (theirs, world.podvisor(ours).code == 0)
}

#[test]
fn files_and_copies_are_asked_about_as_by_skopeo() {
    let Some(scope) = scope::enter("trust::files_and_copies_are_asked_about_as_by_skopeo") else {
        return;
    };
    let world = registry(scope);
    let index = index_and_key(&world);
    world.sh("cp -a lay other; skopeo copy -q oci:lay:1 docker-archive:d.tar:web:1
         skopeo copy -q oci:lay:1 oci-archive:o.tar:1; skopeo copy -q oci:lay:1 dir:d");
    for place in ["free", "team", "rest"] {
        world.podvisor(&format!("copy -q --all oci:lay:1 127.0.0.1:5000/{place}/web:1")).ok();
    }
    let accept = "[{\"type\":\"insecureAcceptAnything\"}]";
    let text = format!(
        "{{\"default\":[{{\"type\":\"reject\"}}],\"transports\":{{\
         \"docker\":{{\"127.0.0.1:5000/free\":{accept},\"127.0.0.1:5000/team\":[{{\
         \"type\":\"sigstoreSigned\",\"keyPath\":\"{key}\"}}]}},\
         \"oci\":{{\"{lay}\":{accept},\"{sig}\":{accept}}},\"docker-archive\":{{\"\":{accept}}}}}}}",
        key = world.path("ec.pub"),
        lay = world.path("lay"),
        sig = world.path("sig"),
    );
    world.file("policy.json", &text);
    for (from, path, expected) in [
        ("oci:lay:1", "lay", true),
        ("oci:other:1", "other", false),
        ("docker-archive:d.tar", "d.tar", true),
        ("oci-archive:o.tar:1", "o.tar", false),
        ("dir:d", "d", false),
    ] {
        let root = world.path(&format!("root-{path}"));
        let ours = format!("--root {root} load -q {path}");
        assert_eq!(verdicts(&world, from, &ours), (expected, expected), "{from}");
        let count = world.podvisor(&format!("--root {root} images -q")).ok().lines().count();
        assert_eq!(count, usize::from(expected), "{from}");
    }
    world.podvisor("load o.tar").fails(1, &["oci-archive:", "policy.json", "rejects"]);
    // A plain tar makes an image, too.
    world.sh("tar -cf t.tar -C lay .");
    let ours = "import -q t.tar t:1";
    assert_eq!(verdicts(&world, "tarball:t.tar", ours), (false, false));
    world.podvisor(ours).fails(1, &["tarball:t.tar", "policy.json", "rejects"]);
    let also = format!("\"tarball\":{{\"\":{accept}}},\"docker-archive\"");
    world.file("policy.json", &text.replace("\"docker-archive\"", &also));
    assert_eq!(verdicts(&world, "tarball:t.tar", ours), (true, true));
    for (place, expected) in [("free", true), ("team", false), ("rest", false)] {
        let from = format!("docker://127.0.0.1:5000/{place}/web:1");
        let ours = format!("copy -q {from} oci:back-{place}:1");
        assert_eq!(verdicts(&world, &from, &ours), (expected, expected), "{place}");
        assert_eq!(
            world.sh(&format!("ls -d back-{place} 2>/dev/null || true")).is_empty(),
            !expected
        );
    }
    world.podvisor("copy oci:other:1 127.0.0.1:5000/free/web:2").fails(1, &["rejects"]);
    world.podvisor("copy -q oci:lay:1 127.0.0.1:5000/free/web:2").ok();
    world.podvisor(&format!("copy {NAME}:1 oci:b:1")).fails(1, &["no signature"]);
    // The signature of an index is one of each image in it, whether one is copied or all.
    sign(&world, "ec", &index, NAME, None);
    world.podvisor(&format!("copy -q {NAME}:1 oci:b:1")).ok();
    world.podvisor(&format!("copy -q --all {NAME}:1 oci:c:1")).ok();
}
