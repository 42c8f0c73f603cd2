//! Arguments of the verbs for pods and for the supervisor.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// `podvisor up`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor up -f pods.yaml\n  podvisor up -d -f pods.yaml")]
pub struct UpArgs {
    /// Manifest, YAML or JSON; - for stdin
    #[arg(short, long, required = true, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Hand over to a supervisor in the background
    #[arg(short, long, conflicts_with = "until_done")]
    pub detach: bool,
    /// End when every pod has ended; the exit code is 0 when all succeeded
    #[arg(long)]
    pub until_done: bool,
    /// One JSON line a pod, when it has ended
    #[arg(long)]
    pub json: bool,
}

/// `podvisor down`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor down\n  podvisor down --keep --grace-period 3")]
pub struct DownArgs {
    /// Stop only: pods and deployments come back at the next start of a supervisor
    #[arg(long)]
    pub keep: bool,
    /// Time for an orderly end in place of each pod's own, seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub grace_period: Option<u64>,
}

/// `podvisor serve`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor serve\n  podvisor --root /srv/podvisor --state /run/mine serve"
)]
pub struct ServeArgs {
    /// Started by another podvisor: an own session, one line on stdout when it is ready
    #[arg(long, hide = true)]
    pub background: bool,
}

/// `podvisor apply`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor apply -f pods.yaml\n  podvisor apply -f - < pods.json"
)]
pub struct ApplyArgs {
    /// Manifest, YAML or JSON; - for stdin
    #[arg(short, long, required = true, value_name = "FILE")]
    pub file: Vec<PathBuf>,
}

/// What to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GetKind {
    /// Pods
    #[value(alias = "pod", alias = "po")]
    Pods,
    /// Deployments
    #[value(alias = "deployment", alias = "deploy")]
    Deployments,
    /// Secrets
    #[value(alias = "secret")]
    Secrets,
    /// Events
    #[value(alias = "event", alias = "ev")]
    Events,
    /// Pods and deployments
    All,
}

/// Form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns for a person
    Table,
    /// More columns
    Wide,
    /// One array
    Json,
    /// Documents
    Yaml,
    /// kind/name, one a line
    Name,
}

/// `podvisor get`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor get pods -o wide\n  podvisor get all -l app=web -w")]
pub struct GetArgs {
    /// pods, deployments, events or all
    #[arg(value_enum)]
    pub kind: GetKind,
    /// Only this one
    pub name: Option<String>,
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Go on as things change
    #[arg(short, long)]
    pub watch: bool,
    /// Label selector, as in app=web,tier!=db
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// One namespace only
    #[arg(short, long, conflicts_with = "all_namespaces")]
    pub namespace: Option<String>,
    /// Every namespace (the default)
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// `podvisor describe`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor describe pod web-7k2fd\n  podvisor describe deployment web"
)]
pub struct DescribeArgs {
    /// Kind and name, or kind/name, or a pod's name
    #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
    pub target: Vec<String>,
    /// Namespace
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// `podvisor logs`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor logs -f web-7k2fd\n  podvisor logs --previous --tail 20 pair -c client"
)]
pub struct LogsArgs {
    /// POD or POD/CONTAINER
    #[arg(value_name = "POD[/CONTAINER]")]
    pub target: String,
    /// Container, when the pod has several
    #[arg(short, long)]
    pub container: Option<String>,
    /// Go on as the log grows
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many lines; -1 is all
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    pub tail: Option<i64>,
    /// Only what is younger, as in 90s, 10m, 1h30m
    #[arg(long, value_name = "AGE")]
    pub since: Option<String>,
    /// Of the attempt before
    #[arg(short, long)]
    pub previous: bool,
    /// Each line with its time
    #[arg(long)]
    pub timestamps: bool,
    /// Namespace
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// `podvisor exec`
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: the command's; 125 podvisor's own failure, 126 not executable, 127 not found\n\nExamples:\n  podvisor exec -it web-7k2fd -- sh\n  podvisor exec pair/client -- cat /etc/hosts"
)]
pub struct ExecArgs {
    /// Connect standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Container, when the pod has several
    #[arg(short, long)]
    pub container: Option<String>,
    /// Add to the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Namespace
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// POD or POD/CONTAINER
    #[arg(value_name = "POD[/CONTAINER]")]
    pub target: String,
    /// The command
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub command: Vec<String>,
}

/// `podvisor delete`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor delete pod web-7k2fd\n  podvisor delete -f pods.yaml --grace-period 0"
)]
pub struct DeleteArgs {
    /// Kind and names, or kind/name
    #[arg(value_name = "KIND NAME", required_unless_present = "file")]
    pub target: Vec<String>,
    /// What the manifest names
    #[arg(short, long, value_name = "FILE", conflicts_with = "target")]
    pub file: Vec<PathBuf>,
    /// Time for an orderly end in place of the pod's own, seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub grace_period: Option<u64>,
    /// Return only when they are gone; --wait=false returns at once
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    pub wait: bool,
    /// The same as --wait=false
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Namespace
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// `podvisor scale`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor scale deployment/web --replicas 5\n  podvisor scale web --replicas 0"
)]
pub struct ScaleArgs {
    /// deployment/NAME or NAME
    #[arg(value_name = "DEPLOYMENT")]
    pub target: String,
    /// Pods wanted
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub replicas: u32,
    /// Namespace
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// `podvisor status`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor status\n  podvisor status -w")]
pub struct StatusArgs {
    /// Live
    #[arg(short, long)]
    pub watch: bool,
}

/// `podvisor ps`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  podvisor ps\n  podvisor ps -a -o json")]
pub struct PsArgs {
    /// Also those that have ended
    #[arg(short, long)]
    pub all: bool,
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Print pod/container only
    #[arg(short, long)]
    pub quiet: bool,
}
