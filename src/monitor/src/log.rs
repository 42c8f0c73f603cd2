//! The CRI log format, as pure functions: `<RFC3339Nano> stdout|stderr F|P <bytes>\n`.
//!
//! Source: Kubernetes, design "CRI: dockershim/kuberuntime log format"; a line is tagged `F` (full:
//! it ends here) or `P` (partial: more of it follows). No piece is longer than [`MAX_PIECE_BYTES`].
//! Bytes are not interpreted: any byte but newline stands for itself. Files: [`file`].

pub mod file;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

/// Longest content of one log line, in bytes.
pub const MAX_PIECE_BYTES: usize = 16 * 1024;

/// Which output of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or a terminal's output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in a log line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// A part of the output that makes one log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The output's line ends with this piece.
    pub full: bool,
    /// Its bytes without the newline.
    pub bytes: &'a [u8],
}

/// Cuts output into pieces. The last one is partial when `data` does not end with a newline.
pub fn pieces(data: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let window = &rest[..rest.len().min(MAX_PIECE_BYTES + 1)];
        let newline = window.iter().position(|&byte| byte == b'\n');
        let (full, len) = match newline {
            Some(at) => (true, at),
            None => (false, window.len().min(MAX_PIECE_BYTES)),
        };
        let bytes = &rest[..len];
        rest = &rest[len + usize::from(full)..];
        Some(Piece { full, bytes })
    })
}

/// Appends one log line.
pub fn append(out: &mut Vec<u8>, stamp: &str, stream: Stream, piece: Piece<'_>) {
    out.extend_from_slice(stamp.as_bytes());
    out.push(b' ');
    out.extend_from_slice(stream.name().as_bytes());
    out.extend_from_slice(if piece.full { b" F " } else { b" P " });
    out.extend_from_slice(piece.bytes);
    out.push(b'\n');
}

/// RFC 3339 time in UTC with nine digits of fraction, from Unix time in nanoseconds.
#[must_use]
pub fn rfc3339_nano(unix_ns: u64) -> String {
    let (seconds, nanos) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = String::with_capacity(30);
    // Writing to a String cannot fail.
    let _ =
        write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z");
    text
}

/// Year, month and day of a day number since 1970-01-01 (proleptic Gregorian calendar; the year
/// is made to begin in March so that the leap day is its last).
fn civil(day_number: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970_FROM_MARCH_0000: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = day_number + DAYS_TO_1970_FROM_MARCH_0000;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// A log line taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// RFC 3339 time as it stands.
    pub stamp: &'a str,
    /// Which output.
    pub stream: Stream,
    /// Content and whether its line ends here.
    pub piece: Piece<'a>,
}

/// Takes a log line (without its newline) apart; `None` when it is not in the format.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |&byte| byte == b' ');
    let stamp = std::str::from_utf8(parts.next()?).ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // Later tags may follow the first after a colon.
    let full = match *parts.next()?.first()? {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    Some(Line { stamp, stream, piece: Piece { full, bytes: parts.next()? } })
}
