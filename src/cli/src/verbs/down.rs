//! `podvisor down`: stops every pod, then the supervisor; nothing of them is left. With `--keep` it
//! stays written what is wanted: the next supervisor starts it again.
//!
//! Without a supervisor it hosts one for the purpose when there is something to clean: pods may
//! have been left by one that was killed.

use std::process::ExitCode;

use api::wire::ShutdownRequest;

use super::Ended;
use crate::args::DownArgs;
use crate::failure::Failure;
use crate::hosting::{self, Reached};
use crate::print;
use crate::settings::Settings;

pub(super) async fn down(args: &DownArgs, settings: &Settings) -> Ended {
    let client = settings.client();
    // Who wants to keep a database starts nothing for its sake.
    let objects = !args.keep && settings.root.join("podvisor.redb").exists();
    let something = objects || settings.state.join("pods").exists();
    if !something && !hosting::answers(&client).await? {
        print::note("nothing runs");
        return Ok(ExitCode::SUCCESS);
    }
    let reached = hosting::reach(settings).await?;
    let request = ShutdownRequest {
        stop_pods: true,
        keep_objects: args.keep,
        grace_seconds: args.grace_period,
    };
    let stopped = client.shutdown(&request).await;
    stopped.map_err(|error| Failure::api("down", &error))?;
    if let Reached::Here(mut hosted) = reached {
        hosted.ended().await?;
    }
    Ok(ExitCode::SUCCESS)
}
