//! Hostile layers by the dozen: each has its expected end, and the host's files stay as they are.

use std::fs;
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::forge::{Forge, Head, octal, record, seal};
use super::{Failed, Unpacked, extract};
use crate::tarball::{BLOCK, Reader};

/// A canary tree beside the folder that is unpacked into.
pub(super) struct Yard(pub(super) scope::Folder);

impl Yard {
    pub(super) fn new(name: &str) -> Yard {
        let path = scope::Folder::new(name);
        fs::create_dir_all(path.join("canary/below")).unwrap();
        fs::write(path.join("canary/file"), "untouched").unwrap();
        fs::write(path.join("canary/below/deep"), "untouched").unwrap();
        fs::create_dir(path.join("root")).unwrap();
        Yard(path)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// Everything of the canary that an attack could change.
    fn canary(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let mut todo = vec![self.0.join("canary")];
        while let Some(path) = todo.pop() {
            let m = fs::symlink_metadata(&path).unwrap();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let facts = (m.mode(), m.uid(), m.gid(), m.nlink(), m.mtime_nsec(), m.ctime_nsec());
            seen.push(format!("{} {facts:?} {text}", path.display()));
            if m.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            }
        }
        seen.sort();
        let beside = fs::read_dir(&self.0).unwrap().count();
        seen.push(format!("{beside} beside"));
        seen
    }

    pub(super) fn unpack(&self, archive: &[u8], bottom: bool) -> Result<Unpacked, Failed> {
        fs::remove_dir_all(self.root()).unwrap();
        fs::create_dir(self.root()).unwrap();
        unpack_into(&self.root(), archive, bottom)
    }
}

pub(super) fn unpack_into(root: &Path, archive: &[u8], bottom: bool) -> Result<Unpacked, Failed> {
    std::thread::scope(|threads| {
        let work = || {
            sys::dir::private_umask().unwrap();
            let root = sys::dir::open_root(root).unwrap();
            // Small reads, so that every block boundary is met.
            extract(Reader::new(BufReader::with_capacity(700, archive)), root, bottom)
        };
        threads.spawn(work).join().unwrap()
    })
}

/// Name, archive, and words of the error; none where it must unpack harmlessly.
type Case = (&'static str, Vec<u8>, Option<&'static str>);

fn f() -> Forge {
    Forge::default()
}

fn paths(out: &str) -> Vec<Case> {
    let far = format!("{}{out}", "../".repeat(20));
    let bad = Some;
    vec![
        ("parent", f().file("../../evil").end(), bad("`..`")),
        ("parent inside", f().file("a/../../evil").end(), bad("`..`")),
        ("parent folder", f().folder("..").end(), bad("`..`")),
        ("absolute", f().file(&format!("{out}/evil")).end(), None),
        ("link then file", f().link("l", out).file("l/evil").end(), bad("symbolic link")),
        ("relative link", f().link("l", &far).file("l/evil").end(), bad("symbolic link")),
        ("link of links", f().link("a", "b").link("b", out).file("a/x").end(), bad("symbolic")),
        ("link to itself", f().link("l", "l").file("l/x").end(), bad("symbolic link")),
        ("deep link", f().folder("d").link("d/l", out).file("d/l/b/x").end(), bad("symbolic")),
        ("link then folder", f().link("l", out).folder("l").file("l/mine").end(), None),
        ("link then file over it", f().link("l", &format!("{out}/file")).file("l").end(), None),
        ("folder below link", f().link("l", out).folder("l/new").end(), bad("symbolic link")),
        ("link below link", f().link("l", out).link("l/new", "x").end(), bad("symbolic link")),
        ("node below link", f().link("l", out).node("l/p", b'6', (0, 0)).end(), bad("symbolic")),
        ("hard link out", f().hard("h", &format!("{out}/file")).end(), bad("does not hold")),
        ("hard link up", f().hard("h", &far).end(), bad("`..`")),
        ("hard link by link", f().link("l", out).hard("h", "l/file").end(), bad("symbolic link")),
        ("hard link in link", f().file("a").link("l", out).hard("l/h", "a").end(), bad("symbolic")),
        ("hard link below", f().hard("h", "etc/passwd").end(), bad("does not hold")),
        ("hard link to folder", f().folder("d").hard("h", "d").end(), bad("folder")),
        ("hard link to itself", f().file("a").hard("a", "a").end(), None),
        ("hard link to root", f().hard("h", "/").end(), bad("can have none")),
        (
            "hard link to link",
            f().link("l", &format!("{out}/file")).hard("h", "l").file("h").end(),
            None,
        ),
        ("root is a file", f().file("./").end(), bad("no file")),
        ("root is a link", f().link(".", out).end(), bad("can only be a folder")),
        ("root is a hard link", f().file("a").hard("./", "a").end(), bad("can only be")),
        ("file below file", f().file("a").file("a/b").end(), bad("no folder")),
        ("no name", f().head(&Head::new(b"", b'0')).end(), bad("name is empty")),
        ("NUL in name", f().pax(&[("path", b"a\0b")]).file("x").end(), bad("NUL")),
        ("long name", f().pax(&[("path", &[b'a'; 5000])]).file("x").end(), bad("5000 bytes")),
        ("long part", f().pax(&[("path", &[b'a'; 300])]).file("x").end(), bad("creating")),
        (
            "deep",
            f().pax(&[("path", &[&b"a/".repeat(1500)[..], b"x"].concat())]).file("x").end(),
            bad("1501 folders"),
        ),
        ("very deep", f().pax(&[("path", &b"a/".repeat(4000))]).file("x").end(), bad("bytes")),
        ("no link text", f().link("l", "").end(), bad("to nothing")),
        ("not UTF-8", f().with(b"\xff\xfe", b'0', b"x").end(), None),
        ("control characters", f().with(b"\x1b[31mred\n", b'0', b"x").end(), None),
    ]
}

fn whiteouts(out: &str) -> Vec<Case> {
    let bad = Some;
    vec![
        ("no name", f().file(".wh.").end(), bad("whiteout of no name")),
        ("dot", f().file("d/.wh..").end(), bad("whiteout of no name")),
        ("parent", f().file("d/.wh...").end(), bad("whiteout of no name")),
        ("below a link", f().link("l", out).file("l/.wh.file").end(), bad("symbolic link")),
        ("opaque link", f().link("l", out).file("l/.wh..wh..opq").end(), bad("symbolic link")),
        ("of a link", f().link("l", out).file(".wh.l").end(), None),
        ("then below", f().file(".wh.d").file("d/x").end(), None),
        ("as folder", f().folder(".wh.d").end(), None),
        ("as link", f().link(".wh.d", out).end(), None),
        ("below a whiteout's name", f().file(".wh.d/x").end(), bad("below a whiteout")),
        (
            "aufs",
            f().folder(".wh..wh.plnk").file(".wh..wh.plnk/1").file(".wh..wh.aufs").end(),
            None,
        ),
        ("raw", f().node("c", b'3', (0, 0)).end(), None),
        ("hard link to one", f().file(".wh.a").hard("h", "a").end(), bad("does not hold")),
    ]
}

fn metadata() -> Vec<Case> {
    let bad = Some;
    let head = |edit: fn(&mut Head)| {
        let mut head = Head::new(b"a", b'0');
        edit(&mut head);
        f().head(&head).end()
    };
    let big = vec![b'v'; 70_000];
    let many: Vec<(String, &[u8])> =
        (0..20_000).map(|n| (format!("SCHILY.xattr.user.{n}"), [b'v'; 40].as_slice())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    vec![
        ("uid beyond", head(|h| h.uid = b"\x80\0\0\x01\0\0\0\0".into()), bad("uid 4294967296")),
        ("uid minus one", head(|h| h.uid = [0xff; 8].into()), bad("negative")),
        ("uid of all ones", head(|h| h.uid = b"\x80\0\0\0\xff\xff\xff\xff".into()), bad("uid")),
        ("gid by words", head(|h| h.gid = b"staff\0\0\0".into()), bad("no number")),
        ("gid by PAX", f().pax(&[("gid", b"4294967296")]).file("a").end(), bad("gid 4294967296")),
        ("uid by PAX", f().pax(&[("uid", b"-1")]).file("a").end(), bad("no number")),
        ("before 1970", head(|h| h.mtime = [0xff; 12].into()), None),
        ("far future", f().pax(&[("mtime", b"99999999999999999999")]).file("a").end(), None),
        ("mtime by words", f().pax(&[("mtime", b"now")]).file("a").end(), bad("mtime")),
        ("size negative", head(|h| h.size = [0xff; 12].into()), bad("negative")),
        ("size by words", head(|h| h.size = b"12345678912x".into()), bad("no number")),
        ("device beyond", f().node("d", b'3', (1 << 13, 0)).end(), bad("making the device")),
        ("long xattr", f().pax(&[("SCHILY.xattr.user.a", &big)]).file("a").end(), bad("attribute")),
        ("xattrs by the thousand", f().pax(&many).file("a").end(), bad("over 1048576")),
        ("unnamed xattr", f().pax(&[("SCHILY.xattr.", b"v")]).file("a").end(), bad("name")),
    ]
}

fn structure() -> Vec<Case> {
    let bad = Some;
    let mut broken = f().file("a").end();
    broken[0] ^= 1;
    let mut cut = f().with(b"a", b'0', &[7; 2000]).end();
    cut.truncate(1500);
    let huge = Head { size: octal(1 << 30, 12), ..Head::new(b"PaxHeaders/x", b'x') };
    let long = Head { size: octal(1 << 30, 12), ..Head::new(b"././@LongLink", b'L') };
    let linked = Head { size: octal(512, 12), link: b"b".into(), ..Head::new(b"a", b'2') };
    let eight = b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff";
    let endless = Head { size: eight.into(), ..Head::new(b"a", b'0') };
    let global = record("path", b"evil");
    let mut lone = f().file("a").0;
    lone.extend([0; BLOCK]);
    let lone = Forge(lone).file("b").end();
    vec![
        ("checksum", broken, bad("checksum")),
        ("truncated data", cut, bad("ends too early")),
        ("truncated header", f().file("a").file("b").0[..1300].to_vec(), bad("ends too early")),
        ("no trailer", f().file("a").0, None),
        ("trailing garbage", [f().file("a").end(), vec![9; 5000]].concat(), None),
        ("lone empty block", lone, bad("lone empty block")),
        ("long PAX", f().head(&huge).end(), bad("over 1048576")),
        ("long long name", f().head(&long).end(), bad("over 4097")),
        ("two PAX", f().pax(&[]).pax(&[]).file("a").end(), bad("two extended")),
        (
            "PAX and GNU",
            f().pax(&[("path", b"a")]).with(b"L", b'L', b"b\0").file("c").end(),
            bad("two different"),
        ),
        ("PAX then the end", f().pax(&[("path", b"a")]).end(), bad("ends too early")),
        (
            "two long names",
            f().with(b"L", b'L', b"a\0").with(b"L", b'L', b"b\0").file("c").end(),
            bad("two long names"),
        ),
        (
            "PAX size over header",
            f().pax(&[("size", b"600")]).head(&Head::new(b"a", b'0')).data(&[1; 600]).end(),
            None,
        ),
        ("PAX size beyond", f().pax(&[("size", b"99999999999")]).file("a").end(), bad("too early")),
        ("PAX malformed", f().with(b"x", b'x', b"99 path=a\n").file("a").end(), bad("malformed")),
        ("PAX no newline", f().with(b"x", b'x', b"9 path=aa").file("a").end(), bad("malformed")),
        ("PAX zero", f().with(b"x", b'x', b"0 a=b\n").file("a").end(), bad("malformed")),
        ("global path", f().with(b"g", b'g', &global).file("a").end(), bad("global header")),
        ("global remark", f().with(b"g", b'g', &record("comment", b"x")).file("a").end(), None),
        ("data on a link", f().head(&linked).data(&[0; 512]).end(), bad("no file")),
        ("data on a folder", f().with(b"d", b'5', &[1; 512]).end(), bad("no file")),
        ("endless", f().head(&endless).data(&[1; 512]).end(), bad("too early")),
        ("unknown type", f().with(b"a", b'Q', b"").end(), bad("unknown type")),
        ("twice", f().file("a").file("a").end(), None),
        ("file, folder and back", f().file("a").folder("a").file("a/b").file("a").end(), None),
        ("no tar", vec![b'x'; 600], bad("checksum")),
    ]
}

fn sparse_files() -> Vec<Case> {
    let bad = Some;
    let sparse = |records: &[(&str, &[u8])]| f().pax(records).file("a").end();
    let major = ("GNU.sparse.major", b"0".as_slice());
    let of = |map: &'static str, size: &'static str| {
        sparse(&[major, ("GNU.sparse.map", map.as_bytes()), ("GNU.sparse.size", size.as_bytes())])
    };
    let text_map = |text: &[u8]| {
        let records: [(&str, &[u8]); 3] = [
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"10"),
        ];
        let mut block = text.to_vec();
        block.resize(BLOCK, 0);
        f().pax(&records).with(b"a", b'0', &block).end()
    };
    vec![
        ("sparse of 8 EiB", of("0,1", "9223372036854775807"), bad("writing")),
        ("sparse beyond", of("5,1", "3"), bad("pass its end")),
        ("sparse overlap", of("0,1,0,0", "3"), bad("overlap")),
        ("sparse sum", of("0,3", "3"), bad("does not fit")),
        ("sparse wrap", of("18446744073709551615,1", "3"), bad("pass its end")),
        ("sparse half", of("0", "3"), bad("half an extent")),
        (
            "sparse without size",
            sparse(&[major, ("GNU.sparse.map", b"0,1")]),
            bad("without its size"),
        ),
        ("sparse count", text_map(b"99999999\n"), bad("over 262144")),
        ("sparse words", text_map(b"two\n"), bad("no list")),
        ("sparse no end", text_map(&b"0300\n".repeat(103)[..BLOCK]), bad("does not end")),
    ]
}

#[test]
fn hostile_layers_end_as_they_should_and_touch_nothing() {
    let yard = Yard::new("hostile");
    let out = yard.0.join("canary").display().to_string();
    let before = yard.canary();
    let groups = [paths(&out), whiteouts(&out), metadata(), structure(), sparse_files()];
    assert!(groups.iter().map(Vec::len).sum::<usize>() >= 95);
    let mut wrong = Vec::new();
    for (name, archive, expected) in groups.into_iter().flatten() {
        let end = yard.unpack(&archive, false);
        let text = end.as_ref().err().map(|f| {
            let source = std::error::Error::source(&f.fault).map(ToString::to_string);
            format!("{}: {}: {}", f.entry, f.fault, source.unwrap_or_default())
        });
        let as_expected = match (&text, expected) {
            (None, None) => true,
            (Some(text), Some(words)) => text.contains(words) && !text.contains('\u{1b}'),
            _ => false,
        };
        if !as_expected {
            wrong.push(format!("{name}: wanted {expected:?}, got {text:?}"));
        }
        if yard.canary() != before {
            wrong.push(format!("{name}: the host was touched"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_header_sealed_again_is_read() {
    let mut block = Head::new(b"a", b'0').block();
    block[1] = b'b';
    seal(&mut block);
    let yard = Yard::new("sealed");
    yard.unpack(&[block.to_vec(), vec![0; 2 * BLOCK]].concat(), true).unwrap();
    assert!(yard.root().join("ab").is_file());
}

#[test]
fn thousands_of_opaque_marks_take_linear_time() {
    let time = |count: usize| {
        let yard = Yard::new("opaque");
        let marks = (0..count).fold(f(), |f, n| f.file(&format!("d{n}/.wh..wh..opq")));
        let begun = Instant::now();
        yard.unpack(&marks.end(), false).unwrap();
        begun.elapsed()
    };
    let (few, many) = (time(500), time(5000));
    assert!(many < few * 40 + std::time::Duration::from_secs(1), "{few:?} then {many:?}");
}
