//! Arguments of the verbs that speak to registries.

use clap::{Args, ValueEnum};

/// Options of everything that speaks to a registry.
#[derive(Debug, Clone, Default, Args)]
pub struct RegistryArgs {
    /// Name and password instead of those that `login` keeps
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub creds: Option<String>,
    /// File of credentials [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<std::path::PathBuf>,
    /// `false` accepts plain HTTP and unknown certificates
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub tls_verify: Option<bool>,
    /// Folder with ca.crt, client.cert, client.key of this registry
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<std::path::PathBuf>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressForm {
    /// Bars on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// Lines.
    Plain,
    /// One JSON object a step, on stderr.
    Json,
    /// Nothing.
    None,
}

/// `podvisor pull`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor pull registry.example/team/web:1\n  podvisor pull --platform linux/arm64 web@sha256:9b2a28eb47540823042a2ba401386845089bb7b62a9637d55816132c4c3c36eb"
)]
pub struct PullArgs {
    /// Names, with tag or digest
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Whose image to take where there are several, as in linux/arm64/v8
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// Print names only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressForm::Auto)]
    pub progress: ProgressForm,
    /// How to speak to the registry.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
