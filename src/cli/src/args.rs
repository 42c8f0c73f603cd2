//! The command line, as types. What a verb does is in `verbs`.
//!
//! Invariant: every verb's help ends with two examples, and a test parses each of them.

mod build;
mod images;
mod pods;
mod registry;
mod run;
mod store;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use build::{
    BuildArgs, BuildNetwork, CommitArgs, DiffArgs, ExportArgs, HistoryArgs, LayerForm,
};
pub use images::{ImagesArgs, ImportArgs, InspectArgs, LoadArgs, RmiArgs};
pub use pods::{
    ApplyArgs, DeleteArgs, DescribeArgs, DownArgs, ExecArgs, GetArgs, GetKind, LogsArgs, Output,
    PsArgs, ScaleArgs, ServeArgs, StatusArgs, UpArgs,
};
pub use registry::{
    CopyArgs, LoginArgs, LogoutArgs, ProgressForm, PullArgs, PushArgs, RegistryArgs, RemoteArgs,
};
pub use run::{PullWhen, RunArgs};
pub use store::{
    DfArgs, ImageArgs, ImageVerb, LimitArgs, MountArgs, PruneArgs, SaveArgs, SaveForm, SystemArgs,
    SystemVerb, TagArgs,
};

/// OCI images into supervised pods, with nothing underneath but the kernel.
#[derive(Debug, Parser)]
#[command(
    name = "podvisor",
    version,
    after_help = "Examples:\n  podvisor run --rm -it busybox:latest sh\n  podvisor up -f pods.yaml"
)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalArgs {
    /// Images, volumes and the database [env: PODVISOR_ROOT] [default: /var/lib/podvisor]
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Sockets and what does not outlive a boot [env: PODVISOR_STATE] [default: /run/podvisor]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Logs of containers [env: PODVISOR_LOG_DIR] [default: /var/log/pods]
    #[arg(long, global = true, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// How errors are told
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// When to use colour; NO_COLOR is honoured
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Addresses of pods [env: PODVISOR_SUBNET] [default: 10.77.0.0/16]
    #[arg(long, global = true, value_name = "CIDR", hide = true)]
    pub subnet: Option<String>,
    /// Bridge of pods [env: PODVISOR_BRIDGE] [default: podvisor0]
    #[arg(long, global = true, value_name = "NAME", hide = true)]
    pub bridge: Option<String>,
    /// Cgroup above all pods [env: PODVISOR_CGROUP_PARENT] [default: podvisor]
    #[arg(long, global = true, value_name = "NAME", hide = true)]
    pub cgroup_parent: Option<String>,
}

/// Form of error messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Two lines for a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a command in a pod of one
    Run(Box<RunArgs>),
    /// Start the pods of a manifest and watch over them until Ctrl-C
    Up(UpArgs),
    /// Stop every pod and the supervisor, and leave nothing behind
    Down(DownArgs),
    /// Create or change the pods of a manifest under the running supervisor
    Apply(ApplyArgs),
    /// List pods, deployments or events
    Get(GetArgs),
    /// Tell all about a pod or a deployment
    Describe(DescribeArgs),
    /// Print a container's log
    Logs(LogsArgs),
    /// Run a command inside a running container
    Exec(ExecArgs),
    /// Delete pods and deployments
    Delete(DeleteArgs),
    /// Change the number of a deployment's pods
    Scale(ScaleArgs),
    /// Show all pods and containers on one screen
    Status(StatusArgs),
    /// List containers
    Ps(PsArgs),
    /// Bring an image from a registry
    Pull(PullArgs),
    /// Bring an image of the store to a registry
    Push(PushArgs),
    /// Copy an image between registries and layout folders
    Copy(CopyArgs),
    /// Keep name and password for a registry
    Login(LoginArgs),
    /// Forget name and password for a registry
    Logout(LogoutArgs),
    /// Build an image from a Containerfile
    Build(Box<BuildArgs>),
    /// Load images from an archive or a layout folder
    Load(LoadArgs),
    /// Make an image of a root file system's tar
    Import(ImportArgs),
    /// Write images to an archive or a folder
    Save(SaveArgs),
    /// Give an image further names
    Tag(TagArgs),
    /// All about images: ls, inspect, load, save, tag, rm, prune, mount
    Image(ImageArgs),
    /// What images and containers take up, and its removal
    System(SystemArgs),
    /// List images
    Images(ImagesArgs),
    /// Make an image of a container's changes
    Commit(CommitArgs),
    /// Show how an image was made
    History(HistoryArgs),
    /// List the files that a container, or each layer of an image, changes
    Diff(DiffArgs),
    /// Write a container's root file system as a tar
    Export(ExportArgs),
    /// Remove images
    Rmi(RmiArgs),
    /// Show an image as JSON
    Inspect(InspectArgs),
    /// Supervise in the foreground until told to end; pods go on
    Serve(ServeArgs),
    /// Be PID 1 of this machine
    Init(InitArgs),
    /// Show the version of this program, and of the supervisor that runs
    #[command(after_help = "Examples:\n  podvisor version\n  podvisor --state /run/other version")]
    Version,
    /// Serve the demo's pages
    #[command(hide = true)]
    DemoWeb(DemoWebArgs),
    /// Ask the demo's server again and again
    #[command(hide = true)]
    DemoClient(DemoClientArgs),
}

/// `podvisor init`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor init\n  podvisor init -- up -f /etc/podvisor/pods.yaml"
)]
pub struct InitArgs {
    /// Arguments of the supervisor's podvisor
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub arguments: Vec<String>,
}

/// `podvisor demo-web`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor demo-web\n  podvisor demo-web --port 8081")]
pub struct DemoWebArgs {
    /// TCP port on all addresses
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Name to answer with; the host's by default
    #[arg(long)]
    pub name: Option<String>,
}

/// `podvisor demo-client`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor demo-client\n  podvisor demo-client --url http://10.77.0.2:8080/"
)]
pub struct DemoClientArgs {
    /// What to ask for
    #[arg(long, default_value = "http://127.0.0.1:8080/")]
    pub url: String,
    /// Time between two requests, milliseconds
    #[arg(long, default_value_t = 2000)]
    pub interval_ms: u64,
    /// So many requests, then the end; 0 goes on
    #[arg(long, default_value_t = 0)]
    pub count: u64,
}
