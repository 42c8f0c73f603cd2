//! `commit`, `export`, `diff`, `history`: containers as images, images as they were made.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use image::reference::Reference;
use image::{Change, ChangeKind, Packing, Store};
use serde_json::{Value, json};

use super::build::told;
use super::get::pretty;
use super::images::{self, failure, open};
use super::{Ended, block_on};
use crate::args::{CommitArgs, DiffArgs, ExportArgs, HistoryArgs, Output};
use crate::failure::Failure;
use crate::object::text;
use crate::settings::Settings;
use crate::table::Table;
use crate::{age, print, target, yaml};

/// The id that a container has in the store: as given, or of the newest start of a pod's member.
fn container_id(store: &Store, wanted: &str, settings: &Settings) -> Result<String, Failure> {
    let what = format!("container {wanted}");
    let ids = store.container_ids().map_err(|error| failure(&what, &error))?;
    if let Some(id) = ids.iter().find(|id| *id == wanted) {
        return Ok(id.clone());
    }
    let mut found = None;
    block_on(async {
        let member = target::member(&settings.client(), wanted, None, None).await?;
        let begin = format!("{}.{}.", text(&member.pod, "/metadata/uid"), member.container);
        let attempt = |id: &&String| id.strip_prefix(&begin).and_then(|n| n.parse::<u32>().ok());
        found = ids.iter().filter(|id| attempt(id).is_some()).max_by_key(attempt).cloned();
        Ok(ExitCode::SUCCESS)
    })?;
    found.ok_or_else(|| Failure::new(what, "it has no root file system yet, or no more"))
}

/// Holds a container still until the drop, where it runs.
struct Still<'a> {
    settings: &'a Settings,
    id: &'a str,
    held: bool,
}

impl<'a> Still<'a> {
    fn hold(settings: &'a Settings, id: &'a str, wanted: bool) -> Still<'a> {
        let mut still = Still { settings, id, held: false };
        // One that does not run cannot be paused, and need not.
        still.held = wanted && still.tell("pause");
        still
    }

    fn tell(&self, verb: &str) -> bool {
        let mut command = Command::new(supervisor::runtime_program());
        command.arg("--root").arg(self.settings.state.join("oci")).args([verb, self.id]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        if self.held && !self.tell("resume") {
            print::note(&format!("podvisor: {} is still paused: podvisor-oci resume", self.id));
        }
    }
}

pub(super) fn commit(args: &CommitArgs, settings: &Settings) -> Ended {
    let what = format!("commit {}", args.container);
    let failed = |error: image::Error| failure(&what, &error);
    let name: Reference = args.name.parse().map_err(|error| failed(error).code(2))?;
    let store = open(settings, &what)?;
    let id = container_id(&store, &args.container, settings)?;
    let used = store.used_by(&id).map_err(failed)?;
    let workshop = store.workshop().map_err(failed)?;
    let mut stack = workshop.stack_of(&used.image).map_err(failed)?;
    build::change(&mut stack, &args.change).map_err(|error| told(&what, &error))?;
    let now = pod::status::rfc3339(api::stamp::now() / 1_000_000_000);
    let by = args.message.clone().unwrap_or_else(|| format!("podvisor commit {}", args.container));
    stack.remember(&now, &by, true);
    stack.config["created"] = json!(now);
    if let Some(author) = &args.author {
        stack.config["author"] = json!(author);
    }
    let packing = Packing { ids: used.ids, ..Packing::default() };
    let still = Still::hold(settings, &id, args.pause);
    let kept = workshop.commit(&mut stack, &used.upper, packing, &[name]);
    drop(still);
    let kept = kept.map_err(failed)?;
    match args.quiet {
        true => print::out(&format!("{}\n", kept.digest))?,
        false => print::out(&format!("committed {}\n{}\n", kept.names.join(" "), kept.digest))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn export(args: &ExportArgs, settings: &Settings) -> Ended {
    let what = format!("export {}", args.container);
    let failed = |error: image::Error| failure(&what, &error);
    let system = |error: std::io::Error| Failure::of(&what, &error);
    let stdout = args.output.as_deref().is_none_or(|path| path == Path::new("-"));
    if stdout && std::io::stdout().is_terminal() {
        let problem = "standard output is a terminal, an archive would only confuse it";
        return Err(Failure::new(&what, problem).hint("name a file with -o").code(2));
    }
    let store = open(settings, &what)?;
    let id = container_id(&store, &args.container, settings)?;
    let (lower, used) = store.layers_of(&id).map_err(failed)?;
    let workshop = store.workshop().map_err(failed)?;
    let merged = workshop.upper("merged", None).map_err(failed)?;
    sys::overlay::leave_host_mounts().map_err(system)?;
    let layers: Vec<_> = std::iter::once(used.upper).chain(lower).collect();
    sys::overlay::mount(&layers, None, &merged).map_err(system)?;
    let mut out: Box<dyn Write> =
        match args.output.as_deref().filter(|_| !stdout) {
            Some(path) => Box::new(BufWriter::new(File::create(path).map_err(|error| {
                Failure::of(format!("{what}: write {}", path.display()), &error)
            })?)),
            None => Box::new(BufWriter::new(std::io::stdout().lock())),
        };
    let written = workshop.export(&merged, used.ids, &mut out);
    drop(out);
    sys::overlay::unmount(&merged).map_err(system)?;
    written.map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn line(change: &Change) -> (char, String) {
    let kind = match change.kind {
        ChangeKind::Added => 'A',
        ChangeKind::Changed => 'C',
        ChangeKind::Deleted => 'D',
    };
    let path = String::from_utf8_lossy(&change.path);
    (kind, path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
}

pub(super) fn diff(args: &DiffArgs, settings: &Settings) -> Ended {
    let what = format!("diff {}", args.what);
    let store = open(settings, &what)?;
    // A container's name wins: an image is then named by its digest.
    let sets = match container_id(&store, &args.what, settings) {
        Ok(id) => store.container_changes(&id).map(|changes| vec![(String::new(), changes)]),
        Err(no_container) => match store.image_changes(&args.what) {
            Err(image::Error::MissingImage { .. } | image::Error::BadReference { .. }) => {
                return Err(no_container);
            }
            other => other,
        },
    };
    let sets = sets.map_err(|error| failure(&what, &error))?;
    let mut text = String::new();
    let mut values = Vec::new();
    for (layer, changes) in &sets {
        if !layer.is_empty() {
            text.push_str(&format!("{layer}\n"));
        }
        for (kind, path) in changes.iter().map(line) {
            text.push_str(&format!("{kind} {path}\n"));
            let mut value = json!({ "kind": kind.to_string(), "path": path });
            if !layer.is_empty() {
                value["layer"] = json!(layer);
            }
            values.push(value);
        }
    }
    print::out(&match args.output {
        Output::Json => pretty(&values),
        Output::Yaml => values.iter().map(yaml::render).collect::<Vec<_>>().join("---\n"),
        _ => text,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Longest command that is shown without `--no-trunc`.
const COMMAND_MAX: usize = 60;

pub(super) fn history(args: &HistoryArgs, settings: &Settings) -> Ended {
    let what = format!("history {}", args.image);
    let store = open(settings, &what)?;
    let image = store.resolve(&args.image);
    let image = image.map_err(|error| images::near(&store, &args.image, failure(&what, &error)))?;
    let mut layers = image.layers.iter();
    let mut values: Vec<Value> = Vec::new();
    for entry in image.config.history().iter().flatten() {
        let empty = entry.empty_layer() == Some(true);
        let layer = if empty { None } else { layers.next() };
        values.push(json!({
            "created": entry.created(),
            "createdBy": entry.created_by(),
            "comment": entry.comment(),
            "author": entry.author(),
            "layer": layer.map(|layer| &layer.digest),
            "size": layer.map_or(0, |layer| layer.size),
        }));
    }
    // Images without a history have layers all the same.
    values.extend(layers.map(|layer| json!({ "layer": layer.digest, "size": layer.size })));
    // The newest first, as docker shows it.
    values.reverse();
    let mut table = Table::new(&["CREATED", "CREATED BY", "SIZE", "LAYER", "COMMENT"]);
    for value in &values {
        let by: String = text(value, "/createdBy").split_whitespace().collect::<Vec<_>>().join(" ");
        let by: String = by.chars().filter(|c| !c.is_control()).collect();
        let cut = !args.no_trunc && by.chars().count() > COMMAND_MAX;
        let shown = by.chars().take(COMMAND_MAX - 1).chain(['…']).collect();
        let layer = text(value, "/layer");
        let layer = if args.no_trunc { layer } else { layer.get(7..19).unwrap_or(layer) };
        table.row(vec![
            age::since(value["created"].as_str(), api::stamp::now()),
            if cut { shown } else { by },
            age::size(value["size"].as_u64().unwrap_or(0)),
            if layer.is_empty() { "-".into() } else { layer.to_owned() },
            text(value, "/comment").to_owned(),
        ]);
    }
    let names = || values.iter().map(|v| format!("{}\n", text(v, "/layer"))).collect();
    print::out(&match args.output {
        Output::Json => pretty(&values),
        Output::Yaml => values.iter().map(yaml::render).collect::<Vec<_>>().join("---\n"),
        Output::Name => names(),
        Output::Table | Output::Wide => table.render(true),
    })?;
    Ok(ExitCode::SUCCESS)
}
