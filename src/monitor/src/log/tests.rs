//! Format, cutting and rotation of logs, without root.

use super::file::LogFile;
use super::*;
use std::path::Path;

fn cut(data: &[u8]) -> Vec<(bool, Vec<u8>)> {
    pieces(data).map(|piece| (piece.full, piece.bytes.to_vec())).collect()
}

fn contents(path: &Path) -> Vec<String> {
    let text = std::fs::read(path).unwrap_or_default();
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(parse(line).unwrap().piece.bytes).into_owned())
        .collect()
}

#[test]
fn output_is_cut_at_newlines_and_at_sixteen_kibibytes() {
    assert_eq!(cut(b""), vec![]);
    assert_eq!(cut(b"\n"), vec![(true, vec![])]);
    assert_eq!(cut(b"a\n\nb"), vec![(true, b"a".into()), (true, vec![]), (false, b"b".into())]);
    let exact = [vec![b'x'; MAX_PIECE_BYTES], vec![b'\n']].concat();
    assert_eq!(cut(&exact), vec![(true, vec![b'x'; MAX_PIECE_BYTES])]);
    let long = [vec![b'x'; MAX_PIECE_BYTES + 1], vec![b'\n']].concat();
    assert_eq!(cut(&long), vec![(false, vec![b'x'; MAX_PIECE_BYTES]), (true, b"x".into())]);
}

#[test]
fn times_are_rfc3339_in_utc_over_leap_days_and_centuries() {
    for (unix_s, text) in [
        (0, "1970-01-01T00:00:00.000000007Z"),
        (951_782_400, "2000-02-29T00:00:00.000000007Z"),
        (951_868_799, "2000-02-29T23:59:59.000000007Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000000007Z"),
        (1_735_689_599, "2024-12-31T23:59:59.000000007Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000000007Z"),
    ] {
        assert_eq!(rfc3339_nano(unix_s * 1_000_000_000 + 7), text);
    }
}

#[test]
fn a_line_survives_formatting_and_parsing() {
    let mut out = Vec::new();
    let piece = Piece { full: false, bytes: b"a b \xff c" };
    append(&mut out, "2026-01-01T00:00:00.000000000Z", Stream::Stderr, piece);
    assert_eq!(out, b"2026-01-01T00:00:00.000000000Z stderr P a b \xff c\n");
    let line = parse(&out[..out.len() - 1]).unwrap();
    assert_eq!((line.stream, line.piece), (Stream::Stderr, piece));
    assert_eq!(parse(b"2026 stdin F x"), None);
    assert_eq!(parse(b"2026 stdout"), None);
}

#[test]
fn rotation_keeps_the_newest_lines_without_a_gap() {
    let folder = scope::Folder::new("rotate");
    let path = folder.join("web/0.log");
    let mut log = LogFile::open(&path, 2000, 3);
    let mut block = Vec::new();
    for chunk in 0..40 {
        let lines: String = (0..5).map(|i| format!("line {}\n", chunk * 5 + i)).collect();
        log.write(Stream::Stdout, lines.as_bytes(), 1, &mut block);
    }
    let mut seen = Vec::new();
    for name in ["0.log.2", "0.log.1", "0.log"] {
        let file = folder.join("web").join(name);
        assert!(std::fs::metadata(&file).unwrap().len() <= 2000, "{name}");
        seen.extend(contents(&file));
    }
    assert!(!folder.join("web/0.log.3").exists());
    assert_eq!(seen.last().unwrap(), "line 199");
    let first = 200 - seen.len();
    let expected: Vec<String> = (first..200).map(|i| format!("line {i}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_reopened_log_is_continued_and_an_unfinished_line_is_ended() {
    let folder = scope::Folder::new("reopen");
    let path = folder.join("0.log");
    let mut block = Vec::new();
    let mut log = LogFile::open(&path, 0, 1);
    log.write(Stream::Stdout, b"one\ntw", 1, &mut block);
    log.finish(Stream::Stdout, 2, &mut block);
    log.finish(Stream::Stdout, 3, &mut block);
    drop(log);
    LogFile::open(&path, 0, 1).write(Stream::Stdout, b"three\n", 4, &mut block);
    assert_eq!(contents(&path), ["one", "tw", "", "three"]);
}

#[test]
fn what_cannot_be_written_is_counted_and_told() {
    let folder = scope::Folder::new("broken");
    let path = folder.join("web/0.log");
    std::fs::write(folder.join("web"), b"a file where the folder belongs").unwrap();
    let mut block = Vec::new();
    let mut log = LogFile::open(&path, 0, 1);
    assert!(log.error().is_some());
    log.write(Stream::Stdout, b"lost\n", 1, &mut block);
    assert!(log.error().is_some());
    std::fs::remove_file(folder.join("web")).unwrap();
    log.write(Stream::Stdout, b"kept\n", 2, &mut block);
    assert_eq!(log.error(), None);
    let lines = contents(&path);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("bytes of log could not be written"), "{lines:?}");
    assert_eq!(lines[1], "kept");
}
