//! What a build is asked for, and what it tells while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::Compression;
use image::reference::Reference;

use crate::ignore::Ignore;
use crate::instruction::Network;

/// What a server says of a file's version, as it says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// Writes what is at a URL to a new file, with the time that its server tells, and says its
/// version; `None`, and no file: it still is of the version that is given.
pub type Fetch = fn(
    &str,
    &Path,
    Option<&Version>,
) -> Result<Option<Version>, Box<dyn std::error::Error + Send + Sync>>;

/// Everything that decides a build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the build file, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The folder of the context, absolute; none has no files.
    pub context: Option<PathBuf>,
    /// What of it is not seen.
    pub ignore: Ignore,
    /// Stage to build; the last one when it is none.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--secret`: id and file.
    pub secrets: BTreeMap<String, PathBuf>,
    /// `--ssh`: id and the socket of an agent.
    pub agents: BTreeMap<String, PathBuf>,
    /// Variables for Git: proxies, search path, where known hosts are.
    pub git: Vec<(String, String)>,
    /// `--label`.
    pub labels: Vec<(String, String)>,
    /// Whether no step is taken from the cache.
    pub no_cache: bool,
    /// `--platform`, `linux/amd64`.
    pub platform: Option<String>,
    /// The network of RUN steps that do not say theirs.
    pub network: Network,
    /// Names of the image.
    pub names: Vec<Reference>,
    /// Of the layers.
    pub compression: Compression,
    /// `SOURCE_DATE_EPOCH`: the time of everything that is made, seconds since 1970.
    pub epoch: Option<i64>,
    /// A time, seconds since 1970, as RFC 3339 text.
    pub stamp: fn(i64) -> String,
    /// Fetches a URL (http, https) into a file.
    pub fetch: Fetch,
    /// Path of podvisor-oci.
    pub runtime: PathBuf,
    /// Folder of the state of steps that run; see [`crate::sweep`].
    pub state: PathBuf,
    /// What the names of the steps' cgroups begin with, absolute: a cgroup above them would stay.
    pub cgroup: String,
}

/// A step of a build, as told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A step begins.
    Started {
        /// Its number, from 1.
        number: usize,
        /// Its stage, where there are several.
        stage: Option<String>,
        /// As in `[builder 2/5] RUN make`.
        label: String,
    },
    /// A line that its command has written.
    Output {
        /// The step's number.
        number: usize,
        /// Seconds since it began.
        seconds: f64,
        /// Without its end.
        line: String,
    },
    /// Its result was in the cache.
    Cached {
        /// The step's number.
        number: usize,
    },
    /// It is done.
    Done {
        /// The step's number.
        number: usize,
        /// How long it took.
        seconds: f64,
    },
    /// It failed; why is the build's error.
    Failed {
        /// The step's number.
        number: usize,
    },
    /// It was given up, since another one failed or a signal came.
    Cancelled {
        /// The step's number.
        number: usize,
    },
    /// Something that the author of the build file should know.
    Warning {
        /// What.
        text: String,
    },
}

/// Takes what a build tells, in the caller's thread.
pub trait Report {
    /// Called for each event.
    fn on(&mut self, event: &Event);

    /// Called every now and then while nothing is told, for what shows the time.
    fn tick(&mut self) {}
}

impl<F: FnMut(&Event)> Report for F {
    fn on(&mut self, event: &Event) {
        self(event);
    }
}
