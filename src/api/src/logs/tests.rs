//! Lines, tails and rotations, on real files.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::files::Reader;
use super::line::{Printer, parse};
use super::*;

struct Folder(scope::Folder);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(scope::Folder::new(name))
    }

    fn log(&self) -> PathBuf {
        self.0.join("0.log")
    }

    fn rotate(&self, old: usize) {
        for number in (1..old).rev() {
            let (from, to) = (format!("0.log.{number}"), format!("0.log.{}", number + 1));
            let _ = fs::rename(self.0.join(from), self.0.join(to));
        }
        fs::rename(self.log(), self.0.join("0.log.1")).unwrap();
        fs::write(self.log(), b"").unwrap();
    }

    fn write(&self, numbers: std::ops::Range<u32>) {
        let mut file = fs::File::options().append(true).create(true).open(self.log()).unwrap();
        for number in numbers {
            writeln!(file, "2026-01-01T00:00:{:02}.000000000Z stdout F line {number}", number % 60)
                .unwrap();
        }
    }
}

fn drain(reader: &mut Reader, printer: &mut Printer) -> String {
    let mut out = Vec::new();
    while let Some(lines) = reader.next_lines().unwrap() {
        out.extend(printer.print(&lines));
    }
    String::from_utf8(out).unwrap()
}

fn plain() -> Printer {
    Printer::new(&LogOptions::default(), None)
}

fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| format!("line {n}\n")).collect()
}

#[test]
fn a_line_is_taken_apart_or_left_alone() {
    let line = parse(b"2026-01-01T00:00:00Z stderr P half a line ").unwrap();
    assert!(line.is_stderr && !line.is_full);
    assert_eq!(line.content, b"half a line ");
    assert_eq!(parse(b"2026-01-01T00:00:00Z stdout F").unwrap().content, b"");
    assert_eq!(parse(b"no cri line"), None);
    let text = plain().print(b"T stdout P a\nT stdout F b\nodd\nT stderr F c\n");
    assert_eq!(text, b"ab\nodd\nc\n");
}

#[test]
fn stamps_since_and_limits_are_kept() {
    let text = b"2026-01-01T00:00:01Z stdout F old\n2026-01-01T00:00:05Z stdout F new\n";
    let since = stamp::parse("2026-01-01T00:00:05Z");
    assert_eq!(Printer::new(&LogOptions::default(), since).print(text), b"new\n");
    let stamped = LogOptions { timestamps: true, ..LogOptions::default() };
    let out = Printer::new(&stamped, since).print(text);
    assert_eq!(out, b"2026-01-01T00:00:05Z new\n");
    let raw = LogOptions { raw: true, ..LogOptions::default() };
    assert_eq!(Printer::new(&raw, None).print(text), text);
    let mut short =
        Printer::new(&LogOptions { limit_bytes: Some(5), ..LogOptions::default() }, None);
    assert_eq!(short.print(text), b"old\nn");
    assert!(short.is_full());
}

#[test]
fn a_tail_reaches_back_into_old_files() {
    let folder = Folder::new("tail");
    folder.write(0..10);
    folder.rotate(3);
    folder.write(10..15);
    for (tail, want) in
        [(None, 0..15), (Some(0), 15..15), (Some(2), 13..15), (Some(8), 7..15), (Some(99), 0..15)]
    {
        let mut reader = Reader::open(&folder.log(), tail).unwrap();
        assert_eq!(drain(&mut reader, &mut plain()), lines(want), "{tail:?}");
    }
}

#[test]
fn a_tail_counts_output_lines_and_not_pieces() {
    let folder = Folder::new("pieces");
    fs::write(folder.log(), "T stdout F a\nT stdout P b\nT stdout P c\nT stdout F d\n").unwrap();
    let mut reader = Reader::open(&folder.log(), Some(1)).unwrap();
    assert_eq!(drain(&mut reader, &mut plain()), "bcd\n");
}

#[test]
fn a_reader_loses_no_line_at_rotations() {
    let folder = Folder::new("rotate");
    folder.write(0..5);
    let (mut reader, mut printer) = (Reader::open(&folder.log(), None).unwrap(), plain());
    let mut text = drain(&mut reader, &mut printer);
    folder.write(5..7);
    folder.rotate(5);
    folder.write(7..9);
    folder.rotate(5);
    folder.write(9..12);
    text += &drain(&mut reader, &mut printer);
    folder.write(12..13);
    text += &drain(&mut reader, &mut printer);
    assert_eq!(text, lines(0..13));
}

#[test]
fn half_a_line_waits_for_its_end() {
    let folder = Folder::new("half");
    fs::write(folder.log(), "T stdout F whole\nT stdout F ha").unwrap();
    let (mut reader, mut printer) = (Reader::open(&folder.log(), None).unwrap(), plain());
    assert_eq!(drain(&mut reader, &mut printer), "whole\n");
    let mut file = fs::File::options().append(true).open(folder.log()).unwrap();
    file.write_all(b"lf\n").unwrap();
    assert_eq!(drain(&mut reader, &mut printer), "half\n");
}
