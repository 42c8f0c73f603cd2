//! A bar for long work, on a terminal only; one line, gone when the work is done.

use std::io::IsTerminal;

use image::Event;

use crate::age::size;
use crate::print;

/// Shows the steps of a load or import.
#[derive(Debug)]
pub struct Bar {
    shown: bool,
    on: bool,
}

impl Bar {
    /// A bar on stderr, unless it is no terminal or `quiet` is wanted.
    #[must_use]
    pub fn new(quiet: bool) -> Bar {
        Bar { shown: false, on: !quiet && std::io::stderr().is_terminal() }
    }
}

impl image::Progress for Bar {
    fn on(&mut self, event: &Event) {
        if !self.on {
            return;
        }
        print::err(&format!("\r\x1b[K{}", line(event)));
        self.shown = true;
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown {
            print::err("\r\x1b[K");
        }
    }
}

/// A step in words.
fn line(event: &Event) -> String {
    match event {
        Event::Reading { bytes, total: Some(total) } if *total > 0 => {
            let filled = usize::try_from(bytes.saturating_mul(20) / total).unwrap_or(20).min(20);
            let bar: String = "#".repeat(filled) + &"-".repeat(20 - filled);
            format!("reading [{bar}] {} of {}", size(*bytes), size(*total))
        }
        Event::Reading { bytes, .. } => format!("reading {}", size(*bytes)),
        Event::LayerReused { number, count, .. } => {
            format!("layer {number}/{count}: there already")
        }
        Event::LayerStarted { number, count, size: bytes, .. } => {
            format!("layer {number}/{count}: unpacking {}", size(*bytes))
        }
        Event::LayerDone { number, count, entries, .. } => {
            format!("layer {number}/{count}: {entries} entries")
        }
        Event::Writing { bytes } => format!("writing {}", size(*bytes)),
        Event::Syncing => "making it durable".into(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills() {
        let at = |bytes| line(&Event::Reading { bytes, total: Some(2048) });
        assert_eq!(at(1024), "reading [##########----------] 1.0 KiB of 2.0 KiB");
        assert_eq!(at(9999), "reading [####################] 9.8 KiB of 2.0 KiB");
    }
}
