//! Owners, modes, times, attributes, devices.

use crate::forge::{Forge, Head, octal};
use crate::{Case, layer};

fn f() -> Forge {
    Forge::default()
}

fn head(change: impl Fn(&mut Head)) -> Vec<u8> {
    let mut head = Head::new(b"a", b'0');
    change(&mut head);
    f().head(&head).end()
}

pub(crate) fn cases(_: &str) -> Vec<Case> {
    let mut all = Vec::new();
    numbers(&mut all);
    pax_numbers(&mut all);
    attributes(&mut all);
    for (major, minor) in [(1 << 12, 0), (0, 1 << 20), (0o7777777, 1), (1, 0o7777777)] {
        for flag in [b'3', b'4'] {
            let tar = f().node("d", flag, (major, minor)).end();
            all.push(layer(format!("device {major}:{minor}"), tar, Some("device")));
        }
    }
    for flag in (b'8'..=b'9').chain(*b"ABCDEFGHIJMNOPQRTUWYZabcdefhijklmnopqrstuvwyz") {
        let tar = f().head(&Head::new(b"a", flag)).end();
        let title = format!("an entry of type {}", char::from(flag));
        all.push(layer(title, tar, Some("unknown type of entry")));
    }
    for flag in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let tar = f().file("b").head(&Head {
            link: b"b".to_vec(),
            size: octal(512, 12),
            ..Head::new(b"a", flag)
        });
        let tar = tar.data(&[1; 512]).end();
        // A hard link of GNU tar and POSIX may say its file's size; there is no data then.
        let words = if flag == b'1' { "checksum" } else { "no file" };
        all.push(layer(format!("data on type {}", char::from(flag)), tar, Some(words)));
    }
    for mode in [0o7777, 0o6755, 0o1000, 0] {
        all.push(layer(format!("mode {mode:o}"), head(|h| h.mode = mode), None));
    }
    all
}

fn numbers(all: &mut Vec<Case>) {
    let beyond = b"\x80\0\0\x01\0\0\0\0".to_vec();
    let ones = b"\x80\0\0\0\xff\xff\xff\xff".to_vec();
    for (what, value, words) in [
        ("2^32", beyond, "is beyond"),
        ("(uid_t)-1", ones, "is beyond"),
        ("negative", vec![0xff; 8], "negative"),
        ("words", b"root\0\0\0\0".to_vec(), "no number"),
        ("a nine", b"0000009\0".to_vec(), "no number"),
        ("a sign", b"-000001\0".to_vec(), "no number"),
    ] {
        let tar = head(|h| h.uid.clone_from(&value));
        all.push(layer(format!("uid is {what}"), tar, Some(words)));
        let tar = head(|h| h.gid.clone_from(&value));
        all.push(layer(format!("gid is {what}"), tar, Some(words)));
    }
    for (what, value, words) in [
        ("negative", vec![0xff; 12], Some("negative")),
        ("words", b"12345678912x".to_vec(), Some("no number")),
        ("8 EiB", [&b"\x80\0\0\0\x7f"[..], &[0xff; 7]].concat(), Some("is truncated")),
        ("2^88", [&b"\xbf"[..], &[0xff; 11]].concat(), Some("no number")),
        ("8 GiB", b"77777777777\0".to_vec(), Some("is truncated")),
        ("empty", vec![0; 12], None),
    ] {
        let tar = head(|h| h.size.clone_from(&value));
        all.push(layer(format!("size is {what}"), tar, words));
    }
    for (what, value, words) in [
        ("before 1970", vec![0xff; 12], None),
        ("beyond the end", [&b"\x80\0\0\0\x7f"[..], &[0xff; 7]].concat(), None),
        ("words", b"yesterday\0\0\0".to_vec(), Some("no number")),
    ] {
        let tar = head(|h| h.mtime.clone_from(&value));
        all.push(layer(format!("mtime is {what}"), tar, words));
    }
}

fn pax_numbers(all: &mut Vec<Case>) {
    for key in ["uid", "gid"] {
        for (value, words) in [
            ("4294967295", "is beyond"),
            ("4294967296", "is beyond"),
            ("18446744073709551616", "no number"),
            ("-1", "no number"),
            ("0x10", "no number"),
            (" 1", "no number"),
            ("", "no number"),
        ] {
            let tar = f().pax(&[(key, value.as_bytes())]).file("a").end();
            all.push(layer(format!("{key}={value:?}"), tar, Some(words)));
        }
    }
    for (value, words) in [
        ("99999999999999999999", None),
        ("-99999999999999999999", None),
        ("1.99999999999999999999", None),
        ("-0.5", None),
        ("1e9", Some("mtime")),
        ("1.2.3", Some("mtime")),
        ("--1", Some("mtime")),
        ("inf", Some("mtime")),
        ("", Some("mtime")),
    ] {
        let tar = f().pax(&[("mtime", value.as_bytes())]).file("a").end();
        all.push(layer(format!("mtime={value:?}"), tar, words));
    }
}

fn attributes(all: &mut Vec<Case>) {
    for key in [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "user.overlay.opaque",
        "user.overlay.whiteout",
        "security.selinux",
        "security.ima",
        "security.evm",
        "system.nfs4_acl",
        "nonsense",
    ] {
        let key = format!("SCHILY.xattr.{key}");
        let tar = f().pax(&[(&key, b"y")]).file("a").pax(&[(&key, b"y")]).folder("d").end();
        all.push(layer(format!("{key} is dropped"), tar, None));
    }
    let long = format!("SCHILY.xattr.user.{}", "n".repeat(260));
    let many: Vec<String> = (0..30_000).map(|n| format!("SCHILY.xattr.user.{n:0>9}")).collect();
    let many: Vec<(&str, &[u8])> =
        many.iter().map(|k| (k.as_str(), [b'v'; 9].as_slice())).collect();
    let big = vec![b'v'; 70_000];
    for (what, records, words) in [
        ("of 70 KB", vec![("SCHILY.xattr.user.a", big.as_slice())], "attribute"),
        ("without a name", vec![("SCHILY.xattr.", b"v".as_slice())], "name"),
        ("with a long name", vec![(long.as_str(), b"v".as_slice())], "name"),
        (
            "with a damaged capability",
            vec![("SCHILY.xattr.security.capability", b"v".as_slice())],
            "attribute",
        ),
        (
            "with a damaged ACL",
            vec![("SCHILY.xattr.system.posix_acl_access", b"v".as_slice())],
            "attribute",
        ),
        ("by the thousand", many, "over 1048576"),
    ] {
        let tar = f().pax(&records).file("a").end();
        all.push(layer(format!("an attribute {what}"), tar, Some(words)));
    }
}
