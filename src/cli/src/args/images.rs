//! Arguments of the image verbs.

use std::path::{Path, PathBuf};

use clap::Args;

/// `podvisor load`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor load web.tar\n  podvisor load --name web:1 - < web.oci.tar.gz"
)]
pub struct LoadArgs {
    /// OCI layout folder, oci-archive or docker-archive (also gzip or zstd); - for stdin
    #[arg(value_name = "PATH", required_unless_present = "input")]
    source: Option<PathBuf>,
    /// The same, as docker and podman have it
    #[arg(short, long, value_name = "PATH", conflicts_with = "source")]
    input: Option<PathBuf>,
    /// Name for an image that brings none
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Print names only
    #[arg(short, long)]
    pub quiet: bool,
}

impl LoadArgs {
    /// What to load, `-` for standard input.
    pub fn path(&self) -> &Path {
        // The command line has one of the two.
        self.source.as_deref().or(self.input.as_deref()).unwrap_or(Path::new("-"))
    }
}

/// `podvisor import`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor import rootfs.tar busybox:latest\n  podvisor import rootfs.tar web:1 --entrypoint /bin/web --env PORT=80"
)]
pub struct ImportArgs {
    /// Tar of a root file system (also gzip or zstd); - for stdin
    #[arg(value_name = "TAR")]
    pub tar: PathBuf,
    /// Name of the image
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Program of the image: a word, or a JSON array
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Default arguments: words, or a JSON array
    #[arg(long, value_name = "ARGS")]
    pub cmd: Option<String>,
    /// Environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// User, as in uid, name, uid:gid
    #[arg(short, long)]
    pub user: Option<String>,
    /// Print the name only
    #[arg(short, long)]
    pub quiet: bool,
}

/// `podvisor images`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor images\n  podvisor images -q")]
pub struct ImagesArgs {
    /// Print names only
    #[arg(short, long)]
    pub quiet: bool,
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t = super::Output::Table)]
    pub output: super::Output,
}

/// `podvisor rmi`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor rmi web:1\n  podvisor rmi --force web:1 web:2")]
pub struct RmiArgs {
    /// Names or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Also when containers use it
    #[arg(short, long)]
    pub force: bool,
}

/// `podvisor inspect`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor inspect busybox:latest\n  podvisor inspect web:1 web:2"
)]
pub struct InspectArgs {
    /// Names or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}
