//! `podvisor up`: starts the pods of manifests and watches over them.
//!
//! In the foreground, Ctrl-C stops what this `up` has brought, and a second one leaves it no more
//! time. When it hosts the supervisor itself and nothing else is there, everything is taken down;
//! what others have brought, or a `down --keep` has kept, goes on under a supervisor in the
//! background. With `--until-done` it ends by itself.

mod outcome;

use std::io::IsTerminal;
use std::process::ExitCode;

use api::client::Filter;
use api::wire::{Kind, ShutdownRequest};
use api::{Client, stamp};
use serde_json::Value;

use super::status::{Live, Screen, TICK, board};
use super::{Ended, apply, delete};
use crate::args::UpArgs;
use crate::failure::Failure;
use crate::hosting::{self, Hosted, Reached, Told};
use crate::manifest::{self, Manifest};
use crate::object::{name, namespace, pod_state, readiness, restarts, text};
use crate::settings::Settings;
use crate::{print, waiting};

use outcome::Outcomes;

const NO_MORE_TIME: &str = "no more time for the pods";

pub(super) async fn up(args: &UpArgs, settings: &Settings) -> Ended {
    let manifests = manifest::read("up", &args.file)?;
    let client = settings.client();
    if args.detach {
        hosting::spawn(settings).await?;
        for applied in apply::send("up", &client, &manifests).await? {
            print::out(&format!("{}\n", apply::line(&applied)))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let outcomes = Outcomes::new(&manifests, args, &settings.state)?;
    let mut reached = hosting::reach(settings).await?;
    let mut told = hosting::listen("up")?;
    let begun = apply::send("up", &client, &manifests).await;
    let watched = match begun {
        Ok(applied) => {
            if !args.json {
                applied.iter().for_each(|a| print::note(&apply::line(a)));
            }
            watch(&client, settings, (&mut reached, &mut told), outcomes).await
        }
        Err(failure) => Err(failure),
    };
    if let Ok(Watched::SupervisorEnded) = watched {
        // Someone has taken everything down: there is nothing left to stop.
        return Ok(ExitCode::SUCCESS);
    }
    let stopped = match reached {
        Reached::Here(hosted) => leave(&client, (hosted, &mut told), &manifests, settings).await,
        Reached::Running => stop_ours(&client, &manifests, &mut told).await,
    };
    match watched? {
        Watched::Done(code) => stopped.map(|()| ExitCode::from(code)),
        Watched::Interrupted | Watched::SupervisorEnded => stopped.map(|()| ExitCode::SUCCESS),
    }
}

/// Why watching has ended.
enum Watched {
    Interrupted,
    SupervisorEnded,
    Done(u8),
}

/// Shows what happens until there is a reason to end.
async fn watch(
    client: &Client,
    settings: &Settings,
    (reached, told): (&mut Reached, &mut Told),
    mut outcomes: Option<Outcomes>,
) -> Result<Watched, Failure> {
    let mut live = Live::new(client);
    let mut screen = Screen::default();
    let mut journal = Journal::default();
    let mut tick = tokio::time::interval(TICK);
    let quiet = outcomes.as_ref().is_some_and(Outcomes::is_json);
    let terminal = std::io::stdout().is_terminal() && !quiet;
    loop {
        tokio::select! {
            biased;
            _ = told.next() => return Ok(Watched::Interrupted),
            ended = hosted_end(reached) => return ended.map(|()| Watched::SupervisorEnded),
            changed = live.changed() => {
                changed.map_err(|error| Failure::api("up: watch", &error))?;
            }
            _ = tick.tick(), if terminal => {}
        }
        if !live.is_complete() {
            continue;
        }
        let pods = live.pods();
        if terminal {
            let text = board::board(&live.deployments(), &pods, settings.paint, stamp::now());
            screen.show(&text)?;
        } else if !quiet {
            print::out(&journal.news(&pods))?;
        }
        if let Some(outcomes) = &mut outcomes
            && let Some(code) = outcomes.look(&pods)?
        {
            return Ok(Watched::Done(code));
        }
    }
}

/// Waits for the end of a supervisor hosted here; for ever, when it is another's.
async fn hosted_end(reached: &mut Reached) -> Result<(), Failure> {
    match reached {
        Reached::Here(hosted) => hosted.ended().await,
        Reached::Running => std::future::pending().await,
    }
}

/// One line a change, where there is no screen to redraw.
#[derive(Default)]
struct Journal {
    lines: std::collections::BTreeMap<String, String>,
}

impl Journal {
    fn news(&mut self, pods: &[Value]) -> String {
        let mut out = String::new();
        let mut now = std::collections::BTreeMap::new();
        for pod in pods {
            let key = format!("{}/{}", namespace(pod), name(pod));
            let line = format!(
                "pod/{} {} {} restarts={} {}",
                name(pod),
                pod_state(pod),
                readiness(pod),
                restarts(pod),
                text(pod, "/status/podIP"),
            );
            let line = line.trim_end().to_owned();
            if self.lines.get(&key) != Some(&line) {
                out.push_str(&format!("{line}\n"));
            }
            now.insert(key, line);
        }
        for key in self.lines.keys().filter(|key| !now.contains_key(*key)) {
            let name = key.split_once('/').map_or(key.as_str(), |(_, name)| name);
            out.push_str(&format!("pod/{name} gone\n"));
        }
        self.lines = now;
        out
    }
}

/// Ends the supervisor hosted here: with everything, when nothing but ours is there; otherwise ours
/// are stopped, and another supervisor in the background takes the others over.
async fn leave(
    client: &Client,
    (mut hosted, told): (Hosted, &mut Told),
    manifests: &[Manifest],
    settings: &Settings,
) -> Result<(), Failure> {
    let others = others(client, manifests).await?;
    if others == 0 {
        return stop_all(client, hosted, told).await;
    }
    let stopped = stop_ours(client, manifests, told).await;
    let order = ShutdownRequest { stop_pods: false, ..ShutdownRequest::default() };
    client.shutdown(&order).await.map_err(|error| Failure::api("stop", &error))?;
    hosted.ended().await?;
    hosting::spawn(settings).await?;
    print::note(&format!("podvisor: a supervisor in the background keeps {others} other objects"));
    stopped
}

/// How many pods, deployments and Secrets are there that no manifest of ours names.
async fn others(client: &Client, manifests: &[Manifest]) -> Result<usize, Failure> {
    let ours: Vec<_> = manifests.iter().flat_map(delete::places).collect();
    let mut count = 0;
    for kind in [Kind::Deployments, Kind::Pods, Kind::Secrets] {
        let listed = client.list(kind, &Filter::default()).await;
        let listed = listed.map_err(|error| Failure::api("stop", &error))?;
        let is_own = |object: &&Value| {
            // A deployment's pods count with it.
            let is_owned = object.pointer("/metadata/ownerReferences/0").is_some();
            let is_place = |place: &(Kind, String, String)| {
                place.0 == kind && place.1 == namespace(object) && place.2 == name(object)
            };
            is_owned || ours.iter().any(is_place)
        };
        count += listed.items.iter().filter(|object| !is_own(object)).count();
    }
    Ok(count)
}

/// Stops everything in order and ends the hosted supervisor.
async fn stop_all(client: &Client, mut hosted: Hosted, told: &mut Told) -> Result<(), Failure> {
    let order =
        |grace_seconds| ShutdownRequest { stop_pods: true, keep_objects: false, grace_seconds };
    let (gently, at_once) = (order(None), order(Some(0)));
    let mut ended = std::pin::pin!(hosted.ended());
    let mut asked = std::pin::pin!(client.shutdown(&gently));
    let (mut answered, mut hurried) = (false, false);
    loop {
        tokio::select! {
            done = &mut ended => return done,
            answer = &mut asked, if !answered => {
                answered = true;
                answer.map_err(|error| Failure::api("stop", &error))?;
            }
            _ = told.next(), if !hurried => {
                hurried = true;
                print::note(NO_MORE_TIME);
                // The first order's answer tells the end.
                let _ = tokio::time::timeout(waiting::PATIENCE, client.shutdown(&at_once)).await;
            }
        }
    }
}

/// Stops what the manifests name, and waits until its pods are gone.
async fn stop_ours(
    client: &Client,
    manifests: &[Manifest],
    told: &mut Told,
) -> Result<(), Failure> {
    let places: Vec<_> = manifests.iter().flat_map(delete::places).collect();
    let ordered = order_end(client, &places, None).await;
    let mut gone = std::pin::pin!(async {
        for (kind, namespace, name) in places.iter().filter(|place| place.0 == Kind::Pods) {
            waiting::gone(client, *kind, namespace, name).await?;
        }
        Ok(())
    });
    let mut hurried = false;
    loop {
        tokio::select! {
            done = &mut gone => return done.and(ordered),
            _ = told.next(), if !hurried => {
                hurried = true;
                print::note(NO_MORE_TIME);
                order_end(client, &places, Some(0)).await?;
            }
        }
    }
}

/// Asks for the end of each; the first that is refused, once all are asked for.
async fn order_end(
    client: &Client,
    places: &[delete::Place],
    grace_seconds: Option<u64>,
) -> Result<(), Failure> {
    let mut failure = None;
    for (kind, namespace, name) in places {
        if let Err(error) = client.delete(*kind, namespace, name, grace_seconds).await
            && error.reason() != Some("NotFound")
        {
            failure.get_or_insert(Failure::api(format!("stop {name}"), &error));
        }
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_journal_tells_changes_only() {
        let pod = |phase: &str| json!({"metadata": {"name": "web"}, "status": {"phase": phase}});
        let mut journal = Journal::default();
        assert_eq!(journal.news(&[pod("Pending")]), "pod/web Pending 0/0 restarts=0\n");
        assert_eq!(journal.news(&[pod("Pending")]), "");
        assert_eq!(journal.news(&[pod("Running")]), "pod/web Running 0/0 restarts=0\n");
        assert_eq!(journal.news(&[]), "pod/web gone\n");
    }
}
