//! Names: what leaves the folder, what goes through links, hard links, roots, whiteouts; each kind
//! of entry, its name in the header, by PAX and by GNU; in one layer and over two.

use crate::forge::{Forge, Head};
use crate::{Case, Input, layer};

const KINDS: [(&str, u8); 7] = [
    ("file", b'0'),
    ("hard link", b'1'),
    ("link", b'2'),
    ("device", b'3'),
    ("folder", b'5'),
    ("pipe", b'6'),
    ("contiguous file", b'7'),
];

fn f() -> Forge {
    Forge::default()
}

/// An entry of a kind.
fn entry(forge: Forge, name: &[u8], flag: u8) -> Forge {
    let link = if matches!(flag, b'1' | b'2') { b"first".to_vec() } else { Vec::new() };
    let device = if flag == b'3' { (1, 3) } else { (0, 0) };
    forge.head(&Head { link, device, ..Head::new(name, flag) })
}

/// The same entry, named in three ways.
fn named(base: &Forge, name: &[u8], flag: u8) -> [(&'static str, Vec<u8>); 3] {
    let long = [name, b"\0"].concat();
    [
        ("header", entry(base.clone(), name, flag).end()),
        ("PAX", entry(base.clone().pax(&[("path", name)]), b"x", flag).end()),
        ("GNU", entry(base.clone().with(b"L", b'L', &long), b"x", flag).end()),
    ]
}

pub(crate) fn cases(canary: &str) -> Vec<Case> {
    let mut all = Vec::new();
    parents(&mut all);
    through_links(canary, &mut all);
    over_two_layers(canary, &mut all);
    hard_links(canary, &mut all);
    roots_and_whiteouts(canary, &mut all);
    all
}

fn parents(all: &mut Vec<Case>) {
    let base = f().file("first");
    for name in ["../evil", "a/../../evil", "/../evil", "a/b/../c", "a/..", "./../../../etc/evil"] {
        for (kind, flag) in KINDS {
            for (how, tar) in named(&base, name.as_bytes(), flag) {
                let title = format!("{kind} called {name} by {how}");
                all.push(layer(title, tar, Some("`..`")));
            }
        }
    }
}

fn through_links(canary: &str, all: &mut Vec<Case>) {
    let far = format!("{}{canary}", "../".repeat(30));
    for (how, base) in [
        ("an absolute link", f().link("l", canary)),
        ("a relative link", f().link("l", &far)),
        ("links to links", f().link("l", "m").link("m", "n").link("n", canary)),
        ("a link to itself", f().link("l", "l")),
        ("a link to the root", f().link("l", "/")),
        ("a link to its folder", f().link("l", ".")),
        ("a link to a process", f().link("l", "/proc/self/root")),
    ] {
        let base = base.file("first");
        for (kind, flag) in KINDS {
            let tar = entry(base.clone(), b"l/below", flag).end();
            all.push(layer(format!("{kind} below {how}"), tar, Some("symbolic link")));
        }
        for name in ["l/.wh.file", "l/.wh..wh..opq", "l/below/deep/file", "./l//x", "/l/x"] {
            let tar = base.clone().file(name).end();
            // A bottom layer has nothing to hide: its whiteouts are not even looked at.
            let words = (!name.contains(".wh.")).then_some("symbolic link");
            all.push(layer(format!("{name} below {how}"), tar, words));
        }
        let tar = base.clone().folder("l").file("l/mine").end();
        all.push(layer(format!("a folder over {how}"), tar, None));
        let tar = base.clone().file("l").end();
        all.push(layer(format!("a file over {how}"), tar, None));
    }
}

fn over_two_layers(canary: &str, all: &mut Vec<Case>) {
    let below = f().link("l", canary).link("f", &format!("{canary}/file")).file("first").end();
    let two = |top: Forge| Input::Layers(vec![below.clone(), top.end()]);
    // Each layer is a folder of its own: what is a link below is a folder here.
    for name in ["l/evil", "l/below/evil", "f", "l/.wh.file", "l/.wh..wh..opq", ".wh.l", ".wh.f"] {
        all.push(Case::new(format!("two layers, {name}"), two(f().file(name)), None));
    }
    for (name, to) in [("h", "first"), ("h", "l/file"), ("h", "f"), ("h", "etc/passwd")] {
        let case = two(f().hard(name, to));
        all.push(Case::new(
            format!("hard link to the layer below: {to}"),
            case,
            Some("layer 2 of 2"),
        ));
    }
    for name in [".wh.", ".wh..", ".wh...", "a/.wh.", ".wh.a/b"] {
        let case = two(f().file(name));
        all.push(Case::new(format!("two layers, whiteout {name}"), case, Some("whiteout")));
    }
    for link in ["l/.wh.file", "l/.wh..wh..opq"] {
        let case = two(f().link("l", canary).file(link));
        all.push(Case::new(format!("two layers, {link} by link"), case, Some("symbolic link")));
    }
    for (what, top) in [
        ("a whiteout after its file", f().file("a").file(".wh.a")),
        ("a file after its whiteout", f().file(".wh.a").file("a")),
        ("a folder's whiteout after it", f().folder("d").file("d/x").file(".wh.d")),
        ("an opaque mark at the end", f().folder("d").file("d/x").file("d/.wh..wh..opq")),
        ("a whiteout that is a folder", f().folder(".wh.first")),
        ("a whiteout that is a link", f().link(".wh.first", canary)),
        ("a whiteout in the kernel's own form", f().node("first", b'3', (0, 0))),
        ("aufs' records", f().folder(".wh..wh.plnk").file(".wh..wh.plnk/1").file(".wh..wh.aufs")),
    ] {
        all.push(Case::new(what, two(top), None));
    }
    let hidden = f().file(".wh.a").hard("h", "a");
    all.push(Case::new("hard link to a whiteout", two(hidden), Some("does not hold")));
}

fn hard_links(canary: &str, all: &mut Vec<Case>) {
    let far = format!("{}{canary}/file", "../".repeat(30));
    let out = format!("{canary}/file");
    for (what, to, words) in [
        ("up", far.as_str(), "`..`"),
        ("outside", &out, "does not hold"),
        ("nowhere", "missing", "does not hold"),
        ("a folder", "d", "folder"),
        ("the root", "/", "can have none"),
        ("itself, which is not there", "h", "does not hold"),
        ("a whiteout's name", ".wh.x", "can have none"),
        ("a name below a file", "first/x", "does not hold"),
        ("by a link", "l/file", "symbolic link"),
        ("nothing", "", ""),
    ] {
        let base = f().file("first").folder("d").link("l", canary);
        let long = [to.as_bytes(), b"\0"].concat();
        for (how, tar) in [
            ("header", base.clone().hard("h", to).end()),
            ("PAX", base.clone().pax(&[("linkpath", to.as_bytes())]).hard("h", "").end()),
            ("GNU", base.clone().with(b"K", b'K', &long).hard("h", "x").end()),
        ] {
            all.push(layer(format!("hard link to {what} by {how}"), tar, Some(words)));
        }
    }
    let tar = f().link("l", &out).hard("h", "l").with(b"h", b'0', b"over it").end();
    all.push(layer("a file over a hard link to a link out", tar, None));
}

fn roots_and_whiteouts(canary: &str, all: &mut Vec<Case>) {
    for name in [".", "./", "/", "//", "./."] {
        for (kind, flag) in KINDS.iter().filter(|(_, flag)| *flag != b'5') {
            let words = match (flag, name.ends_with('/')) {
                // An old tar's mark of a folder, which has no data.
                (b'0' | b'7', true) => continue,
                _ => "can only be a folder",
            };
            let tar = entry(f().file("first"), name.as_bytes(), *flag).end();
            all.push(layer(format!("the root {name} is a {kind}"), tar, Some(words)));
        }
    }
    for (what, name, words) in [
        ("of 5,000 bytes", vec![b'a'; 5000], Some("over 4095")),
        ("with a part of 300 bytes", vec![b'a'; 300], Some("creating it failed")),
        ("of 1,500 folders", [&b"a/".repeat(1500)[..], b"x"].concat(), Some("1501 folders")),
        ("of 4,000 folders", b"a/".repeat(4000), Some("over 4095")),
        ("with a NUL", b"a\0b".to_vec(), Some("NUL")),
        ("of escapes", b"\x1b]0;evil\x07\x1b[2J/../x".to_vec(), Some("`..`")),
        ("of a reversed text", "\u{202e}gpj/../x".into(), Some("`..`")),
        ("that is no UTF-8", b"\xff\xfe\xc0\xaf".to_vec(), None),
        ("of new lines", b"a\nb\r\n".to_vec(), None),
    ] {
        let tar = f().pax(&[("path", &name)]).file("x").end();
        all.push(layer(format!("a name {what}"), tar, words));
    }
    let deep = (1..=250).map(|n| "d/".repeat(n));
    let tar = deep.fold(f(), |f, name| f.pax(&[("path", name.as_bytes())]).folder("x")).end();
    all.push(layer("250 folders deep", tar, None));
    let over = f().file("a").folder("a").file("a/b").file("a").link("a", canary).file("a").end();
    all.push(layer("one name as everything in turn", over, None));
    let below = f().file("a").file("a/b").end();
    all.push(layer("a file below a file", below, Some("no folder")));
    let below = f().node("a", b'6', (0, 0)).file("a/b").end();
    all.push(layer("a file below a pipe", below, Some("no folder")));
}
