//! Writing tar entries that every reader understands: ustar, and PAX records for what it lacks.
//!
//! Names over 255 bytes, big numbers and attributes go into records (`SCHILY.xattr.` as GNU tar,
//! libarchive and Go have it). Times are whole seconds. Deterministic: no time, process id or
//! account name of the writer is in it. Source: POSIX.1-2024 pax, "pax Interchange Format".

use std::io::{Result, Write};

use crate::tarball::{BLOCK, Entry, Kind};

/// The largest numbers of ustar's fields of 7 and 11 octal digits.
const SMALL_MAX: u64 = 0o7_777_777;
const LARGE_MAX: u64 = 0o77_777_777_777;
const NAME: usize = 100;
const PREFIX: usize = 155;
const ZEROES: [u8; BLOCK * 2] = [0; BLOCK * 2];

/// Writes an archive to a stream.
pub(super) struct Writer<W> {
    out: W,
    /// Data of the current entry not written yet, and its filler.
    left: u64,
    padding: usize,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Writer<W> {
        Writer { out, left: 0, padding: 0 }
    }

    /// Begins an entry; its `size` bytes of data follow through [`Writer::data`]. The path of a
    /// folder needs no slash at its end.
    pub(super) fn entry(&mut self, entry: &Entry) -> Result<()> {
        let mut path = entry.path.clone();
        if entry.kind == Kind::Folder && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let records = records(entry, &path);
        if !records.is_empty() {
            let base = path.split(|b| *b == b'/').rfind(|part| !part.is_empty());
            let mut name = b"PaxHeaders/".to_vec();
            name.extend(base.unwrap_or_default().iter().take(NAME - name.len()));
            let mut head = Head::new(&name, b"", b'x');
            head.number(100, 8, 0o644);
            head.number(124, 12, records.len() as u64);
            self.out.write_all(&head.sealed())?;
            self.out.write_all(&records)?;
            self.out.write_all(&ZEROES[..filler(records.len() as u64)])?;
        }
        self.out.write_all(&header(entry, &path))?;
        self.left = entry.size;
        self.padding = filler(entry.size);
        self.end_of_data()
    }

    /// Some of the current entry's data, never more than it has left.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<()> {
        debug_assert!(bytes.len() as u64 <= self.left, "more data than the entry's size");
        self.out.write_all(bytes)?;
        self.left -= bytes.len() as u64;
        self.end_of_data()
    }

    /// Bytes of data that the current entry still needs.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    fn end_of_data(&mut self) -> Result<()> {
        if self.left > 0 {
            return Ok(());
        }
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(&ZEROES[..padding])
    }

    /// The end marker.
    pub(super) fn finish(mut self) -> Result<()> {
        self.out.write_all(&ZEROES)?;
        self.out.flush()
    }
}

fn filler(size: u64) -> usize {
    usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or(0)
}

/// Where a long path is cut into ustar's prefix and name.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME {
        return Some((b"", path));
    }
    let slash = |at: &usize| path[*at] == b'/' && *at + 1 < path.len();
    let at = (1..=PREFIX.min(path.len() - 1)).rev().find(slash)?;
    let (prefix, name) = (&path[..at], &path[at + 1..]);
    (name.len() <= NAME).then_some((prefix, name))
}

/// The records of what ustar cannot hold.
fn records(entry: &Entry, path: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        // The length counts itself: it is found by trying.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length.to_string().len() + rest != length {
            length = length.to_string().len() + rest;
        }
        all.extend(format!("{length} ").bytes());
        all.extend_from_slice(key);
        all.push(b'=');
        all.extend_from_slice(value);
        all.push(b'\n');
    };
    if split(path).is_none() {
        add(b"path", path);
    }
    if entry.link.len() > NAME {
        add(b"linkpath", &entry.link);
    }
    for (key, value, max) in [
        ("uid", u64::from(entry.uid), SMALL_MAX),
        ("gid", u64::from(entry.gid), SMALL_MAX),
        ("size", entry.size, LARGE_MAX),
    ] {
        if value > max {
            add(key.as_bytes(), value.to_string().as_bytes());
        }
    }
    let seconds = entry.modified.seconds;
    if !u64::try_from(seconds).is_ok_and(|s| s <= LARGE_MAX) {
        add(b"mtime", seconds.to_string().as_bytes());
    }
    for (key, value) in &entry.xattrs {
        add(&[b"SCHILY.xattr.", key.as_slice()].concat(), value);
    }
    all
}

fn header(entry: &Entry, path: &[u8]) -> [u8; BLOCK] {
    let flag = match entry.kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Link => b'2',
        Kind::Char { .. } => b'3',
        Kind::Block { .. } => b'4',
        Kind::Folder => b'5',
        Kind::Fifo => b'6',
    };
    let (prefix, name) = split(path).unwrap_or((b"", &path[..NAME.min(path.len())]));
    let mut head = Head::new(name, prefix, flag);
    head.bytes(157, &entry.link[..entry.link.len().min(NAME)]);
    head.number(100, 8, u64::from(entry.mode));
    head.number(108, 8, Some(u64::from(entry.uid)).filter(|n| *n <= SMALL_MAX).unwrap_or(0));
    head.number(116, 8, Some(u64::from(entry.gid)).filter(|n| *n <= SMALL_MAX).unwrap_or(0));
    head.number(124, 12, Some(entry.size).filter(|n| *n <= LARGE_MAX).unwrap_or(0));
    let seconds = u64::try_from(entry.modified.seconds).ok().filter(|n| *n <= LARGE_MAX);
    head.number(136, 12, seconds.unwrap_or(0));
    if let Kind::Char { major, minor } | Kind::Block { major, minor } = entry.kind {
        head.number(329, 8, u64::from(major));
        head.number(337, 8, u64::from(minor));
    }
    head.sealed()
}

struct Head([u8; BLOCK]);

impl Head {
    fn new(name: &[u8], prefix: &[u8], flag: u8) -> Head {
        let mut head = Head([0; BLOCK]);
        head.bytes(0, name);
        head.bytes(345, prefix);
        head.bytes(156, &[flag]);
        head.bytes(257, b"ustar\x0000");
        for (at, width) in [(100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (329, 8), (337, 8)]
        {
            head.number(at, width, 0);
        }
        head
    }

    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn number(&mut self, at: usize, width: usize, value: u64) {
        let digits = format!("{value:0digits$o}\0", digits = width - 1);
        self.bytes(at, digits.as_bytes());
    }

    fn sealed(mut self) -> [u8; BLOCK] {
        self.bytes(148, b"        ");
        let sum: u64 = self.0.iter().map(|b| u64::from(*b)).sum();
        self.bytes(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}
