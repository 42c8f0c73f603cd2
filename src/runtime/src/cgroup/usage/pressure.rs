//! How long processes have waited for a resource (PSI), which v2 counts for each cgroup.
//!
//! Source: accounting/psi.rst of the kernel.

use serde::Serialize;

use super::text;
use crate::cgroup::Cgroup;

/// Of one resource.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Some process waited.
    pub some: Wait,
    /// All of them did.
    pub full: Wait,
}

/// For how long.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Wait {
    /// Of the last 10 seconds, per cent.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last five.
    pub avg300: f64,
    /// In all, microseconds.
    pub total: u64,
}

impl Cgroup {
    /// Of `cpu`, `memory` or `io`; `None` where the kernel does not count it.
    pub(super) fn pressure(&self, resource: &str) -> Option<Pressure> {
        parse(&text(self.v2_folder()?, &format!("{resource}.pressure")))
    }
}

/// Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
pub(super) fn parse(text: &str) -> Option<Pressure> {
    let mut pressure = None;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let kind = words.next();
        let mut wait = Wait::default();
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => wait.avg10 = value.parse().unwrap_or(0.0),
                "avg60" => wait.avg60 = value.parse().unwrap_or(0.0),
                "avg300" => wait.avg300 = value.parse().unwrap_or(0.0),
                "total" => wait.total = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        match kind {
            Some("some") => pressure.get_or_insert_with(Pressure::default).some = wait,
            Some("full") => pressure.get_or_insert_with(Pressure::default).full = wait,
            _ => {}
        }
    }
    pressure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_read() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=42\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let pressure = parse(text).unwrap();
        let some = Wait { avg10: 1.5, avg60: 0.25, avg300: 0.0, total: 42 };
        assert_eq!((pressure.some, pressure.full.total), (some, 7));
        // Turned off for the cgroup.
        assert_eq!(parse(""), None);
    }
}
