//! `podvisor scale`: sets the number of a deployment's pods.

use std::process::ExitCode;

use api::wire::Kind;

use super::Ended;
use crate::args::ScaleArgs;
use crate::failure::Failure;
use crate::object::{name, namespace};
use crate::settings::Settings;
use crate::{print, target};

pub(super) async fn scale(args: &ScaleArgs, settings: &Settings) -> Ended {
    let client = settings.client();
    let words = std::slice::from_ref(&args.target);
    for (kind, word) in target::parse(words, Kind::Deployments)? {
        if kind != Kind::Deployments {
            return Err(Failure::new(format!("scale {}", args.target), "only deployments scale")
                .hint("a pod is one; put it into a Deployment"));
        }
        let found = target::find(&client, kind, &word, args.namespace.as_deref()).await?;
        client
            .scale(namespace(&found), name(&found), args.replicas)
            .await
            .map_err(|error| Failure::api(format!("scale deployment {word}"), &error))?;
        print::out(&format!("deployment/{} scaled\n", name(&found)))?;
    }
    Ok(ExitCode::SUCCESS)
}
