//! The archive itself: headers, checksums, lengths, extended headers, sparse maps, ends.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::forge::{Forge, Head, octal, record, seal};
use crate::tarball::BLOCK;
use crate::{Case, Input, layer};

fn f() -> Forge {
    Forge::default()
}

pub(crate) fn cases(_: &str) -> Vec<Case> {
    let mut all = Vec::new();
    headers(&mut all);
    cuts(&mut all);
    extended(&mut all);
    long_names(&mut all);
    sparse(&mut all);
    sparse_maps(&mut all);
    all.push(Case::new("a million files in an archive", Input::Written(entries), Some("entries")));
    all
}

/// More entries than an image archive has.
fn entries(path: &Path) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    for n in 0..30_000 {
        out.write_all(&Head::new(format!("f{n}").as_bytes(), b'0').block()).unwrap();
    }
}

fn headers(all: &mut Vec<Case>) {
    // A byte of each field changed: the sum tells.
    for at in
        [0, 50, 99, 100, 107, 108, 116, 124, 135, 136, 147, 156, 157, 256, 257, 262, 265, 329, 345]
    {
        let mut tar = f().file("a").end();
        tar[at] ^= 0x55;
        all.push(layer(format!("byte {at} of a header changed"), tar, Some("checksum")));
    }
    for (what, sum) in [
        ("empty", &[0u8; 8][..]),
        ("words", b"checksum"),
        ("in base 256", b"\x80\0\0\0\0\0\x10\0"),
        ("too large", b"7777777\0"),
    ] {
        let mut tar = f().file("a").end();
        tar[148..156].copy_from_slice(sum);
        all.push(layer(format!("a checksum that is {what}"), tar, Some("checksum")));
    }
    let mut signed = Head::new(b"a\xff\xff", b'0').block();
    let sum: i64 = signed
        .iter()
        .enumerate()
        .map(|(i, b)| match i {
            148..156 => 32,
            _ => i64::from(i8::from_ne_bytes([*b])),
        })
        .sum();
    signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    all.push(layer("a signed checksum", Forge(signed.to_vec()).end(), None));
    let mut prefixed = Head::new(b"evil", b'0').block();
    prefixed[345..347].copy_from_slice(b"..");
    seal(&mut prefixed);
    all.push(layer("`..` in the prefix field", Forge(prefixed.to_vec()).end(), Some("`..`")));
    all.push(layer("no name", f().head(&Head::new(b"", b'0')).end(), Some("name is empty")));
    all.push(layer("no link text", f().link("l", "").end(), Some("to nothing")));
}

fn cuts(all: &mut Vec<Case>) {
    let whole = f().folder("d").with(b"d/a", b'0', &[7; 3000]).file("b").end();
    for length in (1..2 * BLOCK + 3000).step_by(97) {
        // Between two entries nothing is missing that a reader could know of.
        let words = if length == BLOCK { None } else { Some("") };
        all.push(layer(format!("cut after {length} bytes"), whole[..length].to_vec(), words));
    }
    let mut lone = f().file("a").0;
    lone.extend([0; BLOCK]);
    all.push(layer("a lone empty block", Forge(lone).file("b").end(), Some("lone empty block")));
    let garbage = [f().file("a").end(), vec![9; 5000]].concat();
    all.push(layer("garbage after the end", garbage, None));
    all.push(layer("nothing at all", Vec::new(), Some("")));
    all.push(layer("only zeros", vec![0; 10 * BLOCK], None));
    all.push(layer("text", b"#!/bin/sh\necho no archive\n".repeat(40), Some("checksum")));
    all.push(layer("an ELF file", [&b"\x7fELF"[..], &[2; 2000]].concat(), Some("checksum")));
    let endless = Head { size: octal(0o77777777777, 12), ..Head::new(b"a", b'0') };
    all.push(layer(
        "8 GiB in a kilobyte",
        f().head(&endless).data(&[1; 512]).end(),
        Some("is truncated"),
    ));
}

fn extended(all: &mut Vec<Case>) {
    for (what, body) in [
        ("no length", &b"path=a\n"[..]),
        ("a length of 0", b"0 a=b\n"),
        ("a length of 1", b"1 a=b\n"),
        ("a length too long", b"99 path=a\n"),
        ("a length too short", b"5 path=a\n"),
        ("a negative length", b"-8 path=a\n"),
        ("a huge length", b"99999999999999999999999 path=a\n"),
        ("no newline", b"9 path=aa"),
        ("no equals sign", b"8 patha\n"),
        ("no key", b"5 =a\n"),
        ("a NUL in the key", b"9 pa\0h=a\n"),
        ("a blank first", b" 9 path=a\n"),
        ("words for a length", b"nine path=a\n"),
        ("half a record", b"9 path=a\n9 pa"),
    ] {
        let tar = f().with(b"x", b'x', body).file("a").end();
        all.push(layer(format!("PAX with {what}"), tar, Some("malformed")));
        let tar = f().with(b"g", b'g', body).file("a").end();
        all.push(layer(format!("global PAX with {what}"), tar, Some("malformed")));
    }
    for (key, value) in [
        ("path", "evil"),
        ("linkpath", "evil"),
        ("size", "1000"),
        ("uid", "1"),
        ("gid", "1"),
        ("SCHILY.xattr.user.a", "b"),
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.map", "0,1"),
    ] {
        let tar = f().with(b"g", b'g', &record(key, value.as_bytes())).file("a").end();
        all.push(layer(format!("a global {key}"), tar, Some("global header")));
    }
    for (value, words) in [
        ("600", None),
        ("99999999999", Some("is truncated")),
        ("18446744073709551616", Some("no number")),
        ("-1", Some("no number")),
        ("", Some("no number")),
    ] {
        let tar = f().pax(&[("size", value.as_bytes())]).file("a").end();
        all.push(layer(format!("PAX size {value:?}"), tar, words));
    }
    all.push(layer("two PAX", f().pax(&[]).pax(&[]).file("a").end(), Some("two extended")));
    all.push(layer("PAX and the end", f().pax(&[("path", b"a")]).end(), Some("is truncated")));
    let huge = Head { size: octal(1 << 30, 12), ..Head::new(b"x", b'x') };
    all.push(layer("PAX of 1 GiB", f().head(&huge).end(), Some("over 1048576")));
    let huge = Head { size: octal(1 << 30, 12), ..Head::new(b"g", b'g') };
    all.push(layer("global PAX of 1 GiB", f().head(&huge).end(), Some("over 1048576")));
    let many = (0..2000).fold(f(), |f, _| f.with(b"g", b'g', &record("comment", b"x")));
    all.push(layer("2,000 global remarks", many.file("a").end(), None));
}

fn long_names(all: &mut Vec<Case>) {
    let one = |flag, text: &'static [u8]| f().with(b"L", flag, text);
    for (what, tar, words) in [
        ("two long names", one(b'L', b"a\0").with(b"L", b'L', b"b\0"), "two long names"),
        ("two long links", one(b'K', b"a\0").with(b"K", b'K', b"b\0"), "two long links"),
        (
            "PAX and another long name",
            f().pax(&[("path", b"a")]).with(b"L", b'L', b"b\0"),
            "two different",
        ),
        ("a long name and another PAX", one(b'L', b"b\0").pax(&[("path", b"a")]), "two different"),
        ("an empty long name", one(b'L', b"\0"), "name is empty"),
        ("a long name that leaves", one(b'L', b"../../evil\0"), "`..`"),
    ] {
        all.push(layer(what, tar.file("c").end(), Some(words)));
    }
    all.push(layer("a long name and the end", one(b'L', b"a\0").end(), Some("is truncated")));
    for (flag, what) in [(b'L', "name"), (b'K', "link")] {
        let head = Head { size: octal(1 << 30, 12), ..Head::new(b"L", flag) };
        all.push(layer(
            format!("a long {what} of 1 GiB"),
            f().head(&head).end(),
            Some("over 4097"),
        ));
    }
}

fn sparse(all: &mut Vec<Case>) {
    let of = |map: &str, size: &str| {
        let records = [
            ("GNU.sparse.major", b"0".as_slice()),
            ("GNU.sparse.map", map.as_bytes()),
            ("GNU.sparse.size", size.as_bytes()),
        ];
        f().pax(&records).file("a").end()
    };
    for (map, size, words) in [
        ("0,1", "18446744073709551615", "writing"),
        ("5,1", "3", "pass its end"),
        ("0,1,0,0", "3", "overlap"),
        ("2,1,0,0", "3", "overlap"),
        ("0,3", "3", "does not fit"),
        ("0,0", "3", "does not fit"),
        ("18446744073709551615,1", "3", "pass its end"),
        ("0,18446744073709551615,0,2", "3", "pass its end"),
        ("0", "3", "half an extent"),
        ("a,b", "3", "no number"),
        ("0,1,", "3", ""),
        ("0,1", "-3", "no number"),
    ] {
        all.push(layer(format!("sparse {map} of {size}"), of(map, size), Some(words)));
    }
}

fn sparse_maps(all: &mut Vec<Case>) {
    let text = |map: &[u8]| {
        let records = [
            ("GNU.sparse.major", b"1".as_slice()),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"10"),
        ];
        let mut data = map.to_vec();
        data.resize(map.len().next_multiple_of(BLOCK), 0);
        f().pax(&records).with(b"a", b'0', &data).end()
    };
    for (what, map, words) in [
        ("with 99,999,999 extents", &b"99999999\n"[..], "over 262144"),
        ("of words", b"two\n", "no list"),
        ("that does not end", &b"0300\n".repeat(103)[..BLOCK], "does not end"),
        ("with a number too long", b"1\n999999999999999999999\n", ""),
        ("beyond the file", b"1\n100\n5\n", "pass its end"),
        ("with more data than there is", b"1\n0\n5\n", "does not fit"),
        ("with negative numbers", b"1\n-5\n5\n", "no list"),
    ] {
        all.push(layer(format!("a sparse map {what}"), text(map), Some(words)));
    }
    for (what, records) in [
        (
            "of version 9.9",
            vec![
                ("GNU.sparse.major", &b"9"[..]),
                ("GNU.sparse.minor", b"9"),
                ("GNU.sparse.size", b"9"),
            ],
        ),
        ("without its size", vec![("GNU.sparse.major", b"0"), ("GNU.sparse.map", b"0,1")]),
        (
            "with another count",
            vec![
                ("GNU.sparse.numblocks", b"7"),
                ("GNU.sparse.map", b"0,1"),
                ("GNU.sparse.size", b"1"),
            ],
        ),
        ("with half an extent", vec![("GNU.sparse.offset", b"7")]),
        ("with an extent of no place", vec![("GNU.sparse.numbytes", b"7")]),
    ] {
        let tar = f().pax(&records).file("a").end();
        all.push(layer(format!("sparse {what}"), tar, Some("")));
    }
    let map: String = (0..300_000u32).map(|n| format!("{},0,", n + 1)).collect();
    let body = record("GNU.sparse.map", map.trim_end_matches(',').as_bytes());
    let tar = f().with(b"x", b'x', &body).file("a").end();
    all.push(layer("sparse with 300,000 extents", tar, Some("over 1048576")));
}
