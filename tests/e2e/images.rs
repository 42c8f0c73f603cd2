//! Images through the command line: forms in, the store as others read it, hostile archives.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::host::Host;

fn sh(line: &str) -> String {
    let out = Command::new("sh").args(["-ec", line]).output().expect("sh");
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{line}: {error}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn skopeo_reads_the_store_and_we_read_what_skopeo_writes() {
    let Some(scope) = scope::enter("images::skopeo_reads_the_store_and_we_read_what_skopeo_writes")
    else {
        return;
    };
    let host = Host::with_busybox(scope);
    let store = host.path("root/store").display().to_string();
    let reference = sh(&format!(
        "grep -o 'ref.name\":\"[^\"]*' {store}/index.json | cut -d'\"' -f3 | head -n 1"
    ));
    let reference = reference.trim();
    let shown = sh(&format!("skopeo inspect oci:{store}:{reference}"));
    assert!(shown.contains("Layers"), "{shown}");
    for (form, name) in
        [("oci", "layout"), ("oci-archive", "oci.tar"), ("docker-archive", "docker.tar")]
    {
        let path = host.path(name).display().to_string();
        let tag = if form == "docker-archive" { "from-docker:1" } else { "1" };
        sh(&format!("skopeo copy -q oci:{store}:{reference} {form}:{path}:{tag}"));
        let other = host.path("other").display().to_string();
        host.podvisor(&["--root", &other, "load", &path]).ok();
        let listed = host.podvisor(&["--root", &other, "images"]).ok();
        assert!(listed.lines().count() >= 2, "{form}: {listed}");
        fs::remove_dir_all(&other).expect("remove");
    }
    host.podvisor(&["rmi", "busybox"]).ok();
    let left = sh(&format!("find {store}/blobs -type f | wc -l"));
    assert_eq!(left.trim(), "0", "blobs left after rmi");
}

/// A tar whose entries are given as Python tarfile calls.
fn archive(host: &Host, name: &str, entries: &str) -> String {
    let path = host.path(name).display().to_string();
    let program = format!(
        "import tarfile, io\n\
         t = tarfile.open({path:?}, 'w')\n\
         def f(n, d=b'x'):\n\
         \u{20}   i = tarfile.TarInfo(n); i.size = len(d)\n    t.addfile(i, io.BytesIO(d))\n\
         def l(n, to, k=tarfile.SYMTYPE):\n\
         \u{20}   i = tarfile.TarInfo(n); i.type = k; i.linkname = to\n    t.addfile(i)\n\
         {entries}\nt.close()\n"
    );
    let made = Command::new("python3").args(["-c", &program]).status().expect("python3");
    assert!(made.success());
    path
}

#[test]
fn hostile_layers_never_leave_their_folder() {
    let Some(scope) = scope::enter("images::hostile_layers_never_leave_their_folder") else {
        return;
    };
    let host = Host::new(scope);
    let canary = host.path("canary");
    fs::create_dir(&canary).expect("mkdir");
    fs::write(canary.join("file"), "untouched").expect("write");
    let at = canary.display();
    let cases = [
        ("parent", "f('../../../../../../../../../../tmp/escaped')".to_owned()),
        ("symlink", format!("l('out', '{at}'); f('out/planted')")),
        (
            "relative symlink",
            format!("l('out', '../../../../../../../../..{at}'); f('out/planted')"),
        ),
        (
            "hard link",
            format!("l('file', '{at}/file', tarfile.LNKTYPE); f('file', b'overwritten')"),
        ),
        (
            "hard link through a link",
            format!("l('out', '{at}'); l('x', 'out/file', tarfile.LNKTYPE); f('x', b'no')"),
        ),
    ];
    for (name, entries) in cases {
        let tar = archive(&host, "hostile.tar", &entries);
        let done = host.podvisor(&["import", &tar, "hostile:latest"]);
        let touched = fs::read_dir(&canary).expect("canary").count() != 1
            || fs::read_to_string(canary.join("file")).expect("file") != "untouched"
            || Path::new("/tmp/escaped").exists();
        assert!(!touched, "{name}: the host was touched");
        if done.code != 0 {
            done.fails(1, &["hint:"]);
        }
    }
}

#[test]
fn damaged_archives_are_refused_whole() {
    let Some(scope) = scope::enter("images::damaged_archives_are_refused_whole") else { return };
    let host = Host::with_busybox(scope);
    let store = host.path("root/store").display().to_string();
    let good = host.path("good.tar").display().to_string();
    sh(&format!("tar -C {store} -cf {good} ."));
    let other = host.path("other").display().to_string();
    let load = |file: &str| host.podvisor(&["--root", &other, "load", file]);

    let cut = host.path("cut.tar").display().to_string();
    sh(&format!("head -c 300000 {good} >{cut}"));
    load(&cut).fails(1, &["cut.tar", "truncated", "hint:"]);

    let forged = host.path("forged");
    let at = forged.display();
    sh(&format!(
        "cp -a {store} {at}; big=$(ls -S {at}/blobs/sha256/* | head -n 1); \
         printf X | dd of=$big bs=1 seek=5000 conv=notrunc status=none"
    ));
    load(&at.to_string()).fails(1, &["digest", "sha256:", "hint:"]);
    let text = host.file("text.tar", "this is no archive");
    load(&text).fails(1, &["text.tar", "hint:"]);
    load("/no/such/archive.tar").fails(1, &["/no/such/archive.tar"]);
    let listed = host.podvisor(&["--root", &other, "images", "-q"]).ok();
    assert_eq!(listed.trim(), "", "nothing is half-loaded");
    let blobs =
        sh(&format!("find {other}/store/blobs {other}/snapshots -mindepth 1 -type f | wc -l"));
    assert_eq!(blobs.trim(), "0", "nothing is left in the store");
}
