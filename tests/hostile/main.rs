//! Hostile images by the hundred through the whole store: layers, archives and documents that a
//! generator makes, always the same ones. Each has its expected end: words of the error, which
//! names the layer and the entry, or harmless success. The store is then as before, a canary tree
//! beside it too, and the memory that it took has a bound. `running` also runs them.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failing step of a test is a failing test"
)]

#[path = "../../src/image/src/extract/forge.rs"]
#[allow(dead_code, reason = "shared with the extractor's own tests")]
mod forge;

#[path = "../e2e/host.rs"]
#[allow(dead_code, reason = "the host of the whole product; these tests use a part of it")]
mod host;

mod compressed;
mod docker;
mod documents;
mod layers;
mod layout;
mod metadata;
mod replays;
mod running;
mod structure;

/// What the forge needs of the tar reader.
mod tarball {
    /// Bytes of one block.
    pub(crate) const BLOCK: usize = 512;
}

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{ImportOptions, LoadOptions, Quiet, Store};

use layout::Layout;

/// Most memory that the process may have at any time, KiB.
const PEAK_MAX_KIB: u64 = 64 << 10;

/// What is brought in.
pub(crate) enum Input {
    /// A layer, as the tar of a root file system.
    Layer(Vec<u8>),
    /// Layers of one image, bottom first.
    Layers(Vec<Vec<u8>>),
    /// A layout folder.
    Folder(Layout),
    /// An image archive.
    Archive(Vec<u8>),
    /// A file that a function writes: too large to be held.
    Written(fn(&Path)),
}

/// Name, input, and words of the error; none where it must be harmless.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) input: Input,
    pub(crate) words: Option<String>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, input: Input, words: Option<&str>) -> Case {
        Case { name: name.into(), input, words: words.map(str::to_owned) }
    }
}

/// A layer's case.
pub(crate) fn layer(name: impl Into<String>, tar: Vec<u8>, words: Option<&str>) -> Case {
    Case::new(name, Input::Layer(tar), words)
}

struct Yard {
    at: PathBuf,
    store: Store,
}

/// Every file below a folder with all that an attack could change.
fn census(folder: &Path, times: bool) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let m = fs::symlink_metadata(&path).unwrap();
        let stamps = if times { (m.mtime_nsec(), m.ctime_nsec(), m.nlink()) } else { (0, 0, 0) };
        let length = if m.is_file() { m.len() } else { 0 };
        let facts = (m.mode(), m.uid(), m.gid(), length, stamps);
        let text = if m.is_file() && m.len() < 4096 { fs::read(&path).unwrap() } else { vec![] };
        if m.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        seen.insert(path, format!("{facts:?} {}", String::from_utf8_lossy(&text)));
    }
    seen
}

/// The error with its causes.
fn told(error: &image::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// The file that a process of [`bring`] is to take, and whether it is a layer.
const INPUT: &str = "PODVISOR_HOSTILE_INPUT";

/// Not a trial: what a process of its own does for each case, so that its memory is only its own.
#[test]
fn bring() {
    let Some(path) = std::env::var_os(INPUT).map(PathBuf::from) else { return };
    let at = path.parent().unwrap();
    let store = Store::open(&at.join("root")).unwrap();
    let layer = path.extension().is_some_and(|e| e == "tar");
    let done = if layer {
        let done = store.import(&path, "hostile:1", &ImportOptions::default(), &mut Quiet);
        done.map(|image| vec![image])
    } else {
        store.load(&path, &LoadOptions::default(), &mut Quiet)
    };
    let digests = done.map(|all| all.into_iter().map(|image| image.digest).collect::<Vec<_>>());
    let text = match digests {
        Ok(digests) => format!("ok\n{}", digests.join("\n")),
        Err(error) => format!("error\n{}", told(&error)),
    };
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    let peak = line.split_whitespace().nth(1).unwrap();
    fs::write(at.join("ended"), format!("{peak}\n{text}")).unwrap();
}

/// How a case ended.
struct Ended {
    peak_kib: u64,
    result: Result<Vec<String>, String>,
}

impl Yard {
    /// Brings it in; the error's text, and the image when there is one.
    fn bring(&self, input: &Input) -> Ended {
        let layer = matches!(input, Input::Layer(_));
        let path = self.at.join(if layer { "input.tar" } else { "input" });
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        match input {
            Input::Layer(bytes) | Input::Archive(bytes) => fs::write(&path, bytes).unwrap(),
            Input::Layers(layers) => Layout::of_layers(layers).write(&path),
            Input::Folder(layout) => layout.write(&path),
            Input::Written(write) => write(&path),
        }
        let ended = self.at.join("ended");
        let _ = fs::remove_file(&ended);
        let mut process = Command::new(std::env::current_exe().unwrap());
        let out = process.args(["--exact", "bring"]).env(INPUT, &path).output().unwrap();
        let Ok(text) = fs::read_to_string(&ended) else {
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            return Ended { peak_kib: 0, result: Err(format!("it did not end: {text}")) };
        };
        let mut parts = text.splitn(3, '\n');
        let peak_kib = parts.next().unwrap().parse().unwrap();
        let good = parts.next() == Some("ok");
        let rest = parts.next().unwrap_or_default();
        let digests = rest.lines().map(str::to_owned).collect();
        Ended { peak_kib, result: if good { Ok(digests) } else { Err(rest.to_owned()) } }
    }

    /// What is wrong with how a case ended.
    fn judge(
        &self,
        case: &Case,
        ended: Result<Vec<String>, String>,
        before: &[BTreeMap<PathBuf, String>; 2],
    ) -> Option<String> {
        let fault = match (&case.words, &ended) {
            (Some(words), Err(text))
                if !text.contains(words.as_str()) || text.contains("did not end") =>
            {
                Some(format!("wanted {words:?}, it said {text}"))
            }
            (Some(words), Ok(_)) => Some(format!("wanted {words:?}, it was taken")),
            (None, Err(text)) => Some(format!("is harmless, it said {text}")),
            (Some(_), Err(text)) if text.chars().any(|c| c.is_control() || c == '\u{202e}') => {
                Some(format!("unescaped: {text:?}"))
            }
            (Some(words), Err(text))
                if !words.is_empty() && matches!(case.input, Input::Layer(_)) =>
            {
                let names = text.contains("layer 1 of 1") || text.contains("input.tar");
                (!names).then(|| format!("names neither layer nor file: {text}"))
            }
            _ => None,
        };
        for digest in ended.into_iter().flatten() {
            self.store.remove(&digest, true).unwrap();
        }
        let touched = census(&self.at.join("canary"), true) != before[0];
        let touched = touched.then(|| "the host was touched".to_owned());
        let after = census(&self.at.join("root"), false);
        let changed = (after != before[1]).then(|| {
            let more: Vec<_> = after.keys().filter(|k| !before[1].contains_key(*k)).collect();
            format!("the store was changed: {more:?}")
        });
        fault.or(touched).or(changed)
    }
}

fn run(test: &str, least: usize, make: fn(&str) -> Vec<Case>) {
    let Some(scope) = scope::enter(test) else { return };
    let at = scope.folder().to_owned();
    fs::create_dir_all(at.join("canary/below")).unwrap();
    fs::write(at.join("canary/file"), "untouched").unwrap();
    fs::write(at.join("canary/below/deep"), "untouched").unwrap();
    let yard = Yard { store: Store::open(&at.join("root")).unwrap(), at: at.clone() };
    let good = forge::Forge::default().folder("etc").file("etc/passwd").end();
    fs::write(at.join("good.tar"), good).unwrap();
    let import = ImportOptions::default();
    yard.store.import(&at.join("good.tar"), "good:1", &import, &mut Quiet).unwrap();
    let before = [census(&at.join("canary"), true), census(&at.join("root"), false)];
    let cases = make(&at.join("canary").display().to_string());
    assert!(cases.len() >= least, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    let mut highest = 0;
    for case in &cases {
        let Ended { peak_kib, result } = yard.bring(&case.input);
        wrong.extend(yard.judge(case, result, &before).map(|w| format!("{}: {w}", case.name)));
        if peak_kib > PEAK_MAX_KIB {
            wrong.push(format!("{}: took {peak_kib} KiB", case.name));
        }
        highest = highest.max(peak_kib);
    }
    println!("{test}: {} cases, peak memory {highest} KiB", cases.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let image = yard.store.resolve("good:1").unwrap();
    assert!(yard.store.prepare(&image, "c", None).is_ok());
    yard.store.release("c").unwrap();
    for name in ["root", "canary"] {
        fs::remove_dir_all(at.join(name)).unwrap();
    }
    for name in ["good.tar", "input.tar", "input", "ended"] {
        let path = at.join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    }
}

#[test]
fn hostile_paths() {
    run("hostile_paths", 150, layers::cases);
}

#[test]
fn hostile_metadata() {
    run("hostile_metadata", 60, metadata::cases);
}

#[test]
fn hostile_structure() {
    run("hostile_structure", 100, structure::cases);
}

#[test]
fn hostile_compression() {
    run("hostile_compression", 30, compressed::cases);
}

#[test]
fn hostile_documents() {
    run("hostile_documents", 100, documents::cases);
}
