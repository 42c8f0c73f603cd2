//! One value for one interface file, and the plan of all of them.

use std::borrow::Cow;

/// What to write where, and on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Which controller must be there.
    pub controller: &'static str,
    /// The interface file's name.
    pub file: Cow<'static, str>,
    /// What to write.
    pub value: String,
    /// The field of config.json this comes from, in full.
    pub field: &'static str,
    /// What to do when the kernel lacks the file.
    pub absent: Absent,
}

/// What a missing interface file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Absent {
    /// An error: the limit could not be kept.
    Refuse,
    /// Nothing is lost: the value says "no limit" or "none to have".
    Skip,
    /// The same in another file's words, too: two kinds of scheduling know the limit, and one of
    /// them must have taken it.
    Either(&'static str, String),
}

impl Setting {
    /// A setting whose file must be there.
    pub(super) fn new(
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
        field: &'static str,
    ) -> Setting {
        let (file, value) = (file.into(), value.to_string());
        Setting { controller, file, value, field, absent: Absent::Refuse }
    }

    /// The same, with another answer to a missing file.
    pub(super) fn or(mut self, absent: Absent) -> Setting {
        self.absent = absent;
        self
    }
}
