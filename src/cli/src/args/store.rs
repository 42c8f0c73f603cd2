//! Arguments of `save`, `tag`, and of the groups `image` and `system`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    ImagesArgs, ImportArgs, InspectArgs, LoadArgs, PullArgs, PushArgs, RemoteArgs, RmiArgs,
};

/// `podvisor save`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor save -o web.tar web:1\n  podvisor save --format docker-archive web:1 web:2"
)]
pub struct SaveArgs {
    /// Names or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Where to, standard output by default
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Form of the archive or folder
    #[arg(long, value_enum, default_value_t = SaveForm::OciArchive)]
    pub format: SaveForm,
    /// Say nothing
    #[arg(short, long)]
    pub quiet: bool,
}

/// What images are saved as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SaveForm {
    /// Tar of an OCI layout; docker reads it too
    OciArchive,
    /// What `docker save` writes, layers uncompressed
    DockerArchive,
    /// OCI layout; one that is there is added to
    OciDir,
    /// skopeo's dir: form, one image
    DockerDir,
}

/// `podvisor tag`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor tag web:1 web:latest\n  podvisor tag 3f9a1c2e registry.example/team/web:1"
)]
pub struct TagArgs {
    /// Name or digest
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Its further names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// `podvisor image`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor image ls\n  podvisor image prune --all",
    disable_help_subcommand = true
)]
pub struct ImageArgs {
    /// What to do with images.
    #[command(subcommand)]
    pub verb: ImageVerb,
}

/// The verbs of `podvisor image`.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// List images
    #[command(visible_alias = "list")]
    Ls(ImagesArgs),
    /// Show images as JSON
    Inspect(InspectArgs),
    /// Bring an image from a registry
    Pull(PullArgs),
    /// Bring an image of the store to a registry
    Push(PushArgs),
    /// List the tags of a registry's repository
    Tags(RemoteArgs),
    /// List what refers to an image at a registry: signatures, attestations
    Referrers(RemoteArgs),
    /// Delete an image, by digest, or a tag at a registry
    Delete(RemoteArgs),
    /// Load images from an archive or a folder
    Load(LoadArgs),
    /// Make an image of a root file system's tar
    Import(ImportArgs),
    /// Write images to an archive or a folder
    Save(SaveArgs),
    /// Give an image further names
    Tag(TagArgs),
    /// Remove images
    Rm(RmiArgs),
    /// Remove images without a name
    Prune(PruneArgs),
    /// Mount an image read-only and print where
    Mount(MountArgs),
    /// End mounts of images
    #[command(visible_alias = "umount")]
    Unmount(MountArgs),
}

/// `podvisor image prune` and `podvisor system prune`
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Also images with a name that no container uses
    #[arg(short, long)]
    pub all: bool,
    /// Does nothing: no question is asked anyway
    #[arg(short, long, hide = true)]
    pub force: bool,
}

/// `podvisor image mount`
#[derive(Debug, Args)]
pub struct MountArgs {
    /// Names or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// `podvisor system`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  podvisor system df\n  podvisor system prune",
    disable_help_subcommand = true
)]
pub struct SystemArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: SystemVerb,
}

/// The verbs of `podvisor system`.
#[derive(Debug, Subcommand)]
pub enum SystemVerb {
    /// Show what images and containers take up
    Df(DfArgs),
    /// Remove what nothing needs any more, the build cache too
    Prune(PruneArgs),
    /// Show or set how many bytes images may take
    Limit(LimitArgs),
}

/// `podvisor system limit`
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// As in 20GiB or 500MB; none takes the limit away
    #[arg(value_name = "SIZE")]
    pub size: Option<String>,
}

/// `podvisor system df`
#[derive(Debug, Args)]
pub struct DfArgs {
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t = super::Output::Table)]
    pub output: super::Output,
}
