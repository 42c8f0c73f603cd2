//! What can be wrong with a profile.

use std::io;
use std::path::PathBuf;

/// A profile that cannot be honoured, or a cache that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field holds what no filter can express.
    #[error("linux.seccomp.{field}: {problem}")]
    Field {
        /// Below `linux.seccomp`.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// The kernel takes 4096 instructions.
    #[error("linux.seccomp: the filter needs {instructions} instructions, the kernel takes 4096")]
    TooLong {
        /// How many it would be.
        instructions: usize,
    },
    /// The machine's processor family has no table of calls here.
    #[error("linux.seccomp: no system call table for this machine ({machine})")]
    Machine {
        /// The machine, as the compiler names it.
        machine: &'static str,
    },
    /// The folder of compiled filters could not be written or read.
    #[error("seccomp cache {path}")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl Error {
    /// What to try next, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::TooLong { .. } => {
                Some("merge argument conditions, or list fewer architectures".to_owned())
            }
            Error::Machine { .. } => Some("leave linux.seccomp out on this machine".to_owned()),
            Error::Field { .. } | Error::Cache { .. } => None,
        }
    }
}
