//! `podvisor get`: lists, in tables and for programs; `-w` goes on.

use std::process::ExitCode;

use api::client::Filter;
use api::wire::{Change, Kind};
use api::{Client, stamp};
use serde_json::Value;

use super::Ended;
use crate::args::{GetArgs, GetKind, Output};
use crate::columns::{self, View};
use crate::failure::Failure;
use crate::object::name;
use crate::settings::Settings;
use crate::waiting::Following;
use crate::{print, target, yaml};

pub(super) async fn get(args: &GetArgs, settings: &Settings) -> Ended {
    let client = settings.client();
    let kinds: &[Kind] = match args.kind {
        GetKind::Pods => &[Kind::Pods],
        GetKind::Deployments => &[Kind::Deployments],
        GetKind::Secrets => &[Kind::Secrets],
        GetKind::Events => &[Kind::Events],
        GetKind::All => &[Kind::Deployments, Kind::Pods],
    };
    let filter = Filter {
        namespace: args.namespace.clone(),
        name: args.name.clone(),
        labels: args.selector.clone(),
    };
    if args.watch {
        return watch(args, settings, &client, kinds, &filter).await;
    }
    let mut all = Vec::new();
    for kind in kinds {
        let what = format!("get {}", kind.plural());
        let list = client.list(*kind, &filter).await.map_err(|error| Failure::api(what, &error))?;
        all.push((*kind, list.items));
    }
    if let Some(wanted) = &args.name
        && all.iter().all(|(_, items)| items.is_empty())
    {
        // Says what there is, or finds a pod by its uid.
        let found = target::find(&client, kinds[0], wanted, args.namespace.as_deref()).await?;
        all = vec![(kinds[0], vec![found])];
    }
    print::out(&render(args, settings, &all))?;
    Ok(ExitCode::SUCCESS)
}

fn render(args: &GetArgs, settings: &Settings, all: &[(Kind, Vec<Value>)]) -> String {
    match args.output {
        Output::Json => {
            let items: Vec<&Value> = all.iter().flat_map(|(_, items)| items).collect();
            pretty(&items)
        }
        Output::Yaml => {
            let documents: Vec<String> =
                all.iter().flat_map(|(_, items)| items).map(yaml::render).collect();
            documents.join("---\n")
        }
        Output::Name => all
            .iter()
            .flat_map(|(kind, items)| items.iter().map(|object| named(*kind, object)))
            .collect(),
        Output::Table | Output::Wide => tables(args, settings, all),
    }
}

fn named(kind: Kind, object: &Value) -> String {
    format!("{}/{}\n", kind.name().to_lowercase(), name(object))
}

fn tables(args: &GetArgs, settings: &Settings, all: &[(Kind, Vec<Value>)]) -> String {
    let shown: Vec<&(Kind, Vec<Value>)> =
        all.iter().filter(|(_, items)| !items.is_empty()).collect();
    if shown.is_empty() {
        let what = if args.kind == GetKind::All { "objects" } else { all[0].0.plural() };
        print::note(&format!("no {what}"));
        return String::new();
    }
    let table = |(kind, items): &&(Kind, Vec<Value>)| {
        let namespaces = args.all_namespaces || columns::several_namespaces(items);
        columns::table(*kind, items, view(args, settings, namespaces)).render(true)
    };
    shown.iter().map(table).collect::<Vec<_>>().join("\n")
}

fn view(args: &GetArgs, settings: &Settings, namespaces: bool) -> View {
    let wide = args.output == Output::Wide;
    View { wide, namespaces, paint: settings.paint, now_ns: stamp::now() }
}

/// JSON with line breaks, for programs and people.
pub(super) fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

async fn watch(
    args: &GetArgs,
    settings: &Settings,
    client: &Client,
    kinds: &[Kind],
    filter: &Filter,
) -> Ended {
    // Two kinds are two streams; a person watches what they asked for last.
    let [kind] = kinds else {
        return Err(Failure::new("get all -w", "one kind at a time can be watched")
            .hint("podvisor status -w shows all of it, live")
            .code(2));
    };
    let mut events = Following::new(client, *kind, filter.clone());
    let mut heading = true;
    loop {
        let event = events.next().await;
        let event =
            event.map_err(|error| Failure::api(format!("watch {}", kind.plural()), &error))?;
        if event.change == Change::Bookmark {
            continue;
        }
        let object = event.object;
        let text = match args.output {
            Output::Json => object.to_string() + "\n",
            Output::Yaml => format!("---\n{}", yaml::render(&object)),
            Output::Name => named(*kind, &object),
            Output::Table | Output::Wide => {
                let gone = event.change == Change::Deleted;
                let mut table = columns::table(
                    *kind,
                    std::slice::from_ref(&object),
                    view(args, settings, args.all_namespaces),
                )
                .render(std::mem::take(&mut heading));
                if gone {
                    table.insert_str(table.trim_end().len(), "   (deleted)");
                }
                table
            }
        };
        print::out(&text)?;
    }
}
