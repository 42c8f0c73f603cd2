//! Build files and contexts that want out, or want all of the machine: each has its clear error or
//! its safe meaning, soon, and a canary beside the context is untouched.
//!
//! Red where `select::Tree` or `place::Root` resolve names by path instead of beneath their root,
//! where a cache mount's id is a path, and without the bounds of `words`, `pattern`, `ignore` and
//! `file`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::workbench::{Bench, sh};

/// Longest time of a refusal.
const SOON: Duration = Duration::from_secs(20);

/// The canary's files with all that could change of them.
fn census(folder: &Path) -> String {
    let mut all = String::new();
    for name in ["", "file", "below", "below/deep"] {
        let path = folder.join(name);
        let m = fs::symlink_metadata(&path).expect("canary");
        let text = fs::read(&path).unwrap_or_default();
        all +=
            &format!("{name} {} {} {} {} {text:?}\n", m.mode(), m.uid(), m.ctime_nsec(), m.nlink());
    }
    let names = fs::read_dir(folder).expect("canary").count();
    all + &names.to_string()
}

/// A bench with a canary, and a context with links that lead there.
fn bench(scope: scope::Scope) -> (Bench, std::path::PathBuf) {
    let bench = Bench::new(scope);
    let canary = bench.context("canary", &[("file", "untouched"), ("below/deep", "untouched")]);
    let context = bench.context("context", &[("a", "a\n"), ("d/f", "f\n"), ("up/x", "")]);
    let at = canary.display();
    sh(&format!(
        "cd {}; ln -s {at}/file out; ln -s {at} folder; ln -s ../canary/file near; ln -s loop loop; \
         ln -s {at}/file d/within; mkfifo fifo; ln -s /etc/passwd passwd; \
         python3 -c \"import tarfile, io
t = tarfile.open('escape.tar', 'w')
for name, kind, to in [('l', '2', '{at}'), ('l/file', '0', ''), ('../canary/file', '0', '')]:
    i = tarfile.TarInfo(name); i.type = kind.encode(); i.linkname = to; i.size = 5 * (kind == '0')
    t.addfile(i, io.BytesIO(b'owned'))
t.close()
t = tarfile.open('hard.tar', 'w')
i = tarfile.TarInfo('h'); i.type = b'1'; i.linkname = '../canary/file'
t.addfile(i)
t.close()\"",
        context.display()
    ));
    (bench, canary)
}

#[test]
fn nothing_of_a_build_leads_outside() {
    let Some(scope) = scope::enter("hostile::nothing_of_a_build_leads_outside") else { return };
    let (bench, canary) = bench(scope);
    let before = census(&canary);
    let at = canary.display().to_string();
    let context = bench.host.path("context");
    let build = |body: &str, words: Option<&str>| {
        let text = format!("FROM busybox\n{}\n", body.replace("CANARY", &at));
        fs::write(context.join("Containerfile"), text).expect("file");
        let done = bench.build("context", &[]);
        match words {
            Some(words) => drop(done.fails(1, &[words])),
            None => drop(done.ok()),
        }
        assert_eq!(census(&canary), before, "{body}");
        bench.clean();
    };
    for (body, words) in [
        ("COPY out /x", Some("out is not in the context")),
        ("COPY near /x", Some("near is not in the context")),
        ("COPY folder/file /x", Some("folder/file is not in the context")),
        ("COPY passwd /x", Some("passwd is not in the context")),
        ("COPY loop /x", Some("ELOOP")),
        ("COPY fifo /x", Some("neither a file nor a folder")),
        ("COPY ../canary/file /x", Some("outside")),
        ("COPY d/../../canary/file /x", Some("outside")),
        ("COPY --from=../canary file /x", Some("../canary")),
        ("COPY --from=busybox ../../CANARY/file /x", Some("outside")),
        ("COPY d /x\nRUN test -L /x/within && test ! -e /x/within", None),
        (
            "RUN ln -s CANARY /l && ln -s ../../../../../CANARY /m\nCOPY a /l/file\nCOPY a /m/file",
            None,
        ),
        ("RUN ln -s CANARY/file /l\nCOPY a /l", None),
        ("RUN ln -s CANARY /l\nWORKDIR /l/below/deep/made\nRUN touch x", None),
        ("RUN ln -s CANARY /l\nADD files.tar /l/", Some("files.tar")),
        ("ADD escape.tar /x/", Some("escape.tar")),
        ("ADD hard.tar /x/", Some("hard.tar")),
        ("RUN --mount=type=cache,id=../../../canary,target=/c echo owned >/c/file", None),
        ("RUN --mount=type=cache,id=CANARY,target=/c echo owned >/c/file", None),
        ("RUN --mount=type=bind,source=../canary,target=/c true", Some("outside")),
        ("RUN --mount=type=bind,source=folder,target=/c true", Some("is not in the context")),
        ("RUN --mount=type=bind,source=d,rw,target=/c echo owned >/c/f", None),
        // CVE-2024-9407: no text of a mount becomes an option of mount(2).
        (
            "RUN --mount=type=bind,source=d,target=/c,bind-propagation=shared true",
            Some("bind-propagation"),
        ),
        ("RUN --mount=type=tmpfs,target=/c,size=1k:suid true", Some("size=1k:suid is no size")),
        ("RUN --mount=type=cache,target=/../../CANARY echo owned >CANARY/file", None),
        ("RUN --mount=type=secret,id=../../canary/file test ! -e /canary/file", None),
        ("USER ../../etc/passwd\nRUN true", Some("no such user")),
        ("USER 4294967296\nRUN true", Some("an id is a number")),
        ("RUN mknod /d b 8 0 && ! head -c 1 /d", None),
        ("VOLUME /../../etc", None),
    ] {
        build(body, words);
    }
    assert_eq!(fs::read_to_string(context.join("d/f")).expect("d/f"), "f\n");
}

#[test]
fn what_would_take_all_of_the_machine_is_refused_soon() {
    let Some(scope) = scope::enter("hostile::what_would_take_all_of_the_machine_is_refused_soon")
    else {
        return;
    };
    let (bench, canary) = bench(scope);
    let before = census(&canary);
    let context = bench.host.path("context");
    let build = |text: &str, ignore: &str, code: i32, words: &[&str]| {
        fs::write(context.join("Containerfile"), text).expect("file");
        fs::write(context.join(".dockerignore"), ignore).expect("ignore");
        let begun = Instant::now();
        bench.build("context", &["--progress", "plain"]).fails(code, words);
        assert!(begun.elapsed() < SOON, "{:?}: {words:?}", begun.elapsed());
    };
    let doubled = |line: &str| {
        let lines: String = (1..60)
            .map(|i| line.replace("NEXT", &format!("V{i}")).replace("LAST", &format!("V{}", i - 1)))
            .collect();
        format!("FROM busybox\nENV V0=xxxxxxxx\n{lines}COPY a /$V59\n")
    };
    let long = "x".repeat(130_000);
    let refused = [
        (doubled("ENV NEXT=$LAST$LAST\n"), "more than 131072 bytes"),
        (doubled("ARG NEXT=$LAST$LAST\n"), "more than 131072 bytes"),
        (doubled("ENV NEXT=${LAST//x/xx}\n"), "too long for this pattern"),
        (
            doubled("LABEL NEXT=\"${V0}$V0\"\n").replace("V0=xxxxxxxx", &format!("V0={long}")),
            "more than 131072 bytes",
        ),
        (
            format!("FROM busybox\nENV A=${{N:-{}x{}}}\n", "${N:-".repeat(100), "}".repeat(100)),
            "deeper than 32",
        ),
        ("FROM busybox AS a\n".to_owned() + &"FROM scratch\n".repeat(100_000), "1000 stages"),
        ("FROM busybox\n".to_owned() + &"ENV A=b\n".repeat(20_000), "over 10000 instructions"),
        ("FROM busybox\nRUN <<END\n".to_owned() + &"x\n".repeat(100_000), "END has no end"),
        ("FROM busybox\nCOPY ".to_owned() + &"*".repeat(5000) + " /x\n", "longer than any path"),
        ("FROM busybox\nCOPY \u{1b}]2J /x\n".to_owned(), "\\u{1b}]2J is not in the context"),
        ("FROM busybox\nONBUILD ONBUILD RUN x\n".to_owned(), "ONBUILD cannot hold ONBUILD"),
        ("FROM a AS b\nFROM b AS b\n".to_owned(), "two stages are called b"),
    ];
    for (text, words) in &refused {
        build(text, "", 1, &[words]);
        bench.clean();
    }
    build(&("#".repeat(5 << 20) + "\nFROM busybox\n"), "", 2, &["longer than 4194304 bytes"]);
    let plain = "FROM busybox\nCOPY . /x\nRUN exit 9\n";
    build(plain, &"x\n".repeat(20_000), 1, &[".dockerignore:10001", "over 10000 patterns"]);
    build(plain, &("*".repeat(5000) + "\n"), 1, &[".dockerignore:1", "longer than any path"]);
    let stars = format!("{}b\n", "**/*a*a*a*".repeat(40)).repeat(500);
    build(plain, &stars, 1, &["exit code 9"]);
    // A context that is deeper than any folder of an image may be.
    sh(&format!("cd {}; for i in $(seq 300); do mkdir n && cd n; done", context.display()));
    build(plain, "", 1, &["stands too deep"]);
    assert_eq!(census(&canary), before);
    bench.clean();
}

/// What `RUN --mount=type=bind` shows is looked up in its tree, links on the way and at the end
/// too: the runtime, which mounts it, gets no path that it would follow on the host.
/// Red with `root.join(…)` as the source in `work::run`'s `bind`.
#[test]
fn cve_2024_1753_a_bind_mount_is_of_its_tree() {
    let Some(scope) = scope::enter("hostile::cve_2024_1753_a_bind_mount_is_of_its_tree") else {
        return;
    };
    let (bench, canary) = bench(scope);
    let before = census(&canary);
    let at = canary.display().to_string();
    let context = bench.host.path("context");
    let build = |mount: &str, command: &str| {
        // The stage has a folder where the host has the canary.
        let text = format!(
            "FROM busybox AS evil\nRUN mkdir -p CANARY/below /d && echo image >CANARY/file && \
             ln -s CANARY /link && ln -s / /top && ln -s ../../../../../../../CANARY /d/up && \
             ln -s CANARY/file /one\n\
             FROM busybox\nRUN --mount=type=bind,from=evil,target=/m,{mount} {command}\n"
        );
        fs::write(context.join("Containerfile"), text.replace("CANARY", &at)).expect("file");
        bench.build("context", &[]).ok();
        assert_eq!(census(&canary), before, "{mount}");
        bench.clean();
    };
    for (mount, command) in [
        ("source=/link", "grep -q image /m/file"),
        ("source=/d/up", "grep -q image /m/file"),
        ("source=/topCANARY", "grep -q image /m/file"),
        ("source=/top", "grep -q image /mCANARY/file"),
        ("source=/one", "grep -q image /m"),
        ("source=/link/below,rw", "touch /m/owned"),
        ("source=/link,rw", "grep -q image /m/file && echo owned >/m/file"),
    ] {
        build(mount, command);
    }
}
