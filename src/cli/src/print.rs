//! Writing to the two outputs. A reader that has gone (`| head`) ends a verb without a word.

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::args::Color;
use crate::failure::Failure;

/// Writes to stdout, now.
///
/// # Errors
/// Quiet when nobody reads; otherwise with words.
pub fn out(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes bytes to stdout, now.
///
/// # Errors
/// As [`out`].
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::quiet(0),
        _ => Failure::of("write to stdout", &error),
    })
}

/// Writes to stderr; whoever does not read it misses it.
pub fn err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A line on stderr, for what a verb does meanwhile.
pub fn note(text: &str) {
    err(&format!("{text}\n"));
}

/// Text of strangers for a terminal: what would move its cursor, colour it or turn the direction of
/// writing is escaped; lines and tabs stay.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() || turns => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Colours, or none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// As told, and as stdout and NO_COLOR are.
    #[must_use]
    pub fn new(color: Color) -> Paint {
        Paint(match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
                io::stdout().is_terminal() && !unwanted
            }
        })
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// All is well.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Something is on its way.
    #[must_use]
    pub fn waiting(self, text: &str) -> String {
        self.with("33", text)
    }

    /// Something is wrong.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// A heading.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Of less weight.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
}
