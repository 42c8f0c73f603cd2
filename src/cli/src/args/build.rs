//! Arguments of `build`, and of what makes images and archives of containers.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ProgressForm, RegistryArgs};

/// `podvisor build`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor build -t web:1 .\n  podvisor build -f deploy/Containerfile --target tests --build-arg TAG=2 src"
)]
pub struct BuildArgs {
    /// Folder of the files to copy, or - for a build file (or a tar of it all) on stdin
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub context: PathBuf,
    /// Name of the image
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// Build file [default: Containerfile or Dockerfile of the context]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Stage to build instead of the last one
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Value of an ARG; the environment's without =VALUE
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// A secret for RUN --mount=type=secret
    #[arg(long, value_name = "id=ID[,src=FILE|,env=NAME]")]
    pub secret: Vec<String>,
    /// An SSH agent for RUN --mount=type=ssh [default: $SSH_AUTH_SOCK]
    #[arg(long, value_name = "default|ID[=SOCKET]")]
    pub ssh: Vec<String>,
    /// Label of the image
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Do every step again
    #[arg(long)]
    pub no_cache: bool,
    /// Fetch base images also when they are there
    #[arg(long)]
    pub pull: bool,
    /// Drop what the cache has not used for a day, when the image is built
    #[arg(long)]
    pub prune: bool,
    /// Platform, as in linux/amd64
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// Network of RUN steps
    #[arg(long, value_enum, default_value_t = BuildNetwork::None)]
    pub network: BuildNetwork,
    /// Compression of layers
    #[arg(long, value_enum, default_value_t = LayerForm::Gzip)]
    pub compression: LayerForm,
    /// File that gets the image's digest
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// Write the image to an archive, too
    #[arg(short, long, value_name = "type=oci|docker,dest=FILE")]
    pub output: Option<String>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t = ProgressForm::Auto)]
    pub progress: ProgressForm,
    /// Print the digest only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to speak to registries
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// What RUN steps may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BuildNetwork {
    /// Nothing
    None,
    /// What the host does
    Host,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LayerForm {
    /// Every engine reads it
    Gzip,
    /// Smaller and faster; Docker 23, containerd 1.5 and newer
    Zstd,
    /// Not at all
    None,
}

/// `podvisor commit`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor commit web web:patched\n  podvisor commit --message tuned web/nginx web:2"
)]
pub struct CommitArgs {
    /// POD, POD/CONTAINER, or a container's id in the store
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Name of the new image
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Instruction on the image's configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, …
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Word for the image's history
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Who made it
    #[arg(short, long, value_name = "NAME")]
    pub author: Option<String>,
    /// Hold the container still meanwhile
    #[arg(
        short, long, value_name = "BOOL", num_args = 0..=1, default_value_t = true,
        default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pub pause: bool,
    /// Print the digest only
    #[arg(short, long)]
    pub quiet: bool,
}

/// `podvisor history`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor history web:1\n  podvisor history --no-trunc -o json web:1"
)]
pub struct HistoryArgs {
    /// Name or digest
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Form
    #[arg(short, long, value_enum, default_value_t = super::Output::Table)]
    pub output: super::Output,
    /// Show commands whole
    #[arg(long)]
    pub no_trunc: bool,
}

/// `podvisor diff`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor diff web\n  podvisor diff web:1")]
pub struct DiffArgs {
    /// POD, POD/CONTAINER, a container's id, or an image
    #[arg(value_name = "CONTAINER|IMAGE")]
    pub what: String,
    /// Form
    #[arg(short, long, value_enum, default_value_t = super::Output::Table)]
    pub output: super::Output,
}

/// `podvisor export`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor export -o web.tar web\n  podvisor export web/nginx -o nginx.tar"
)]
pub struct ExportArgs {
    /// POD, POD/CONTAINER, or a container's id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Where to, standard output by default
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
