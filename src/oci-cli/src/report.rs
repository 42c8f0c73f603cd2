//! What the program says: errors and warnings where engines look for them, the log file in the
//! format they asked for, and stderr; results on stdout.
//!
//! As runc does: with `--log TARGET` a line for that target, and the bare text of an error on
//! stderr; without, one log line on stderr. podman and containerd read the last line with level
//! "error". A hint is a field of the line and never one of its own.
//! Nothing here panics: whoever does not read stderr misses it; a full disk behind stdout is an
//! error, a closed pipe (`| head`) the reader's affair.

use std::io::{ErrorKind, Write};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::args::{Given, UsageError};
use crate::target::{Message, Target};

/// A failed verb.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The chain of causes on one line.
    pub(crate) text: String,
    /// What to try next.
    pub(crate) hint: Option<String>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Failure {
    /// A failure with exit code 1 and no hint.
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), hint: None, code: 1 }
    }

    /// Nothing to say, and all is well.
    fn quiet() -> Failure {
        Failure { text: String::new(), hint: None, code: 0 }
    }

    /// The same with words before it.
    pub(crate) fn within(mut self, prefix: &str) -> Failure {
        self.text = format!("{prefix}: {}", self.text);
        self
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<runtime::Error> for Failure {
    fn from(error: runtime::Error) -> Failure {
        Failure { text: chain(&error), hint: error.hint(), code: 1 }
    }
}

/// The error and its sources.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

/// Where errors go.
#[derive(Debug, Default)]
pub(crate) struct Log {
    target: Option<Target>,
    json: bool,
    /// The container that the verb is about.
    id: Option<String>,
}

impl Log {
    /// Opens what `--log` and `--log-format` name; a file is appended to. Among the options before
    /// the verb there is no word but the id of the container, once that is known.
    pub(crate) fn open(globals: &Given) -> Result<Log, Failure> {
        let json = match globals.text("log-format")? {
            None | Some("text" | "") => false,
            Some("json") => true,
            Some(other) => {
                return Err(Failure::new(format!("invalid log-format: {other:?} (text or json)")));
            }
        };
        let named = globals.text("log")?.filter(|text| !matches!(*text, "" | "/dev/stderr"));
        let opened = named.map(|named| {
            Target::open(named).map_err(|e| Failure::new(format!("open log {named}: {e}")))
        });
        Ok(Log { target: opened.transpose()?, json, id: id_of(globals) })
    }

    /// The same, about the container that is known by now.
    pub(crate) fn about(self, globals: &Given) -> Log {
        Log { id: id_of(globals), ..self }
    }

    /// Writes one line for `--debug`: to the log alone where there is one.
    pub(crate) fn debug(&self, text: &str) {
        self.write(("debug", 7), text, None);
    }

    /// Writes one warning, to the log alone where there is one.
    pub(crate) fn warn(&self, text: &str) {
        self.write(("warning", 4), text, None);
    }

    /// Writes one error line, and the bare text to stderr where that is not the log.
    fn error(&self, text: &str, hint: Option<&str>) {
        self.write(("error", 3), text, hint);
        if self.target.is_some() {
            say(&format!("{text}\n"));
        }
    }

    fn write(&self, (level, severity): (&str, u8), text: &str, hint: Option<&str>) {
        let line = format_line((self.json, level), (text, hint), SystemTime::now());
        let Some(target) = &self.target else { return say(&line) };
        let (text, hint) = if self.json { (line.trim_end(), None) } else { (text, hint) };
        // A verb does not fail for what it says on the way, and what ends it is on stderr, too.
        let _ = target.send(&Message { severity, text, hint, id: self.id.as_deref() }, &line);
    }

    /// Writes a failure and its hint; the exit code is its own.
    pub(crate) fn fail(&self, failure: &Failure) -> u8 {
        if !failure.text.is_empty() {
            self.error(&failure.text, failure.hint.as_deref());
        }
        failure.code
    }
}

static LOG: OnceLock<Log> = OnceLock::new();

/// The log of the verb that runs.
pub(crate) fn log() -> &'static Log {
    keep(Log::default())
}

/// Makes `log` that of the verb that runs, which it stays.
pub(crate) fn keep(log: Log) -> &'static Log {
    LOG.get_or_init(|| log)
}

/// Writes to stderr, read or not.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes a result to stdout, now.
///
/// # Errors
/// What write(2) says, in words; without any, and with exit code 0, when nobody reads any more.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::quiet(),
        _ => Failure::new(format!("write to stdout: {error}")),
    })
}

fn id_of(globals: &Given) -> Option<String> {
    globals.words.first().map(|word| word.to_string_lossy().into_owned())
}

fn format_line(
    (json, level): (bool, &str),
    (text, hint): (&str, Option<&str>),
    now: SystemTime,
) -> String {
    let time = timestamp(now);
    let field = |hint: &str| match json {
        true => format!(",\"hint\":{}", serde_json::Value::from(hint)),
        false => format!(" hint={hint:?}"),
    };
    let hint = hint.map(field).unwrap_or_default();
    if json {
        let message = serde_json::Value::from(text);
        format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"{hint}}}\n")
    } else {
        format!("time=\"{time}\" level={level} msg={text:?}{hint}\n")
    }
}

/// RFC 3339, UTC, whole seconds.
fn timestamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    format_time(seconds, None)
}

/// RFC 3339 in UTC of seconds since 1970, with nanoseconds when given.
/// Source of the calendar: Howard Hinnant, "chrono-compatible low-level date algorithms".
pub(crate) fn format_time(seconds: u64, nanoseconds: Option<u32>) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let fraction = nanoseconds.map_or_else(String::new, |n| format!(".{n:09}"));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_are_runcs() {
        let at = UNIX_EPOCH + Duration::from_secs(1_709_210_096);
        assert_eq!(
            format_line((true, "error"), ("container \"x\" does not exist", None), at),
            "{\"level\":\"error\",\"msg\":\"container \\\"x\\\" does not exist\",\"time\":\"2024-02-29T12:34:56Z\"}\n"
        );
        assert_eq!(
            format_line((false, "debug"), ("say \"no\"", None), at),
            "time=\"2024-02-29T12:34:56Z\" level=debug msg=\"say \\\"no\\\"\"\n"
        );
        assert_eq!(
            format_line((true, "error"), ("no", Some("try \"b\"")), at),
            "{\"level\":\"error\",\"msg\":\"no\",\"time\":\"2024-02-29T12:34:56Z\",\"hint\":\"try \\\"b\\\"\"}\n"
        );
        assert_eq!(
            format_line((false, "error"), ("no", Some("try b")), at),
            "time=\"2024-02-29T12:34:56Z\" level=error msg=\"no\" hint=\"try b\"\n"
        );
        assert_eq!(format_time(0, Some(5)), "1970-01-01T00:00:00.000000005Z");
        assert_eq!(format_time(951_868_800, None), "2000-03-01T00:00:00Z");
    }
}
