//! The image verbs: straight to the store, no supervisor needed.

use std::process::ExitCode;

use image::{ImportOptions, LoadOptions, Store};

use super::{Ended, get::pretty};
use crate::args::{ImagesArgs, ImportArgs, InspectArgs, LoadArgs, Output, RmiArgs};
use crate::failure::Failure;
use crate::near::nearest;
use crate::progress::Bar;
use crate::settings::Settings;
use crate::table::Table;
use crate::{age, print, yaml};

pub(super) fn load(args: &LoadArgs, settings: &Settings) -> Ended {
    let what = format!("load {}", args.path().display());
    let store = open(settings, &what)?;
    let options = LoadOptions { name: args.name.clone(), policy: super::pull::policy("load")? };
    let loaded = store.load(args.path(), &options, &mut Bar::new(args.quiet));
    for image in loaded.map_err(|error| failure(&what, &error))? {
        for line in told(&image.names, &image.digest, args.quiet) {
            print::out(&format!("{line}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(names: &[String], digest: &str, quiet: bool) -> Vec<String> {
    let unnamed = [digest.to_owned()];
    let names = if names.is_empty() { &unnamed } else { names };
    names.iter().map(|n| if quiet { n.clone() } else { format!("loaded {n}") }).collect()
}

pub(super) fn import(args: &ImportArgs, settings: &Settings) -> Ended {
    let what = format!("import {}", args.tar.display());
    let store = open(settings, &what)?;
    let words = |flag: &str, text: &Option<String>, split: bool| {
        text.as_deref().map(|text| list(&what, flag, text, split)).transpose()
    };
    let options = ImportOptions {
        entrypoint: words("--entrypoint", &args.entrypoint, false)?,
        cmd: words("--cmd", &args.cmd, true)?,
        env: args.env.clone(),
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        policy: super::pull::policy("import")?,
        ..ImportOptions::default()
    };
    let mut bar = Bar::new(args.quiet);
    let image = store
        .import(&args.tar, &args.name, &options, &mut bar)
        .map_err(|error| failure(&what, &error))?;
    drop(bar);
    for line in told(&image.names, &image.digest, args.quiet) {
        print::out(&format!("{line}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A JSON array of words, or plain text: one word, or split at blanks.
fn list(what: &str, flag: &str, text: &str, split: bool) -> Result<Vec<String>, Failure> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| {
            let usage = Failure::new(what, format!("{flag} {text} is no JSON array: {error}"));
            usage.hint(format!("{flag} '[\"/bin/web\", \"--port\", \"80\"]'")).code(2)
        });
    }
    Ok(match split {
        true => text.split_whitespace().map(str::to_owned).collect(),
        false => vec![text.to_owned()],
    })
}

pub(super) fn images(args: &ImagesArgs, settings: &Settings) -> Ended {
    let store = open(settings, "images")?;
    let all = store.list().map_err(|error| failure("images", &error))?;
    let mut table = Table::new(&["NAME", "DIGEST", "SIZE", "LAYERS", "CREATED", "CONTAINERS"]);
    let (mut values, mut names) = (Vec::new(), String::new());
    for image in &all {
        let unnamed = ["<none>".to_owned()];
        let shown = if image.names.is_empty() { &unnamed } else { image.names.as_slice() };
        for name in shown {
            names.push_str(&format!("{}\n", if name == "<none>" { &image.digest } else { name }));
            table.row(vec![
                name.clone(),
                short(&image.digest),
                age::size(image.size),
                image.layers.to_string(),
                age::since(image.created.as_deref(), api::stamp::now()),
                image.containers.to_string(),
            ]);
        }
        values.push(serde_json::json!({
            "names": image.names,
            "digest": image.digest,
            "size": image.size,
            "layers": image.layers,
            "created": image.created,
            "containers": image.containers,
        }));
    }
    let text = match args.output {
        _ if args.quiet => names,
        Output::Name => names,
        Output::Json => pretty(&values),
        Output::Yaml => values.iter().map(yaml::render).collect::<Vec<_>>().join("---\n"),
        Output::Table | Output::Wide => table.render(true),
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The first 12 digits of a digest.
fn short(digest: &str) -> String {
    digest.split_once(':').map_or(digest, |(_, hex)| hex).chars().take(12).collect()
}

pub(super) fn rmi(args: &RmiArgs, settings: &Settings) -> Ended {
    for name in &args.images {
        let what = format!("rmi {name}");
        let store = open(settings, &what)?;
        let removed = store.remove(name, args.force);
        let removed = removed.map_err(|error| near(&store, name, failure(&what, &error)))?;
        super::store::told(&removed)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn inspect(args: &InspectArgs, settings: &Settings) -> Ended {
    let store = open(settings, "inspect")?;
    let mut all = Vec::new();
    for name in &args.images {
        let found = store.inspect(name);
        let what = format!("inspect {name}");
        all.push(found.map_err(|error| near(&store, name, failure(&what, &error)))?);
    }
    print::out(&pretty(&all))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the store of these folders.
pub(super) fn open(settings: &Settings, what: &str) -> Result<Store, Failure> {
    Store::open(&settings.root).map_err(|error| failure(what, &error))
}

/// A store's error in our form.
pub(super) fn failure(what: &str, error: &image::Error) -> Failure {
    let mut failure = Failure::of(what, error).hint_maybe(error.hint());
    failure.errno = error.errno().map(|n| sys::errno::name(n).into()).or(failure.errno);
    failure
}

/// With a near name, where the store knows one and its error has not said it.
pub(super) fn near(store: &Store, wanted: &str, failure: Failure) -> Failure {
    let Ok(all) = store.list() else { return failure };
    let names: Vec<&str> =
        all.iter().flat_map(|i| &i.names).flat_map(|n| [n.as_str(), bare(n)]).collect();
    match nearest(wanted, names) {
        Some(near) if !failure.text().contains(near) => {
            failure.hint(format!("did you mean {near}?"))
        }
        _ => failure,
    }
}

/// A name without its tag.
pub(super) fn bare(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}
