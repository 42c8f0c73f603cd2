//! POSIX extended regular expressions, by the C library: what crun takes for ids.

use std::ffi::CString;
use std::io::{Error, ErrorKind, Result};
use std::mem::MaybeUninit;

/// A compiled expression.
pub struct Pattern(libc::regex_t);

impl Pattern {
    /// Compiles an extended expression.
    ///
    /// # Errors
    /// `InvalidInput` with regcomp(3)'s words.
    pub fn new(text: &str) -> Result<Pattern> {
        let text = CString::new(text)?;
        let mut compiled = MaybeUninit::<libc::regex_t>::zeroed();
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: room for the structure, and a NUL-terminated string, which outlive the call.
        let code = unsafe { libc::regcomp(compiled.as_mut_ptr(), text.as_ptr(), flags) };
        if code == 0 {
            // SAFETY: regcomp has filled it.
            return Ok(Pattern(unsafe { compiled.assume_init() }));
        }
        let mut words = [0u8; 128];
        let (start, room) = (words.as_mut_ptr().cast(), words.len());
        // SAFETY: a buffer and its length; the structure is only asked about the failure.
        unsafe { libc::regerror(code, compiled.as_ptr(), start, room) };
        let words = words.split(|byte| *byte == 0).next().unwrap_or_default();
        Err(Error::new(ErrorKind::InvalidInput, String::from_utf8_lossy(words).into_owned()))
    }

    /// Whether it matches anywhere in a text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else { return false };
        let none = std::ptr::null_mut();
        // SAFETY: a compiled expression and a NUL-terminated string; no places are asked for.
        unsafe { libc::regexec(&raw const self.0, text.as_ptr(), 0, none, 0) == 0 }
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: it was compiled, and is freed once.
        unsafe { libc::regfree(&raw mut self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_expressions_match_anywhere() {
        let pattern = Pattern::new("^web-[0-9]+$|db").unwrap();
        for (text, wanted) in [("web-12", true), ("web-x", false), ("my-db-1", true), ("", false)] {
            assert_eq!(pattern.matches(text), wanted, "{text}");
        }
        assert_eq!(Pattern::new("a(").err().unwrap().kind(), ErrorKind::InvalidInput);
    }
}
