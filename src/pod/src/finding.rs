//! What is wrong with a manifest, and where.
//!
//! A finding is data: the caller prints or serialises it. It never carries a half-made object.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One mistake in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// File name (or `-`) that the text came from.
    pub source: String,
    /// Line, from 1; 0 when the text has no such place.
    pub line: usize,
    /// Column in characters, from 1; 0 when the text has no such place.
    pub column: usize,
    /// Field path, as in `spec.containers[0].image`; empty for the whole document.
    pub path: String,
    /// What is wrong, in words.
    pub problem: String,
    /// What to try.
    pub hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}: ", self.source, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.problem)?;
        match &self.hint {
            Some(hint) => write!(out, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}
