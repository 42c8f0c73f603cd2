//! Small Containerfiles, one a question of syntax or meaning, by podvisor and by buildah: the same
//! tree of files, the same configuration.
//!
//! `corpus/NAME.containerfile` holds each. In front of it may stand `# ignore: PATTERN`, a line of
//! the case's .dockerignore, and `# differs: WHAT WHY` for what may differ: `build` (buildah cannot
//! build it), `config.FIELD`, or a path of the tree. All have one context, made here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::peers;
use crate::workbench::{Bench, sh};

const FIELDS: [&str; 12] = [
    "Env",
    "WorkingDir",
    "User",
    "Entrypoint",
    "Cmd",
    "ExposedPorts",
    "Volumes",
    "StopSignal",
    "Labels",
    "Healthcheck",
    "Shell",
    "OnBuild",
];

struct Case {
    name: String,
    text: String,
    ignore: String,
    /// What may differ, without why.
    differs: Vec<String>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/build/corpus");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("corpus").map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let whole = fs::read_to_string(path).expect("case");
        let name = path.file_stem().expect("name").to_string_lossy().into_owned();
        let mut case = Case { name, text: String::new(), ignore: String::new(), differs: vec![] };
        for line in whole.split_inclusive('\n') {
            if let Some(pattern) = line.strip_prefix("# ignore: ") {
                case.ignore.push_str(pattern);
            } else if let Some(words) = line.strip_prefix("# differs: ") {
                case.differs.extend(words.split_whitespace().next().map(str::to_owned));
            } else {
                case.text.push_str(line);
            }
        }
        case
    };
    paths.iter().map(read).collect()
}

/// The files of every case's context.
fn context(bench: &Bench) -> PathBuf {
    let files = [
        ("a", "a\n"),
        ("b.txt", "b\n"),
        ("d/f", "f\n"),
        ("d/g.log", "g\n"),
        ("d/sub/h", "h\n"),
        ("d/sub/i.log", "i\n"),
        ("z/", ""),
        ("sp ace", "blank\n"),
        ("[x]", "brackets\n"),
        ("x1", "1\n"),
        ("x2", "2\n"),
        ("x3", "3\n"),
        ("run.sh", "#!/bin/sh\n"),
        ("modes/open", ""),
        ("modes/shut", ""),
        ("modes/in/x", ""),
        ("links/target", "t\n"),
    ];
    let folder = bench.context("corpus", &files);
    sh(&format!(
        "cd {}; ln -s a link; ln -s target links/near; ln -s /nowhere links/far; chmod 755 run.sh; \
         chmod 666 modes/open; chmod 400 modes/shut; chmod 2770 modes/in; chmod 711 modes; \
         mkdir -p t/one; echo one >t/one/f; ln -s f t/one/l; \
         tar='tar -C t --owner=9 --group=9 -caf'; \
         for c in tar tar.gz tar.xz tar.bz2; do $tar files.$c one; done; \
         rm -r t; cp files.tar.gz archive.bin; gzip <a >plain.gz",
        folder.display()
    ));
    folder
}

/// The tree and the configuration of an image of ours, which holds more than `inspect` shows.
fn ours(bench: &Bench, name: &str) -> (String, Value) {
    let blob = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").expect("digest");
        let text = fs::read(bench.host.path("root/store/blobs/sha256").join(hex)).expect("blob");
        serde_json::from_slice::<Value>(&text).expect("json")
    };
    let manifest = blob(bench.inspect(name)["digest"].as_str().expect("digest"));
    let mut config = blob(manifest["config"]["digest"].as_str().expect("digest"));
    (peers::tree(bench, name), config["config"].take())
}

/// The same by buildah, or what it says when it cannot.
fn theirs(bench: &Bench, file: &Path, context: &Path) -> Result<(String, Value), String> {
    let tool = peers::buildah(bench);
    let log = bench.host.path("corpus.log");
    let (file, context, log) = (file.display(), context.display(), log.display());
    let built = sh(&format!(
        "{tool} bud --format docker --isolation chroot --pull-never -t theirs:1 -f {file} {context} \
         >/dev/null 2>{log} && echo built || tail -3 {log}"
    ));
    if built.trim() != "built" {
        return Err(built);
    }
    let config = sh(&format!("{tool} inspect --type image theirs:1"));
    let config = serde_json::from_str::<Value>(&config).expect("json")["Docker"]["config"].take();
    // `buildah from` would do what ONBUILD says.
    let mounting = tool.replace(" buildah ", " podman ");
    let place = sh(&format!("{mounting} image mount theirs:1"));
    let listed = peers::listed(place.trim());
    sh(&format!("{mounting} image unmount theirs:1 >/dev/null; {tool} rmi theirs:1 >/dev/null"));
    Ok((listed, config))
}

/// A field as both write it: nothing and the empty alike, what buildah adds by itself taken away.
fn plain(config: &Value, field: &str) -> Value {
    let mut value = config[field].clone();
    match (field, &mut value) {
        ("Env", Value::Array(list)) => {
            list.retain(|v| !v.as_str().is_some_and(|v| v.starts_with("PATH=")));
        }
        ("Labels", Value::Object(map)) => {
            map.remove("io.buildah.version");
        }
        ("WorkingDir", Value::String(path)) if path == "/" => value = Value::Null,
        _ => {}
    }
    let empty = [json!([]), json!({}), json!("")].contains(&value);
    if empty { Value::Null } else { value }
}

fn compare(case: &Case, ours: &(String, Value), theirs: &(String, Value)) -> Vec<String> {
    let mut wrong = Vec::new();
    for field in FIELDS {
        let (a, b) = (plain(&ours.1, field), plain(&theirs.1, field));
        if a != b && !case.differs.contains(&format!("config.{field}")) {
            wrong.push(format!("{}: {field}: ours {a}, theirs {b}", case.name));
        }
    }
    let (mut a, mut b) = (peers::only(&ours.0, &theirs.0), peers::only(&theirs.0, &ours.0));
    // What buildah gives an empty root, and we 755.
    if b.iter().any(|line| line == ". d 555 0:0") {
        a.retain(|line| line != ". d 755 0:0");
        b.retain(|line| line != ". d 555 0:0");
    }
    // Mount points that buildah's RUN leaves in the image.
    let stubs = ["./etc/hostname ", "./etc/hosts ", "./etc/resolv.conf ", "./run ", "./etc "];
    b.retain(|line| !stubs.iter().any(|stub| line.starts_with(stub)));
    for lines in [&mut a, &mut b] {
        lines.retain(|line| !case.differs.iter().any(|path| line.starts_with(&format!("{path} "))));
    }
    wrong.extend(a.iter().map(|line| format!("{}: only ours: {line}", case.name)));
    wrong.extend(b.iter().map(|line| format!("{}: only theirs: {line}", case.name)));
    wrong
}

#[test]
fn containerfiles_mean_what_they_mean_to_buildah() {
    let Some(scope) = scope::enter("corpus::containerfiles_mean_what_they_mean_to_buildah") else {
        return;
    };
    let bench = Bench::new(scope);
    let context = context(&bench);
    bench.host.podvisor(&["tag", "busybox:latest", "base:latest"]).ok();
    peers::base(&bench);
    let only = std::env::var("PODVISOR_TEST_CASE").unwrap_or_default();
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::from([("alike", 0), ("explained", 0)]));
    for case in cases().iter().filter(|case| case.name.contains(&only)) {
        let file = context.join("../case.containerfile");
        fs::write(&file, &case.text).expect("file");
        fs::write(context.join(".dockerignore"), &case.ignore).expect("ignore");
        let path = file.display().to_string();
        let done = bench.build("corpus", &["-t", "ours:1", "-f", &path]);
        if done.code != 0 {
            wrong.push(format!("{}: ours cannot build it: {}", case.name, done.err));
            continue;
        }
        let unable = case.differs.iter().any(|what| what == "build");
        match theirs(&bench, &file, &context) {
            Ok(_) if unable => wrong.push(format!("{}: buildah can build it", case.name)),
            Err(_) if unable => {}
            Err(said) => wrong.push(format!("{}: buildah cannot build it: {said}", case.name)),
            Ok(theirs) => wrong.extend(compare(case, &ours(&bench, "ours:1"), &theirs)),
        }
        let kind = if case.differs.is_empty() { "alike" } else { "explained" };
        *seen.get_mut(kind).expect("kind") += 1;
    }
    println!("{seen:?}");
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    bench.clean();
}
