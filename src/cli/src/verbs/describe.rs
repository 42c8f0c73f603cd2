//! `podvisor describe`: all about one object, its events, and what a crashed container said last.

use std::process::ExitCode;

use api::client::Filter;
use api::route::LogOptions;
use api::wire::Kind;
use api::{Client, stamp};
use serde_json::Value;

use super::Ended;
use crate::args::DescribeArgs;
use crate::columns::{self, View};
use crate::failure::Failure;
use crate::object::{list, name, namespace, number, pod_state, statuses, text};
use crate::settings::Settings;
use crate::target::{self, Member};
use crate::{age, print};

mod fields;

/// Lines of a crashed attempt's log that are shown.
const TAIL_LINES: u64 = 8;

pub(super) async fn describe(args: &DescribeArgs, settings: &Settings) -> Ended {
    let client = settings.client();
    let mut text = String::new();
    for (kind, word) in target::parse(&args.target, Kind::Pods)? {
        let found = target::find(&client, kind, &word, args.namespace.as_deref()).await?;
        match kind {
            Kind::Pods => pod(&client, &found, &mut text).await,
            Kind::Deployments => fields::deployment(&found, &mut text),
            Kind::Secrets => fields::secret(&found, &mut text),
            Kind::Events => text.push_str(&crate::yaml::render(&found)),
        }
        events(&client, kind, &found, settings, &mut text).await?;
    }
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn pod(client: &Client, pod: &Value, out: &mut String) {
    fields::head(pod, out);
    fields::line(out, 0, "Status", &pod_state(pod));
    for (label, at) in
        [("Reason", "/status/reason"), ("Message", "/status/message"), ("IP", "/status/podIP")]
    {
        fields::line(out, 0, label, text(pod, at));
    }
    for (heading, at) in
        [("Init Containers", "/spec/initContainers"), ("Containers", "/spec/containers")]
    {
        let specs = list(pod, at);
        if !specs.is_empty() {
            out.push_str(&format!("{heading}:\n"));
        }
        for spec in specs {
            let status = statuses(pod, true).find(|s| s["name"] == spec["name"]);
            let status = status.unwrap_or(&Value::Null);
            fields::container(spec, status, out);
            tail(client, pod, status, out).await;
        }
    }
    let conditions = list(pod, "/status/conditions");
    if !conditions.is_empty() {
        out.push_str("Conditions:\n");
    }
    for condition in conditions {
        let words = [text(condition, "/reason"), text(condition, "/message")];
        let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
        let status = format!("{} {}", text(condition, "/status"), words.join(": "));
        fields::line(out, 1, text(condition, "/type"), status.trim());
    }
}

/// The end of the log of the attempt that ended badly, the last or the one before.
async fn tail(client: &Client, pod: &Value, status: &Value, out: &mut String) {
    let bad = |at: &str| status.pointer(at).is_some_and(|e| number(e, "/exitCode") != 0);
    let previous = match (bad("/state/terminated"), bad("/lastState/terminated")) {
        (true, _) => false,
        (false, true) => number(status, "/restartCount") > 0,
        (false, false) => return,
    };
    // While a container waits for its restart, the crashed attempt is still the current one.
    let running = status["state"]["running"].is_object();
    let options = LogOptions {
        tail: Some(TAIL_LINES),
        previous: previous && running,
        ..LogOptions::default()
    };
    let member = Member { pod: pod.clone(), container: text(status, "/name").to_owned() };
    let mut bytes = Vec::new();
    if let Ok(mut stream) = client.logs(&member.target(), &options).await {
        // A log that has gone is not shown.
        while let Ok(Some(more)) = stream.next().await {
            bytes.extend_from_slice(&more);
        }
    }
    if !bytes.is_empty() {
        out.push_str("    Last Log Lines:\n");
        for line in String::from_utf8_lossy(&bytes).lines() {
            out.push_str(&format!("      | {line}\n"));
        }
    }
}

async fn events(
    client: &Client,
    kind: Kind,
    object: &Value,
    settings: &Settings,
    out: &mut String,
) -> Result<(), Failure> {
    let filter = Filter { namespace: Some(namespace(object).to_owned()), ..Filter::default() };
    let all = client.list(Kind::Events, &filter).await;
    let mut all = all.map_err(|error| Failure::api("describe: list events", &error))?.items;
    let about = |event: &Value| {
        let on = &event["involvedObject"];
        on["kind"] == kind.name() && on["name"] == name(object)
    };
    all.retain(about);
    if all.is_empty() {
        out.push_str("Events:   none\n");
        return Ok(());
    }
    let view = View { wide: false, namespaces: false, paint: settings.paint, now_ns: stamp::now() };
    out.push_str("Events:\n");
    for line in columns::table(Kind::Events, &all, view).render(true).lines() {
        out.push_str(&format!("  {line}\n"));
    }
    Ok(())
}

/// An end of a container in one line.
fn ending(ended: &Value) -> String {
    let code = number(ended, "/exitCode");
    let signal = match number(ended, "/signal") {
        0 => String::new(),
        signal => format!(", signal {signal}"),
    };
    let when = age::since(ended["finishedAt"].as_str(), stamp::now());
    let message = match text(ended, "/message") {
        "" => String::new(),
        message => format!(": {}", message.trim_end()),
    };
    format!("{}, exit code {code}{signal}, {when} ago{message}", text(ended, "/reason"))
}
