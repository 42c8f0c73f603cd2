//! Building images from a Containerfile.
//!
//! [`parse`] reads the file (`source` lines, `words` and `pattern` texts, `instruction` what each
//! says, `file` the whole). All of it is pure, and every mistake has its line and column.
//! Not here: keeping what is made (crate `image`) and showing how it goes (crate `cli`).

mod error;
mod file;
mod instruction;
mod near;
mod pattern;
mod source;
mod words;

pub use error::{Error, Place, Result};
pub use file::{BuildFile, Stage, parse};
pub use instruction::{Command, Copy, Health, Instruction, Mount, MountKind, Network, Run, Step};
pub use source::HereDocument;

#[cfg(test)]
mod tests;
