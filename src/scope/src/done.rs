//! What a command printed and how it ended, and what a test expects of that.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

/// A command that has ended.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; 128 and more for a signal.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Done {
    /// Takes over what was collected.
    #[must_use]
    pub fn of(output: Output) -> Done {
        let signal = output.status.signal().map(|s| 128 + s);
        Done {
            code: output.status.code().or(signal).unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output of a command that must have succeeded.
    ///
    /// # Panics
    /// It has not.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// It must have failed with this code, and the error hold each of the words; the error.
    ///
    /// # Panics
    /// It has not, or does not.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "the error does not say {word:?}:\n{}", self.err);
        }
        self.err
    }
}
