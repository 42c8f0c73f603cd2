//! Arguments of the verbs that speak to registries.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of everything that speaks to a registry.
#[derive(Debug, Clone, Default, Args)]
pub struct RegistryArgs {
    /// Name and password instead of those that `login` keeps
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub creds: Option<String>,
    /// What else says how to speak to it.
    #[command(flatten)]
    pub speak: SpeakArgs,
}

/// How a registry is spoken to, but for credentials of the command line.
#[derive(Debug, Clone, Default, Args)]
pub struct SpeakArgs {
    /// File of credentials [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// `false` accepts plain HTTP and unknown certificates
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls_verify: Option<bool>,
    /// Folder with ca.crt, client.cert, client.key of this registry
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressForm {
    /// As tty on a terminal, plain elsewhere.
    #[default]
    Auto,
    /// Lines that are drawn over: a bar a layer, a clock a step.
    Tty,
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

/// `podvisor push`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor push registry.example/team/web:1\n  podvisor push web:1 registry.example/team/web:1"
)]
pub struct PushArgs {
    /// Name or digest of an image of the store
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Where to; where the name says, by default
    #[arg(value_name = "NAME")]
    pub to: Option<String>,
    /// Print the name only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressForm::Auto)]
    pub progress: ProgressForm,
    /// How to speak to the registry.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `podvisor copy`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor copy docker://registry.example/web:1 docker://other.example/web:1\n  podvisor copy --all oci:folder:1 registry.example/web:1"
)]
pub struct CopyArgs {
    /// NAME or docker://NAME of a registry, or oci:FOLDER[:NAME]
    #[arg(value_name = "FROM")]
    pub from: String,
    /// The same, for the other end
    #[arg(value_name = "TO")]
    pub to: String,
    /// The images of all platforms
    #[arg(short, long, conflicts_with = "platform")]
    pub all: bool,
    /// Whose image to take where there are several, as in linux/arm64/v8
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// Print the digest only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressForm::Auto)]
    pub progress: ProgressForm,
    /// How to speak to both ends.
    #[command(flatten)]
    pub both: SpeakArgs,
    /// How to speak to the one that is read from.
    #[command(flatten)]
    pub src: SourceArgs,
    /// How to speak to the one that is written to.
    #[command(flatten)]
    pub dest: DestinationArgs,
}

/// What `copy` has for the end that it reads from; the names are skopeo's.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceArgs {
    /// Name and password where it is read from
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub src_creds: Option<String>,
    /// File of credentials for it
    #[arg(long, value_name = "FILE")]
    pub src_authfile: Option<PathBuf>,
    /// `false` accepts plain HTTP and unknown certificates there
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub src_tls_verify: Option<bool>,
    /// Folder with ca.crt, client.cert, client.key of that registry
    #[arg(long, value_name = "DIR")]
    pub src_cert_dir: Option<PathBuf>,
}

/// The same for the end that it writes to.
#[derive(Debug, Clone, Default, Args)]
pub struct DestinationArgs {
    /// Name and password where it is written to
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub dest_creds: Option<String>,
    /// File of credentials for it
    #[arg(long, value_name = "FILE")]
    pub dest_authfile: Option<PathBuf>,
    /// `false` accepts plain HTTP and unknown certificates there
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dest_tls_verify: Option<bool>,
    /// Folder with ca.crt, client.cert, client.key of that registry
    #[arg(long, value_name = "DIR")]
    pub dest_cert_dir: Option<PathBuf>,
}

impl CopyArgs {
    /// How to speak to the two ends, first the one that is read from: what is said of one end wins.
    #[must_use]
    pub fn ends(&self) -> [RegistryArgs; 2] {
        let (both, src, dest) = (&self.both, &self.src, &self.dest);
        let end = |creds: &Option<String>, own: SpeakArgs| RegistryArgs {
            creds: creds.clone(),
            speak: SpeakArgs {
                authfile: own.authfile.or_else(|| both.authfile.clone()),
                tls_verify: own.tls_verify.or(both.tls_verify),
                cert_dir: own.cert_dir.or_else(|| both.cert_dir.clone()),
            },
        };
        let from = SpeakArgs {
            authfile: src.src_authfile.clone(),
            tls_verify: src.src_tls_verify,
            cert_dir: src.src_cert_dir.clone(),
        };
        let to = SpeakArgs {
            authfile: dest.dest_authfile.clone(),
            tls_verify: dest.dest_tls_verify,
            cert_dir: dest.dest_cert_dir.clone(),
        };
        [end(&src.src_creds, from), end(&dest.dest_creds, to)]
    }
}

/// `podvisor login`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor login registry.example\n  podvisor login -u me --password-stdin registry.example:5000 < password"
)]
pub struct LoginArgs {
    /// host or host:port; docker.io by default
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    pub server: String,
    /// Name; asked for by default
    #[arg(short, long)]
    pub username: Option<String>,
    /// Password; others can see it in the list of processes
    #[arg(short, long, conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Read the password from stdin
    #[arg(long)]
    pub password_stdin: bool,
    /// How to speak to the registry.
    #[command(flatten)]
    pub speak: SpeakArgs,
}

/// `podvisor logout`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor logout registry.example\n  podvisor logout --authfile auth.json docker.io"
)]
pub struct LogoutArgs {
    /// host or host:port; docker.io by default
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    pub server: String,
    /// File of credentials [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
}

/// `podvisor image tags`, `referrers` and `delete`
#[derive(Debug, Args)]
pub struct RemoteArgs {
    /// Name at a registry, with tag or digest where that matters
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How to speak to the registry.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
