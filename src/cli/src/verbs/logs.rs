//! `podvisor logs`: a container's log, as text.

use std::process::ExitCode;

use api::route::LogOptions;

use super::Ended;
use crate::args::LogsArgs;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::{print, target};

pub(super) async fn logs(args: &LogsArgs, settings: &Settings) -> Ended {
    let what = format!("logs {}", args.target);
    let client = settings.client();
    let since_seconds = match &args.since {
        None => None,
        Some(text) => {
            Some(oci::duration::parse(text).map(|age| age.as_secs()).ok_or_else(|| {
                Failure::new(what.clone(), format!("--since {text} is no age"))
                    .hint("90s, 10m, 1h30m")
                    .code(2)
            })?)
        }
    };
    let member =
        target::member(&client, &args.target, args.container.as_deref(), args.namespace.as_deref());
    let options = LogOptions {
        follow: args.follow,
        // A negative number is kubectl's word for all of them.
        tail: args.tail.and_then(|lines| u64::try_from(lines).ok()),
        since_seconds,
        previous: args.previous,
        timestamps: args.timestamps,
        ..LogOptions::default()
    };
    let member = member.await?.target();
    let failed = |error| Failure::api(what.clone(), &error);
    let mut stream = client.logs(&member, &options).await.map_err(failed)?;
    while let Some(bytes) = stream.next().await.map_err(failed)? {
        print::bytes(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
