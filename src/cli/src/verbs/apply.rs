//! `podvisor apply -f FILE`: hands manifests to the supervisor that runs.

use std::process::ExitCode;

use api::Client;
use api::wire::Applied;

use super::Ended;
use crate::args::ApplyArgs;
use crate::failure::Failure;
use crate::manifest::{self, Manifest};
use crate::print;
use crate::settings::Settings;

pub(super) async fn apply(args: &ApplyArgs, settings: &Settings) -> Ended {
    let manifests = manifest::read("apply", &args.file)?;
    for applied in send("apply", &settings.client(), &manifests).await? {
        print::out(&format!("{}\n", line(&applied)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends every manifest, in order.
pub(super) async fn send(
    operation: &str,
    client: &Client,
    manifests: &[Manifest],
) -> Result<Vec<Applied>, Failure> {
    let mut all = Vec::new();
    for manifest in manifests {
        let what = format!("{operation} {}", manifest.request.source);
        let applied = client.apply(&manifest.request).await;
        all.extend(applied.map_err(|error| Failure::api(what, &error))?);
    }
    Ok(all)
}

/// As kubectl says it.
pub(super) fn line(applied: &Applied) -> String {
    format!("{}/{} {}", applied.kind.to_lowercase(), applied.name, applied.outcome)
}
