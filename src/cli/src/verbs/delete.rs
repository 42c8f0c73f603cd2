//! `podvisor delete`: asks for the end of pods and deployments, and waits for it.

use std::process::ExitCode;

use api::Client;
use api::wire::Kind;

use super::Ended;
use crate::args::DeleteArgs;
use crate::failure::Failure;
use crate::object::{name, namespace};
use crate::settings::Settings;
use crate::{manifest, print, target, waiting};

pub(super) async fn delete(args: &DeleteArgs, settings: &Settings) -> Ended {
    let client = settings.client();
    let wanted = wanted(args, &client).await?;
    for (kind, namespace, name) in &wanted {
        let what = format!("{} {name}", kind.name().to_lowercase());
        client
            .delete(*kind, namespace, name, args.grace_period)
            .await
            .map_err(|error| Failure::api(format!("delete {what}"), &error))?;
        print::out(&format!("{} deleted\n", what.replace(' ', "/")))?;
    }
    if args.wait && !args.no_wait {
        for (kind, namespace, name) in &wanted {
            waiting::gone(&client, *kind, namespace, name).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Kind, namespace and name.
pub(super) type Place = (Kind, String, String);

async fn wanted(args: &DeleteArgs, client: &Client) -> Result<Vec<Place>, Failure> {
    if !args.file.is_empty() {
        let manifests = manifest::read("delete", &args.file)?;
        return Ok(manifests.iter().flat_map(places).collect());
    }
    let mut wanted = Vec::new();
    for (kind, word) in target::parse(&args.target, Kind::Pods)? {
        let found = target::find(client, kind, &word, args.namespace.as_deref()).await?;
        wanted.push((kind, namespace(&found).to_owned(), name(&found).to_owned()));
    }
    Ok(wanted)
}

/// What a manifest names.
pub(super) fn places(manifest: &manifest::Manifest) -> Vec<Place> {
    let place = |object: &pod::Object| {
        let meta = object.metadata();
        let kind = Kind::named(object.kind())?;
        Some((kind, meta.namespace().to_owned(), meta.name.clone()))
    };
    manifest.objects.iter().filter_map(place).collect()
}
