//! What a person, or a program, is told when a verb fails, and the exit code.
//!
//! Form: `podvisor: <operation> <object>: <cause chain> (ERRNO)`, then `hint: …`; findings of a
//! manifest come one a line before. With `--log-format json`: one object.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use api::ClientError;
use api::wire::Cause;
use serde_json::json;

use crate::args::LogFormat;

/// A verb that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// What was tried and on what, as in `load web.tar`.
    pub operation: String,
    /// The cause chain.
    pub cause: String,
    /// Name of the errno at its root.
    pub errno: Option<Box<str>>,
    /// What to try next.
    pub hint: Option<String>,
    /// Findings of a manifest.
    pub findings: Vec<Cause>,
    /// Exit code.
    pub code: u8,
    /// Nothing is to be said: whoever reads has gone, or has been told.
    pub silent: bool,
}

impl Failure {
    /// A failure in words of our own.
    pub fn new(operation: impl Into<String>, cause: impl Into<String>) -> Failure {
        Failure { operation: operation.into(), cause: cause.into(), code: 1, ..Failure::default() }
    }

    /// A failure with an error at its root.
    pub fn of(operation: impl Into<String>, error: &(dyn Error + 'static)) -> Failure {
        let errno = errno_of(error);
        let mut words = api::error::chain(error);
        // Its name is shown; std's number beside it says nothing more.
        if let (Some(_), Some(at)) = (&errno, words.rfind(" (os error ")) {
            let end = words[at..].find(')').map_or(words.len(), |len| at + len + 1);
            words.replace_range(at..end, "");
        }
        Failure { errno, ..Failure::new(operation, words) }
    }

    /// A failure of the API.
    pub fn api(operation: impl Into<String>, error: &ClientError) -> Failure {
        let mut failure = Failure::of(operation, error);
        failure.hint = error.hint();
        if let ClientError::Refused(status) = error {
            failure.findings.clone_from(&status.details.causes);
        }
        failure
    }

    /// Ends with this exit code and no word more.
    #[must_use]
    pub fn quiet(code: u8) -> Failure {
        Failure { code, silent: true, ..Failure::default() }
    }

    /// Adds what to try next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to try next, if anything.
    #[must_use]
    pub fn hint_maybe(mut self, hint: Option<String>) -> Failure {
        self.hint = hint.or(self.hint);
        self
    }

    /// With this exit code.
    #[must_use]
    pub fn code(mut self, code: u8) -> Failure {
        self.code = code;
        self
    }

    /// Says it on stderr; the exit code.
    #[must_use]
    pub fn report(&self, format: LogFormat) -> ExitCode {
        if !self.silent {
            let text = match format {
                LogFormat::Text => self.text(),
                LogFormat::Json => self.json(),
            };
            crate::print::err(&text);
        }
        ExitCode::from(self.code)
    }

    /// For a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for finding in &self.findings {
            let place = match (finding.line, finding.column) {
                (0, _) => finding.source.clone(),
                (line, column) => format!("{}:{line}:{column}", finding.source),
            };
            let field = if finding.field.is_empty() { "" } else { ": " };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{place}{field}{}: {}", finding.field, finding.message);
            if let Some(hint) = &finding.hint {
                let _ = writeln!(out, "  hint: {hint}");
            }
        }
        let errno = self.errno.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let colon = if self.operation.is_empty() { "" } else { ": " };
        let _ = writeln!(out, "podvisor: {}{colon}{}{errno}", self.operation, self.cause);
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "hint: {hint}");
        }
        crate::print::plain(&out)
    }

    fn json(&self) -> String {
        let line = json!({
            "level": "error",
            "operation": self.operation,
            "error": self.cause,
            "errno": self.errno,
            "hint": self.hint,
            "findings": self.findings,
            "exitCode": self.code,
        });
        format!("{line}\n")
    }
}

/// The name of the errno at the root of an error.
fn errno_of(error: &(dyn Error + 'static)) -> Option<Box<str>> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        let number = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        found = number.or(found);
        next = error.source();
    }
    found.map(|number| sys::errno::name(number).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let error = std::io::Error::from_raw_os_error(30);
        let failure = Failure::of("load web.tar", &error).hint("remount it");
        let text = failure.text();
        assert_eq!(
            text,
            "podvisor: load web.tar: Read-only file system (EROFS)\nhint: remount it\n"
        );
        assert_eq!(failure.code, 1);
        assert!(failure.json().contains("\"errno\":\"EROFS\""));
    }

    #[test]
    fn no_word_of_a_failure_moves_the_cursor() {
        let failure = Failure::new("run \u{1b}[2J", "exec: \u{202e}\u{7}\tx").hint("\u{9b}1A");
        let wanted = "podvisor: run \\u{1b}[2J: exec: \\u{202e}\\u{7}\tx\nhint: \\u{9b}1A\n";
        assert_eq!(failure.text(), wanted);
    }

    #[test]
    fn findings_come_one_a_line_with_their_hints() {
        let finding = Cause {
            field: "spec.replicas".into(),
            message: "must be a number".into(),
            source: "web.yaml".into(),
            line: 5,
            column: 13,
            hint: Some("3".into()),
        };
        let failure = Failure {
            findings: vec![finding],
            ..Failure::new("apply web.yaml", "the manifest has a mistake")
        };
        assert_eq!(
            failure.text(),
            "web.yaml:5:13: spec.replicas: must be a number\n  hint: 3\n\
             podvisor: apply web.yaml: the manifest has a mistake\n"
        );
    }
}
