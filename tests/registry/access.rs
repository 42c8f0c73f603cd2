//! Who is let in: TLS of a private authority, client certificates, passwords, tokens, mirrors.

use std::io::Write;
use std::process::Stdio;

use crate::world::{Done, World};

/// An authority `ca`, and a certificate NAME of it for 127.0.0.1.
fn authority(world: &World) {
    world.sh("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key \
         -out ca.crt -addext keyUsage=critical,keyCertSign 2>/dev/null
         for n in server client; do
         openssl req -newkey rsa:2048 -nodes -subj /CN=$n -keyout $n.key -out $n.csr 2>/dev/null
         printf 'subjectAltName=IP:127.0.0.1\\n' >ext
         openssl x509 -req -in $n.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
         -extfile ext -out $n.crt 2>/dev/null; done");
}

fn tls(world: &World) -> String {
    let (key, certificate) = (world.path("server.key"), world.path("server.crt"));
    format!("  tls:\n    certificate: {certificate}\n    key: {key}")
}

fn login(world: &World, words: &str, password: &str) -> Done {
    let mut child = world
        .command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    Done::of(child.wait_with_output().unwrap())
}

#[test]
fn a_private_authority_is_trusted_for_its_host_and_passwords_are_kept() {
    let name = "access::a_private_authority_is_trusted_for_its_host_and_passwords_are_kept";
    let Some(scope) = scope::enter(name) else { return };
    let mut world = World::new(scope);
    authority(&world);
    world.sh("python3 -W ignore -c \"import crypt; \
         print('me:' + crypt.crypt('secret', crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))\" \
         >htpasswd");
    let password =
        format!("auth:\n  htpasswd:\n    realm: r\n    path: {}", world.path("htpasswd"));
    world.registry(5000, &tls(&world), &password);
    world.layout("lay 1 2 100000");
    let image = "127.0.0.1:5000/a/web:1";
    let pull = format!("pull -q {image}");
    world.podvisor(&pull).fails(1, &["127.0.0.1:5000", "certificate", "certs.d/127.0.0.1:5000"]);
    world.sh("mkdir -p certs.d/127.0.0.1:5000; cp ca.crt certs.d/127.0.0.1:5000/");
    world.podvisor(&pull).fails(1, &["credentials are needed", "podvisor login 127.0.0.1:5000"]);
    let words = "login -u me --password-stdin 127.0.0.1:5000";
    login(&world, words, "wrong\n").fails(1, &["credentials are refused", "nothing is kept"]);
    assert_eq!(world.read("auth.json"), "");
    login(&world, words, "secret\n").ok();
    world.podvisor(&format!("copy -q oci:lay:1 {image}")).ok();
    world.podvisor(&pull).ok();
    // skopeo logs in by our file, we by what it writes.
    world.sh(&format!(
        "skopeo inspect --authfile auth.json --cert-dir certs.d/127.0.0.1:5000 docker://{image}"
    ));
    world.podvisor("logout 127.0.0.1:5000").ok();
    world.podvisor(&pull).fails(1, &["credentials are needed"]);
    world.podvisor(&format!("{pull} --creds me:secret")).ok();
    world.podvisor(&format!("{pull} --creds me:other")).fails(1, &["credentials are refused"]);
    world
        .sh("skopeo login --authfile auth.json --cert-dir certs.d/127.0.0.1:5000 -u me -p secret \
         127.0.0.1:5000");
    world.podvisor(&pull).ok();
    // A credential helper, by docker's file.
    world.sh("mkdir bin; printf '#!/bin/sh\\nread s; [ \"$s\" = 127.0.0.1:5000 ] && \
        echo \\'{\"Username\":\"me\",\"Secret\":\"secret\"}\\'\\n' >bin/docker-credential-test; \
        chmod +x bin/docker-credential-test"
        .replace("\\'", "'\\''")
        .as_str());
    world.file("auth.json", "{\"credHelpers\":{\"127.0.0.1:5000\":\"test\"}}");
    let path = format!("{}:{}", world.path("bin"), std::env::var("PATH").unwrap());
    Done::of(world.command(&pull).env("PATH", path).output().unwrap()).ok();
}

#[test]
fn a_client_certificate_is_shown() {
    let Some(scope) = scope::enter("access::a_client_certificate_is_shown") else { return };
    let mut world = World::new(scope);
    authority(&world);
    let wants = format!("{}\n    clientcas: [{}]", tls(&world), world.path("ca.crt"));
    world.registry(5000, &wants, "");
    world.layout("lay 1 1 1000");
    let copy = "copy -q oci:lay:1 127.0.0.1:5000/a/web:1";
    world.sh("mkdir -p certs.d/127.0.0.1:5000; cp ca.crt certs.d/127.0.0.1:5000/");
    world.podvisor(copy).fails(1, &["127.0.0.1:5000"]);
    world.sh(
        "cp client.key certs.d/127.0.0.1:5000/; cp client.crt certs.d/127.0.0.1:5000/client.cert",
    );
    world.podvisor(copy).ok();
}

#[test]
fn tokens_are_asked_for_with_the_scope_that_is_needed() {
    let name = "access::tokens_are_asked_for_with_the_scope_that_is_needed";
    let Some(scope) = scope::enter(name) else { return };
    let mut world = World::new(scope);
    authority(&world);
    world.token_server(5001, &world.path("server.key"), &world.path("server.crt"));
    // A proxy of the registry's own address would be needed for a realm without TLS: nginx is it.
    let auth = format!(
        "auth:\n  token:\n    realm: https://127.0.0.1:5002/token\n    service: registry\n    \
         issuer: issuer\n    rootcertbundle: {}",
        world.path("ca.crt")
    );
    world.registry(5000, &tls(&world), &auth);
    world.nginx(5002, 5001);
    world.layout("lay 1 2 1000");
    world.sh(
        "for p in 5000 5002; do mkdir -p certs.d/127.0.0.1:$p; cp ca.crt certs.d/127.0.0.1:$p/; done",
    );
    let copy = "copy -q oci:lay:1 127.0.0.1:5000/a/web:1";
    world.podvisor(copy).fails(1, &["asking for a token"]);
    world.podvisor(&format!("{copy} --dest-creds me:secret")).ok();
    assert!(world.read("tokens").contains("scope=repository%3Aa%2Fweb%3Apull%2Cpush"));
    world.podvisor("pull -q --creds me:secret 127.0.0.1:5000/a/web:1").ok();
    assert!(
        world.read("tokens").lines().last().unwrap().ends_with("scope=repository%3Aa%2Fweb%3Apull")
    );
}

#[test]
fn a_mirror_comes_first_and_its_failure_is_no_harm() {
    let name = "access::a_mirror_comes_first_and_its_failure_is_no_harm";
    let Some(scope) = scope::enter(name) else { return };
    let mut world = World::new(scope);
    world.registry(5000, "", "");
    world.registry(5003, "", "proxy:\n  remoteurl: http://127.0.0.1:5000");
    world.layout("lay 1 2 100000");
    let conf = "unqualified-search-registries = [\"up.example\"]\n[[registry]]\n\
        prefix = \"up.example\"\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n\
        [[registry.mirror]]\nlocation = \"127.0.0.1:5003\"\ninsecure = true\n\
        [[registry]]\nlocation = \"bad.example\"\nblocked = true\n";
    world.file("registries.conf", conf);
    world.podvisor("copy -q oci:lay:1 a/web:1").ok();
    let pulled = world.podvisor("pull -q a/web:1").ok();
    assert_eq!(pulled, "up.example/a/web:1\n");
    assert!(world.read("registry5003.log").contains("blobs/sha256"), "the mirror was not asked");
    world.podvisor("pull bad.example/x").fails(1, &["blocked by", "registries.conf"]);
    // A mirror that is down.
    world.file("registries.conf", &conf.replace("5003", "5009"));
    world.sh("rm -r root");
    world.podvisor("pull -q a/web:1").ok();
}
