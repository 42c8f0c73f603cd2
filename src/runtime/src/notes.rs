//! What a verb tells of its steps, for `--debug`, and what it warns of.
//!
//! Each line is told when it has become true. Without somebody to tell nothing is formatted.

use std::fmt::Write;
use std::sync::Arc;

/// Takes one line.
type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// Where lines about steps go, and warnings; nowhere by default.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    steps: Option<Listener>,
    warnings: Option<Listener>,
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.steps.is_some() { "Notes(told)" } else { "Notes(untold)" })
    }
}

impl Notes {
    /// Lines about steps go to `listener`.
    pub(crate) fn to(self, listener: impl Fn(&str) + Send + Sync + 'static) -> Notes {
        Notes { steps: Some(Arc::new(listener)), ..self }
    }

    /// Warnings go to `listener`.
    pub(crate) fn warning(self, listener: impl Fn(&str) + Send + Sync + 'static) -> Notes {
        Notes { warnings: Some(Arc::new(listener)), ..self }
    }

    /// Tells the line that `words` makes.
    pub(crate) fn tell(&self, words: impl FnOnce() -> String) {
        if let Some(listener) = &self.steps {
            listener(&words());
        }
    }

    /// Warns of what does not end the operation.
    pub(crate) fn warn(&self, words: &str) {
        if let Some(listener) = &self.warnings {
            listener(words);
        }
    }
}

/// A set of CPUs, a bit each, as one hexadecimal number.
pub(crate) fn mask(cpus: &[u8]) -> String {
    let mut text = String::from("0x");
    let high = cpus.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    for (at, byte) in cpus.iter().enumerate().take(high + 1).rev() {
        // Writing to a String cannot fail.
        let _ = if at == high { write!(text, "{byte:x}") } else { write!(text, "{byte:02x}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_one_number() {
        for (cpus, wanted) in
            [(&[][..], "0x"), (&[0, 0], "0x0"), (&[3, 0], "0x3"), (&[1, 0x10, 0], "0x1001")]
        {
            assert_eq!(mask(cpus), wanted);
        }
    }

    #[test]
    fn nobody_to_tell_costs_no_words() {
        Notes::default().tell(|| panic!("formatted"));
    }
}
