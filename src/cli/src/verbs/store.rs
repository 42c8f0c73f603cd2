//! `save`, `tag`, and the groups `image` and `system`: straight to the store.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use image::{Removed, SaveFormat, Store, Usage};

use super::Ended;
use super::get::pretty;
use super::images::{self, failure, near, open};
use super::{pull, remote};
use crate::args::{
    DfArgs, ImageVerb, LimitArgs, Output, PruneArgs, SaveArgs, SaveForm, SystemVerb, TagArgs,
};
use crate::failure::Failure;
use crate::progress::Bar;
use crate::settings::Settings;
use crate::table::Table;
use crate::{age, print, yaml};

pub(super) fn image(verb: &ImageVerb, settings: &Settings) -> Ended {
    match verb {
        ImageVerb::Ls(args) => images::images(args, settings),
        ImageVerb::Inspect(args) => images::inspect(args, settings),
        ImageVerb::Pull(args) => pull::pull(args, settings),
        ImageVerb::Push(args) => pull::push(args, settings),
        ImageVerb::Tags(args) => remote::tags(args),
        ImageVerb::Referrers(args) => remote::referrers(args),
        ImageVerb::Delete(args) => remote::delete(args),
        ImageVerb::Load(args) => images::load(args, settings),
        ImageVerb::Import(args) => images::import(args, settings),
        ImageVerb::Save(args) => save(args, settings),
        ImageVerb::Tag(args) => tag(args, settings),
        ImageVerb::Rm(args) => images::rmi(args, settings),
        ImageVerb::Prune(args) => prune(args, settings, "image prune"),
        ImageVerb::Mount(args) => each(&args.images, settings, "image mount", |store, name| {
            store.mount(name).map(|at| Some(format!("{}\n", at.display())))
        }),
        ImageVerb::Unmount(args) => each(&args.images, settings, "image unmount", |store, name| {
            Ok(store.unmount(name)?.then(|| format!("unmounted {name}\n")))
        }),
    }
}

pub(super) fn system(verb: &SystemVerb, settings: &Settings) -> Ended {
    match verb {
        SystemVerb::Df(args) => df(args, settings),
        SystemVerb::Prune(args) => {
            let store = open(settings, "system prune")?;
            let freed = store.prune_build_cache(std::time::Duration::ZERO, true);
            let freed = freed.map_err(|error| failure("system prune", &error))?;
            if freed > 0 {
                print::note(&format!("freed {} of the build cache", age::size(freed)));
            }
            prune(args, settings, "system prune")
        }
        SystemVerb::Limit(args) => limit(args, settings),
    }
}

pub(super) fn save(args: &SaveArgs, settings: &Settings) -> Ended {
    let what = format!("save {}", args.images.join(" "));
    let (format, folder) = match args.format {
        SaveForm::OciArchive => (SaveFormat::OciArchive, false),
        SaveForm::DockerArchive => (SaveFormat::DockerArchive, false),
        SaveForm::OciDir => (SaveFormat::OciDir, true),
        SaveForm::DockerDir => (SaveFormat::DockerDir, true),
    };
    let to = args.output.as_deref().unwrap_or(Path::new("-"));
    let stdout = to == Path::new("-");
    let hint = "name a file or folder with -o";
    if stdout && folder {
        let problem = "a folder cannot be written to standard output";
        return Err(Failure::new(&what, problem.to_owned()).hint(hint).code(2));
    }
    if stdout && std::io::stdout().is_terminal() {
        let problem = "standard output is a terminal, an archive would only confuse it";
        return Err(Failure::new(&what, problem.to_owned()).hint(hint).code(2));
    }
    let store = open(settings, &what)?;
    let mut bar = Bar::new(args.quiet);
    let saved = store.save(&args.images, format, to, &mut bar);
    drop(bar);
    for image in saved.map_err(|error| failure(&what, &error))? {
        if !args.quiet && !stdout {
            let unnamed = [image.digest];
            let names = if image.names.is_empty() { &unnamed[..] } else { &image.names };
            print::out(&format!("saved {}\n", names.join(" ")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn tag(args: &TagArgs, settings: &Settings) -> Ended {
    let what = format!("tag {}", args.image);
    let store = open(settings, &what)?;
    let done = store.tag(&args.image, &args.names);
    done.map_err(|error| near(&store, &args.image, failure(&what, &error)))?;
    Ok(ExitCode::SUCCESS)
}

/// The same for each image; what is said of it.
fn each(
    images: &[String],
    settings: &Settings,
    verb: &str,
    act: impl Fn(&Store, &str) -> image::Result<Option<String>>,
) -> Ended {
    for name in images {
        let what = format!("{verb} {name}");
        let store = open(settings, &what)?;
        let said = act(&store, name).map_err(|error| near(&store, name, failure(&what, &error)))?;
        print::out(&said.unwrap_or_default())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn prune(args: &PruneArgs, settings: &Settings, what: &str) -> Ended {
    let store = open(settings, what)?;
    let removed = store.prune(args.all).map_err(|error| failure(what, &error))?;
    told(&removed)?;
    Ok(ExitCode::SUCCESS)
}

/// Says what a removal has done; files that stay are not called deleted.
pub(super) fn told(removed: &Removed) -> Result<(), Failure> {
    for untagged in &removed.untagged {
        print::out(&format!("untagged {untagged}\n"))?;
    }
    for digest in &removed.deleted {
        if removed.waits {
            print::note(&format!("{digest} is in use: its files go with the last user"));
        } else {
            print::out(&format!("deleted {digest}\n"))?;
        }
    }
    if removed.freed_bytes > 0 {
        print::note(&format!("freed {}", age::size(removed.freed_bytes)));
    }
    Ok(())
}

fn limit(args: &LimitArgs, settings: &Settings) -> Ended {
    let what = "system limit";
    let store = open(settings, what)?;
    if let Some(text) = &args.size {
        let bytes = match text.as_str() {
            "none" => None,
            text => Some(age::parse_size(text).ok_or_else(|| {
                let problem = format!("{text:?} is no size");
                Failure::new(what, problem).hint("as in 20GiB, 500MB, or none").code(2)
            })?),
        };
        store.set_limit(bytes).map_err(|error| failure(what, &error))?;
    }
    let (limit, used) = store.limit().map_err(|error| failure(what, &error))?;
    let limit = limit.map_or("no limit".into(), |bytes| format!("limit {}", age::size(bytes)));
    print::out(&format!("{limit}, {} used\n", age::size(used)))?;
    Ok(ExitCode::SUCCESS)
}

fn df(args: &DfArgs, settings: &Settings) -> Ended {
    let store = open(settings, "system df")?;
    let usage = store.usage().map_err(|error| failure("system df", &error))?;
    let value = values(&usage);
    let text = match args.output {
        Output::Json => pretty(&[value]),
        Output::Yaml => yaml::render(&value),
        Output::Table | Output::Wide | Output::Name => table(&usage),
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn values(usage: &Usage) -> serde_json::Value {
    serde_json::json!({
        "images": usage.images,
        "imagesUsed": usage.images_used,
        "blobBytes": usage.blob_bytes,
        "blobBytesUnused": usage.blob_bytes_unused,
        "snapshots": usage.snapshots,
        "snapshotBytes": usage.snapshot_bytes,
        "containers": usage.containers,
        "containerBytes": usage.container_bytes,
        "downloads": usage.downloads,
        "downloadBytes": usage.download_bytes,
    })
}

fn table(usage: &Usage) -> String {
    let mut table = Table::new(&["TYPE", "COUNT", "USED", "SIZE", "UNUSED"]);
    let mut row = |kind: &str, count: usize, used: String, size: u64, unused: String| {
        table.row(vec![kind.into(), count.to_string(), used, age::size(size), unused]);
    };
    let unused = age::size(usage.blob_bytes_unused);
    row("images", usage.images, usage.images_used.to_string(), usage.blob_bytes, unused);
    row("layers unpacked", usage.snapshots, "-".into(), usage.snapshot_bytes, "-".into());
    row("containers", usage.containers, "-".into(), usage.container_bytes, "-".into());
    row("downloads", usage.downloads, "-".into(), usage.download_bytes, "-".into());
    table.render(true)
}
