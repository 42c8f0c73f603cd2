//! What can go wrong with a build: first with its file, then with its steps.

use std::io;
use std::path::Path;

/// A place in a build file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A build that cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The build file has a mistake.
    #[error("{file}:{}:{}: {problem}", place.line, place.column)]
    File {
        /// Name of the build file.
        file: String,
        /// Where.
        place: Place,
        /// What is wrong.
        problem: String,
        /// What to try.
        hint: Option<String>,
    },
    /// The command of a RUN step failed.
    #[error("{file}:{}: {step}: the command ended with exit code {code}", place.line)]
    Command {
        /// Name of the build file.
        file: String,
        /// Where.
        place: Place,
        /// The instruction.
        step: String,
        /// The command's.
        code: i32,
    },
    /// A step failed otherwise.
    #[error("{file}:{}: {step}", place.line)]
    Step {
        /// Name of the build file.
        file: String,
        /// Where.
        place: Place,
        /// The instruction.
        step: String,
        /// Why.
        source: Box<Error>,
    },
    /// Words of a step that ask for what is not there, or not to be had.
    #[error("{problem}")]
    Refused {
        /// What is wrong.
        problem: String,
        /// What to try.
        hint: Option<String>,
    },
    /// A file of the web that did not come.
    #[error("fetch {url}")]
    Fetch {
        /// Which.
        url: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A system call.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: String,
        /// On what.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// Another stage has failed.
    #[error("another stage has failed")]
    Cancelled,
    /// A signal has ended the build.
    #[error("the build was interrupted by signal {signal}")]
    Interrupted {
        /// Its number.
        signal: i32,
    },
}

impl Error {
    /// Something that cannot be done as asked.
    pub(crate) fn refused(problem: impl Into<String>, hint: &str) -> Error {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        Error::Refused { problem: problem.into(), hint }
    }

    /// What to try next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::File { hint, .. } | Error::Refused { hint, .. } => hint.clone(),
            Error::Step { source, .. } => source.hint(),
            Error::Image(error) => error.hint(),
            Error::Command { code: 127, .. } => {
                Some("the image has no such program, or no shell to look for it".into())
            }
            Error::Command { .. } => Some(
                "look at the step's output above; RUN has no network unless `--network host` is \
                 given"
                    .into(),
            ),
            Error::Interrupted { .. } => Some("the next build goes on from its cache".into()),
            Error::Fetch { .. } | Error::Io { .. } | Error::Cancelled => None,
        }
    }

    /// The number of the system error beneath, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Image(error) => error.errno(),
            Error::Io { source, .. } => source.raw_os_error(),
            Error::Step { source, .. } => source.errno(),
            _ => None,
        }
    }
}

/// Attaches what was done to which path.
pub(crate) trait At<T> {
    fn at(self, action: &str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            action: action.into(),
            path: path.display().to_string(),
            source,
        })
    }
}
