//! One line of a CRI log, and how lines are printed. Pure.
//!
//! Format: `<RFC3339Nano> stdout|stderr F|P <bytes>`; `P` means that more of the same output line
//! follows. A line that is not of this form is printed as it is: a log is never hidden.

use crate::route::LogOptions;
use crate::stamp;

/// A line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its stamp as text.
    pub stamp: &'a str,
    /// From stderr rather than stdout.
    pub is_stderr: bool,
    /// The output's line ends here.
    pub is_full: bool,
    /// What was printed, without the newline.
    pub content: &'a [u8],
}

/// Takes a line (without its newline) apart; `None` when it is no CRI line.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |&b| b == b' ');
    let stamp = std::str::from_utf8(parts.next()?).ok()?;
    let is_stderr = match parts.next()? {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    let is_full = match parts.next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Line { stamp, is_stderr, is_full, content: parts.next().unwrap_or_default() })
}

/// Turns log lines into what a reader asked for.
#[derive(Debug)]
pub struct Printer {
    since_ns: Option<i64>,
    timestamps: bool,
    raw: bool,
    left_bytes: Option<u64>,
    in_line: bool,
}

impl Printer {
    /// A printer for these options; `since_ns` in place of theirs.
    #[must_use]
    pub fn new(options: &LogOptions, since_ns: Option<i64>) -> Printer {
        Printer {
            since_ns,
            timestamps: options.timestamps,
            raw: options.raw,
            left_bytes: options.limit_bytes,
            in_line: false,
        }
    }

    /// The limit of bytes has been reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.left_bytes == Some(0)
    }

    /// Prints whole lines of a log file.
    pub fn print(&mut self, lines: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(lines.len());
        for line in lines.split_inclusive(|&b| b == b'\n') {
            self.one(line.strip_suffix(b"\n").unwrap_or(line), &mut out);
        }
        if let Some(left) = &mut self.left_bytes {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left = left.saturating_sub(out.len() as u64);
        }
        out
    }

    fn one(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let parsed = parse(text);
        let old = |line: &Line| match (self.since_ns, stamp::parse(line.stamp)) {
            (Some(since), Some(at)) => at < since,
            _ => false,
        };
        if parsed.as_ref().is_some_and(old) {
            return;
        }
        let Some(line) = parsed.filter(|_| !self.raw) else {
            out.extend_from_slice(text);
            out.push(b'\n');
            return;
        };
        if self.timestamps && !self.in_line {
            out.extend_from_slice(line.stamp.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.content);
        self.in_line = !line.is_full;
        if line.is_full {
            out.push(b'\n');
        }
    }
}
