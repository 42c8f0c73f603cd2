//! The reader against archives cut at every byte.

use std::io::BufReader;

use super::*;
use crate::extract::forge::Forge;

fn read_all(archive: &[u8]) -> Result<Vec<Entry>, Fault> {
    let mut reader = Reader::new(BufReader::with_capacity(100, archive));
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        entries.push(entry);
    }
    Ok(entries)
}

#[test]
fn an_archive_cut_anywhere_is_no_panic_and_never_more_entries() {
    let whole = Forge::default()
        .folder("d")
        .pax(&[("path", b"d/long"), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"b")])
        .with(b"x", b'0', &[1; 700])
        .with(b"L", b'L', b"gnu-name\0")
        .file("y")
        .link("l", "d")
        .end();
    let all = read_all(&whole).unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(all[1].path, b"d/long");
    assert_eq!(all[1].modified, Stamp { seconds: 1, nanos: 500_000_000 });
    assert_eq!(all[2].path, b"gnu-name");
    for length in 0..whole.len() - 2 * BLOCK {
        match read_all(&whole[..length]) {
            // At a block's end, or within the filler after data.
            Ok(entries) => assert!(entries.len() < 4, "{length}"),
            Err(Fault::Truncated) => {}
            Err(other) => panic!("{length}: {other}"),
        }
    }
}

#[test]
fn flipped_bits_are_no_panic() {
    let whole = Forge::default()
        .pax(&[("GNU.sparse.major", b"0"), ("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9")])
        .file("a")
        .node("n", b'3', (1, 3))
        .end();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut forged = whole.clone();
            forged[at] ^= 1 << bit;
            // Any end is fine but a panic or a hang.
            let _ = read_all(&forged);
        }
    }
}
