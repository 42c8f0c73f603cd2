//! Progress on stderr: which form it has, and lines at the foot of a terminal that are drawn over.
//!
//! What is done becomes a line above that stays. Drawn at most ten times a second, never more lines
//! than the terminal has, none longer than it is wide.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::args::ProgressForm;
use crate::print;

const REDRAW: Duration = Duration::from_millis(100);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines that are drawn over.
    Live,
    /// A line for each thing that is done.
    Lines,
    /// A JSON object a line.
    Json,
    /// Nothing.
    Nothing,
}

impl Form {
    /// As wanted, and as stderr is; `quiet` shows nothing.
    #[must_use]
    pub fn of(wanted: ProgressForm, quiet: bool) -> Form {
        match wanted {
            _ if quiet => Form::Nothing,
            ProgressForm::None => Form::Nothing,
            ProgressForm::Json => Form::Json,
            ProgressForm::Tty => Form::Live,
            ProgressForm::Auto if std::io::stderr().is_terminal() => Form::Live,
            ProgressForm::Auto | ProgressForm::Plain => Form::Lines,
        }
    }
}

/// Lines at the foot of the terminal.
#[derive(Debug, Default)]
pub struct Live {
    drawn: usize,
    last: Option<Instant>,
}

/// A terminal's rows and columns, where it says none those of old.
#[must_use]
pub fn size() -> (usize, usize) {
    let told = sys::foreground::window_size(std::io::stderr().as_fd());
    let (rows, columns) = told.filter(|(rows, _)| *rows > 0).unwrap_or((24, 80));
    (usize::from(rows.max(3)), usize::from(columns.max(20)))
}

impl Live {
    /// Whether it is time to draw again.
    #[must_use]
    pub fn due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= REDRAW)
    }

    /// Whether something is drawn.
    #[must_use]
    pub fn shows(&self) -> bool {
        self.drawn > 0
    }

    /// Draws `lines` anew, below those that stay.
    pub fn draw(&mut self, stay: &[String], lines: &[String]) {
        let (text, drawn) = drawing(self.drawn, size(), stay, lines);
        self.drawn = drawn;
        print::err(&text);
        self.last = Some(Instant::now());
    }
}

/// The text, and how many lines of it are drawn over next time.
fn drawing(
    drawn: usize,
    (rows, columns): (usize, usize),
    stay: &[String],
    lines: &[String],
) -> (String, usize) {
    let mut text = String::new();
    if drawn > 0 {
        text.push_str(&format!("\x1b[{drawn}A"));
    }
    for line in stay {
        text.push_str(&format!("\r\x1b[K{line}\n"));
    }
    // The last line of the terminal is the cursor's.
    let lines = &lines[lines.len().saturating_sub(rows - 1)..];
    for line in lines {
        let line: String = line.chars().take(columns - 1).collect();
        text.push_str(&format!("\r\x1b[K{line}\n"));
    }
    text.push_str("\x1b[J");
    (text, lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_over_fits_the_terminal() {
        let lines: Vec<String> = ["one", "two", "three"].map(str::to_owned).into();
        let stay = vec!["done, however long it is".to_owned()];
        let (text, drawn) = drawing(2, (3, 5), &stay, &lines);
        assert_eq!(drawn, 2);
        let wanted = "\x1b[2A\r\x1b[Kdone, however long it is\n\r\x1b[Ktwo\n\r\x1b[Kthre\n\x1b[J";
        assert_eq!(text, wanted);
        assert_eq!(drawing(0, (24, 80), &[], &[]), ("\x1b[J".to_owned(), 0));
    }
}
