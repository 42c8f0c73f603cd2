//! Building images from a Containerfile.
//!
//! | module | what |
//! |---|---|
//! | `source`, `words`, `pattern`, `instruction`, `file` | reading: text to [`BuildFile`] (pure) |
//! | `plan`, `variables`, `ignore`, `state` | stages, `.dockerignore`, configuration (pure) |
//! | `select`, `place` | finding and hashing files, writing them into a root file system |
//! | `container`, `mounts`, `agent` | a RUN step's config.json, its mounts, running it |
//! | `work` | the executor: stages side by side, cache, overlay, layer; start here |
//! | `interrupt` | ending a build, sweeping up after killed ones |
//!
//! Every mistake of a build file has its line and column. Invariants: a step's key holds all that
//! decides its result, so that the cache never makes an image wrong; with SOURCE_DATE_EPOCH two
//! builds of the same files give one digest where the commands do.
//! Not here: how layers are written and kept (crate `image`), showing progress (crate `cli`).

#![cfg_attr(all(test, fuzzing), no_main)]

mod agent;
mod container;
mod error;
mod file;
mod ignore;
mod instruction;
mod interrupt;
mod mounts;
mod near;
mod options;
mod pattern;
mod place;
mod plan;
mod select;
mod source;
mod state;
mod variables;
mod words;
mod work;

pub use error::{Error, Place, Result};
pub use file::{BuildFile, Stage, parse};
pub use ignore::Ignore;
pub use instruction::{Command, Copy, Health, Instruction, Mount, MountKind, Network, Run, Step};
pub use interrupt::{Interrupt, sweep};
pub use options::{Event, Fetch, Options, Report, Version};
pub use source::HereDocument;
pub use state::change;
pub use work::{build, images};

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
