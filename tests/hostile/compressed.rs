//! Compressed layers: damaged, cut, bombs, windows, members and frames, and what they say they are.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use image::Digest;

use crate::forge::{Forge, Head, octal};
use crate::layout::Layout;
use crate::{Case, Input, layer};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar() -> Vec<u8> {
    let text: Vec<u8> = (0..9000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
    Forge::default().folder("d").with(b"d/a", b'0', &text).file("b").end()
}

pub(crate) fn cases(_: &str) -> Vec<Case> {
    let mut all = Vec::new();
    damaged(&mut all);
    kinds(&mut all);
    joined(&mut all);
    let bomb = Input::Written(bomb);
    all.push(Case::new("512 MiB of zeros after the end, 1000:1", bomb, Some("after the end")));
    all.push(Case::new("2 GiB of zeros as an image archive", Input::Written(endless), Some("")));
    all
}

fn damaged(all: &mut Vec<Case>) {
    for (what, packed) in [("gzip", gzip(&tar())), ("zstd", zstd(&tar()))] {
        for part in 1..12 {
            let cut = packed[..packed.len() * part / 12].to_vec();
            all.push(layer(format!("{what} cut at {part} of 12"), cut, Some("")));
            let mut forged = packed.clone();
            let at = packed.len() * part / 12;
            forged[at] ^= 0xff;
            all.push(layer(format!("{what} forged at {part} of 12"), forged, Some("")));
        }
    }
    let mut sum = gzip(&tar());
    let at = sum.len() - 6;
    sum[at] ^= 1;
    all.push(layer("gzip with another checksum", sum, Some("damaged")));
    // A frame header that asks for a window of 3 GiB (exponent 21, mantissa 4).
    let window = [&[0x28, 0xb5, 0x2f, 0xfd, 0, (21 << 3) | 4], &[0u8; 300][..]].concat();
    all.push(layer("zstd with a window of 3 GiB", window, Some("damaged")));
    for (what, head) in [
        ("gzip by another method", vec![0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 3]),
        ("gzip with unknown flags", vec![0x1f, 0x8b, 8, 0xe0, 0, 0, 0, 0, 0, 3]),
        ("gzip with a name that does not end", [&[0x1f, 0x8b, 8, 8][..], &[b'n'; 5000]].concat()),
        (
            "zstd that is only skippable",
            [&[0x5a, 0x2a, 0x4d, 0x18, 200, 0, 0, 0][..], &[9; 100]].concat(),
        ),
    ] {
        all.push(layer(what, head, Some("")));
    }
}

/// Media types, and digests of what is inside.
fn kinds(all: &mut Vec<Case>) {
    let plain = tar();
    let diff = Digest::of(&plain).to_string();
    let other = Digest::of(b"other").to_string();
    let (gz, zs) = (gzip(&plain), zstd(&plain));
    let plain_kind = "application/vnd.oci.image.layer.v1.tar";
    for (what, bytes, diff, kind, words) in [
        ("gzip called plain", &gz, &diff, plain_kind, Some("holds gzip data")),
        ("gzip called zstd", &gz, &diff, ZSTD, Some("holds gzip data")),
        ("zstd called gzip", &zs, &diff, GZIP, Some("holds zstd data")),
        ("plain called gzip", &plain, &diff, GZIP, Some("holds uncompressed data")),
        ("gzip of other content", &gz, &other, GZIP, Some("unpacked layer has the digest")),
        ("zstd of other content", &zs, &other, ZSTD, Some("unpacked layer has the digest")),
        (
            "plain of other content",
            &plain,
            &other,
            plain_kind,
            Some("unpacked layer has the digest"),
        ),
        (
            "a digest of the packed bytes",
            &gz,
            &Digest::of(&gz).to_string(),
            GZIP,
            Some("layer 1 of 1"),
        ),
        ("gzip as it should be", &gz, &diff, GZIP, None),
        ("zstd as it should be", &zs, &diff, ZSTD, None),
    ] {
        let layout = Layout::of_packed(&[(bytes.clone(), diff.clone(), kind)]);
        all.push(Case::new(what, Input::Folder(layout), words));
    }
    // What follows the archive in a layer counts for its digest: nothing can be hidden there.
    let hidden = [plain.clone(), b"hidden".to_vec()].concat();
    let layout = Layout::of_packed(&[(gzip(&hidden), diff, GZIP)]);
    all.push(Case::new(
        "more than the digest is of",
        Input::Folder(layout),
        Some("has the digest"),
    ));
}

fn joined(all: &mut Vec<Case>) {
    let plain = tar();
    let (first, second) = plain.split_at(700);
    for (what, packed, words) in [
        ("gzip in two members", [gzip(first), gzip(second)].concat(), None),
        (
            "gzip in two members, the second cut",
            [gzip(first), gzip(second)[..40].to_vec()].concat(),
            Some(""),
        ),
        ("gzip and then plain", [gzip(first), second.to_vec()].concat(), Some("damaged")),
        ("gzip and then zeros", [gzip(&plain), vec![0; 50]].concat(), Some("damaged")),
        ("zstd in two frames", [zstd(first), zstd(second)].concat(), None),
        (
            "zstd with something between",
            [zstd(first), vec![0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9], zstd(second)].concat(),
            None,
        ),
        ("zstd and then gzip", [zstd(first), gzip(second)].concat(), Some("damaged")),
        ("gzip within gzip", gzip(&gzip(&plain)), Some("checksum")),
        ("1,000 empty members", [vec![gzip(b""); 1000].concat(), gzip(&plain)].concat(), None),
    ] {
        all.push(layer(what, packed, words));
    }
}

/// A layout whose layer goes on and on after its archive.
fn bomb(path: &Path) {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&tar()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..512 {
        encoder.write_all(&zeros).unwrap();
    }
    let packed = encoder.finish().unwrap();
    let diff = Digest::of(b"never known").to_string();
    Layout::of_packed(&[(packed, diff, GZIP)]).write(path);
}

/// An archive of one file of 2 GiB, which is no document of an image.
fn endless(path: &Path) {
    let mut file = File::create(path).unwrap();
    let head = Head { size: octal(8 << 20, 12), ..Head::new(b"index.json", b'0') };
    file.write_all(&head.block()).unwrap();
    file.set_len(2 << 30).unwrap();
}
