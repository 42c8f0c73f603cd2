//! `podvisor ps`: one line a container.

use std::process::ExitCode;

use api::client::Filter;
use api::stamp;
use api::wire::Kind;
use serde_json::{Value, json};

use super::{Ended, get::pretty};
use crate::args::{Output, PsArgs};
use crate::failure::Failure;
use crate::object::{container_state, list, name, namespace, number, statuses, text};
use crate::settings::Settings;
use crate::table::Table;
use crate::{age, columns, print, yaml};

pub(super) async fn ps(args: &PsArgs, settings: &Settings) -> Ended {
    let pods = settings.client().list(Kind::Pods, &Filter::default()).await;
    let pods = pods.map_err(|error| Failure::api("ps", &error))?.items;
    let rows: Vec<Value> = pods.iter().flat_map(|pod| containers(pod, args.all)).collect();
    let text = match args.output {
        _ if args.quiet => rows.iter().map(|r| format!("{}\n", place(r))).collect(),
        Output::Json => pretty(&rows),
        Output::Yaml => rows.iter().map(yaml::render).collect::<Vec<_>>().join("---\n"),
        Output::Name => rows.iter().map(|r| format!("{}\n", place(r))).collect(),
        Output::Table | Output::Wide => table(&rows, settings),
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn place(row: &Value) -> String {
    format!("{}/{}", text(row, "/pod"), text(row, "/container"))
}

fn containers(pod: &Value, all: bool) -> Vec<Value> {
    let image = |container: &str| {
        let lists = ["/spec/containers", "/spec/initContainers"];
        let mut specs = lists.iter().flat_map(|at| list(pod, at));
        specs.find(|c| c["name"] == container).map_or("", |c| text(c, "/image")).to_owned()
    };
    statuses(pod, true)
        .filter(|status| all || status["state"]["running"].is_object())
        .map(|status| {
            let container = text(status, "/name");
            json!({
                "namespace": namespace(pod),
                "pod": name(pod),
                "container": container,
                "image": image(container),
                "state": container_state(status),
                "ready": status["ready"],
                "restarts": number(status, "/restartCount"),
                "startedAt": status["state"]["running"]["startedAt"],
                "podIP": text(pod, "/status/podIP"),
            })
        })
        .collect()
}

fn table(rows: &[Value], settings: &Settings) -> String {
    let mut table = Table::new(&["POD/CONTAINER", "IMAGE", "STATE", "RESTARTS", "UP", "IP"]);
    for row in rows {
        table.row(vec![
            place(row),
            text(row, "/image").to_owned(),
            columns::painted(text(row, "/state"), settings.paint),
            number(row, "/restarts").to_string(),
            age::since(row["startedAt"].as_str(), stamp::now()),
            columns::or_dash(text(row, "/podIP")),
        ]);
    }
    table.render(true)
}
