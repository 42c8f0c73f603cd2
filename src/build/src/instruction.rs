//! The instructions of a build file, as data. Reading them is `instruction/read.rs` and
//! `instruction/flags.rs`; what they do is `plan` and the executor. Pure.

mod flags;
mod read;

use crate::error::Place;
use crate::source::HereDocument;
pub(crate) use read::instruction;

/// A command as a list of words, or a text for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `["a", "b"]`.
    Exec(Vec<String>),
    /// Anything else.
    Shell(String),
}

/// A mount of a RUN step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its kind, with what only that kind has.
    pub kind: MountKind,
    /// Where it is seen; not yet expanded.
    pub target: Option<String>,
    /// Whether it may be written to.
    pub writable: bool,
    /// Permission bits of what is made for it.
    pub mode: Option<u32>,
    /// Owner of what is made for it.
    pub uid: u32,
    /// Group of what is made for it.
    pub gid: u32,
}

/// Kinds of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A folder that outlives the build.
    Cache {
        /// Its name; the target when it has none.
        id: Option<String>,
        /// Whether only one step at a time may use it.
        locked: bool,
    },
    /// A secret of the command line.
    Secret {
        /// Its name.
        id: Option<String>,
        /// The variable to give it in, besides or instead.
        env: Option<String>,
        /// Whether the step fails without it.
        required: bool,
    },
    /// The caller's SSH agent.
    Ssh {
        /// Its name.
        id: String,
        /// Whether the step fails without it.
        required: bool,
    },
    /// A file or folder of the context, a stage or an image.
    Bind {
        /// Stage or image; the context when it has none.
        from: Option<String>,
        /// Path within it.
        source: String,
    },
    /// Memory.
    Tmpfs {
        /// Most bytes.
        size: Option<u64>,
    },
}

/// The network of a RUN step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// None but the loopback.
    None,
    /// The host's.
    Host,
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is run.
    pub command: Command,
    /// Its here-documents.
    pub documents: Vec<HereDocument>,
    /// `--mount`.
    pub mounts: Vec<Mount>,
    /// `--network`; the build's when it has none.
    pub network: Option<Network>,
}

/// COPY, or ADD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    /// Whether it is ADD: archives are unpacked, URLs fetched.
    pub add: bool,
    /// Stage or image; the context when it has none.
    pub from: Option<String>,
    /// Owner, as written.
    pub chown: Option<String>,
    /// Permission bits, as written.
    pub chmod: Option<String>,
    /// Digest that a fetched file must have.
    pub checksum: Option<String>,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// Whether the sources' folders are made below the target.
    pub parents: bool,
    /// Patterns or URLs.
    pub sources: Vec<String>,
    /// Files given in the build file.
    pub documents: Vec<HereDocument>,
    /// The target.
    pub target: String,
}

/// HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// None, also when the base has one.
    Off,
    /// This one.
    Check {
        /// The command.
        command: Command,
        /// Nanoseconds, where said.
        interval: Option<u64>,
        /// Nanoseconds, where said.
        timeout: Option<u64>,
        /// Nanoseconds, where said.
        start_period: Option<u64>,
        /// Nanoseconds, where said.
        start_interval: Option<u64>,
        /// Failures in a row, where said.
        retries: Option<u64>,
    },
}

/// What an instruction says. Texts are as written: variables are expanded when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// FROM: image or stage, platform, name.
    From {
        /// An image, a stage, or `scratch`.
        base: String,
        /// `--platform`.
        platform: Option<String>,
        /// `AS`.
        name: Option<String>,
    },
    /// RUN.
    Run(Run),
    /// COPY or ADD.
    Copy(Copy),
    /// ARG: names with their defaults.
    Arg(Vec<(String, Option<String>)>),
    /// ENV: names with their values.
    Env(Vec<(String, String)>),
    /// LABEL: names with their values.
    Label(Vec<(String, String)>),
    /// WORKDIR.
    Workdir(String),
    /// USER.
    User(String),
    /// EXPOSE.
    Expose(Vec<String>),
    /// VOLUME.
    Volume(Vec<String>),
    /// STOPSIGNAL.
    StopSignal(String),
    /// HEALTHCHECK.
    Healthcheck(Health),
    /// SHELL.
    Shell(Vec<String>),
    /// ENTRYPOINT.
    Entrypoint(Command),
    /// CMD.
    Cmd(Command),
    /// MAINTAINER.
    Maintainer(String),
    /// ONBUILD: an instruction for builds upon this image.
    OnBuild(String),
}

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its keyword's place.
    pub place: Place,
    /// As written, continued lines joined.
    pub text: String,
    /// What it says.
    pub instruction: Instruction,
}
