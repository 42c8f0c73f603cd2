//! What the cache takes and what it does not; reproducible digests.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::workbench::{Bench, sh};

const FILE: &str = "FROM busybox\nARG V=1\nCOPY a /a\nRUN cat /a >/b\nCOPY sub /sub\n\
    RUN echo $V >/v\n";

#[test]
fn only_what_decides_a_step_makes_it_run_again() {
    let Some(scope) = scope::enter("cache::only_what_decides_a_step_makes_it_run_again") else {
        return;
    };
    let bench = Bench::new(scope);
    let files = [("Containerfile", FILE), ("a", "a"), ("sub/x", "x"), ("other", "")];
    let context = bench.context("context", &files);
    let write = |name: &str, text: &str| fs::write(context.join(name), text).expect("write");
    let cached = |args: &[&str]| bench.cached("context", args);
    assert!(cached(&["-t", "c:1"]).is_empty());
    let first = bench.inspect("c:1")["digest"].clone();
    // 1 FROM, 2 ARG, 3 COPY, 4 RUN, 5 COPY, 6 RUN.
    assert_eq!(cached(&["-t", "c:1"]), [3, 4, 5, 6]);
    assert_eq!(bench.inspect("c:1")["digest"], first, "from the cache alone it is the same image");
    sh(&format!("touch -d '2001-01-01' {}/a", context.display()));
    assert_eq!(cached(&[]), [3, 4, 5, 6], "a time decides nothing");
    write("other", "changed");
    assert_eq!(cached(&[]), [3, 4, 5, 6], "nor what no step takes");
    write("sub/x", "changed");
    assert_eq!(cached(&[]), [3, 4]);
    let after = cached(&["--build-arg", "V=2"]);
    assert!(after[0] == 3 && !after.contains(&4) && !after.contains(&6), "{after:?}: an argument");
    fs::set_permissions(context.join("a"), fs::Permissions::from_mode(0o755)).expect("chmod");
    assert!(cached(&[]).is_empty(), "rights are part of a file");
    assert_eq!(cached(&[]), [3, 4, 5, 6]);
    assert!(cached(&["--no-cache"]).is_empty());
    fs::rename(context.join("sub/x"), context.join("sub/y")).expect("rename");
    assert_eq!(cached(&[]), [3, 4]);
    // A base of another content under the same name.
    let base = "FROM busybox\nRUN echo new >/new\n";
    bench.context("base", &[("Containerfile", base)]);
    bench.build("base", &["-t", "busybox:latest"]).ok();
    assert!(cached(&[]).is_empty());
    bench.clean();
}

#[test]
fn two_builds_give_one_digest() {
    let Some(scope) = scope::enter("cache::two_builds_give_one_digest") else { return };
    let bench = Bench::new(scope);
    let file = "FROM busybox AS one\nWORKDIR /made\nCOPY . .\nADD files.tar /unpacked/\n\
        RUN mkdir -p /x/y && date >/dev/null && echo fixed >/x/y/z && ln /x/y/z /x/hard && \
        ln -s z /x/soft && rm /bin/[ && touch /made/new\n\
        FROM scratch\nCOPY --from=one /made /x /out/\nCOPY --from=one /unpacked /u\nLABEL a=b\n";
    let files = [("Containerfile", file), ("d/f", "text"), ("g", "more")];
    let (first, second) = (bench.context("first", &files), bench.context("second", &files));
    let tar = "tar --sort=name --mtime=@5 --owner=0 --group=0 -cf files.tar g d";
    let times = "find . -exec touch -h -d '1999-09-09 09:09' {} +; touch -d 2033-03-03 g";
    sh(&format!("cd {}; {tar}; cd {}; {tar}; {times}", first.display(), second.display()));
    let build = |context: &str, extra: &[&str], root: &str| {
        let (path, root) = (bench.host.path(context), bench.host.path(root));
        let (path, root) = (path.display().to_string(), root.display().to_string());
        let args = [&["--root", &root, "build", "-q"], extra, &[&path]].concat();
        let mut command = bench.host.command(&args);
        let out = command.env("SOURCE_DATE_EPOCH", "1700000000").output().expect("build");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    let one = build("first", &["-t", "r:1"], "root");
    assert_eq!(build("first", &["-t", "r:1"], "root"), one, "from the cache");
    assert_eq!(build("second", &["-t", "r:2", "--no-cache"], "root"), one, "at another time");
    let created = bench.inspect("r:1")["image"]["created"].clone();
    assert_eq!(created, "2023-11-14T22:13:20Z");
    // In another store, from its own copy of the base.
    let tar = bench.host.path("base.tar").display().to_string();
    let other = bench.host.path("other").display().to_string();
    bench.host.podvisor(&["save", "-o", &tar, "busybox:latest"]).ok();
    bench.host.podvisor(&["--root", &other, "load", &tar]).ok();
    assert_eq!(build("second", &[], "other"), one, "in another store");
    assert_ne!(build("second", &["--compression", "zstd"], "other"), one);
}

#[test]
fn pruning_keeps_images_and_drops_the_rest() {
    let Some(scope) = scope::enter("cache::pruning_keeps_images_and_drops_the_rest") else {
        return;
    };
    let bench = Bench::new(scope);
    let files = [("Containerfile", FILE), ("a", "a"), ("sub/x", "x")];
    bench.context("context", &files);
    bench.build("context", &["-t", "kept:1"]).ok();
    let records = bench.host.path("root/build/steps").display().to_string();
    let count = || sh(&format!("ls {records} | wc -l")).trim().parse::<usize>().expect("count");
    assert_eq!(count(), 4);
    sh(&format!("find {records} -type f -exec touch -d '3 days ago' {{}} +"));
    bench.context("use", &[("Containerfile", "FROM kept:1\nRUN test -f /v\n")]);
    bench.build("use", &["--prune"]).ok();
    assert_eq!(count(), 1, "what was not used for a day has gone");
    bench.build("use", &["--no-cache"]).ok();
    bench.host.podvisor(&["system", "prune"]).ok();
    assert_eq!(count(), 0);
    bench.host.podvisor(&["inspect", "kept:1"]).ok();
    bench.clean();
}
