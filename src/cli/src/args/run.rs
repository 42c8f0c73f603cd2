//! Arguments of `podvisor run`.

use clap::{Args, ValueEnum};

use super::RegistryArgs;

/// When `run` brings its image from a registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PullWhen {
    /// When the store does not have it.
    #[default]
    Missing,
    /// Each time; what has not changed does not come again.
    Always,
    /// Not at all.
    Never,
}

/// `podvisor run`
#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Exit codes: the command's; 125 podvisor's own failure, 126 not executable, 127 not found, 128+n signal n\n\nExamples:\n  podvisor run --rm -it busybox:latest sh\n  podvisor run -d --name web -p 8080:80 --memory 128m nginx:latest"
)]
pub struct RunArgs {
    /// Connect standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Delete the pod when the command has ended
    #[arg(long)]
    pub rm: bool,
    /// Leave the pod to a supervisor in the background and print its name
    #[arg(short, long, conflicts_with_all = ["interactive", "rm"])]
    pub detach: bool,
    /// Name of the pod
    #[arg(long)]
    pub name: Option<String>,
    /// Namespace of the pod
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// Environment; the value of this shell's when only a name is given
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Bind a folder or file of the host; ro makes it read-only
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    pub volume: Vec<String>,
    /// Limit of memory, as in 512m, 2g, 64Mi
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Limit of processors, as in 0.5
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub cpus: Option<String>,
    /// User, as in uid, name, uid:gid
    #[arg(short, long)]
    pub user: Option<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Program in place of the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Make the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// Reap orphans: the command is not process 1
    #[arg(long)]
    pub init: bool,
    /// Publish a port
    #[arg(short, long, value_name = "[IP:]HOST:CONTAINER[/udp]")]
    pub publish: Vec<String>,
    /// Name within the pod's host name
    #[arg(long)]
    pub hostname: Option<String>,
    /// Add a label
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Time for an orderly end, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, allow_negative_numbers = true)]
    pub grace_period: u64,
    /// When to bring the image from its registry
    #[arg(long, value_enum, default_value_t = PullWhen::Missing)]
    pub pull: PullWhen,
    /// How to speak to the registry.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The command, in place of the image's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
}
