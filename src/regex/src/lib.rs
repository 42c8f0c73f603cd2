//! The names of `regex` that oci-spec uses, by its authors' small engine: the same syntax without
//! Unicode's classes, so that `\d` is 0 to 9, as in a list of CPUs.

pub use regex_lite::Regex;
