//! `list`, and the document that `state` prints too: runc's, field for field.

use std::collections::BTreeMap;
use std::path::PathBuf;

use runtime::Runtime;
use serde::Serialize;

use super::{Verb, open};
use crate::args::{Flag, Given, Words};
use crate::report::{Failure, format_time, print};

/// `list`.
pub(super) const LIST: Verb = Verb {
    name: "list",
    help: "print all containers below the root",
    arguments: "",
    flags: &[
        Flag::value("format", b'f', "FORMAT", "table (default) or json"),
        Flag::switch("quiet", b'q', "ids only"),
    ],
    words: Words::Anywhere,
    least: 0,
    most: 0,
    hidden: false,
    examples: ["list", "list --format json"],
    run: list,
};

/// One container. Scripts match its text: the fields are in runc's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    oci_version: String,
    id: String,
    pid: i32,
    status: String,
    bundle: PathBuf,
    rootfs: PathBuf,
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    owner: String,
}

/// The document of one container.
pub(super) fn entry(runtime: &Runtime, id: &str) -> Result<Entry, Failure> {
    Ok(document(runtime.entry(id)?))
}

fn document(listed: runtime::Listed) -> Entry {
    let (seconds, nanoseconds) = split(listed.created_unix_ns);
    let state = listed.state;
    Entry {
        oci_version: state.oci_version,
        id: state.id,
        pid: state.pid.unwrap_or(0),
        status: state.status.to_string(),
        bundle: state.bundle,
        rootfs: listed.rootfs,
        created: format_time(seconds, Some(nanoseconds)),
        annotations: state.annotations,
        owner: listed.owner,
    }
}

fn split(unix_ns: u64) -> (u64, u32) {
    const SECOND: u64 = 1_000_000_000;
    (unix_ns / SECOND, u32::try_from(unix_ns % SECOND).unwrap_or(0))
}

fn list(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let all: Vec<Entry> = open(globals)?.list()?.into_iter().map(document).collect();
    let text = match given.text("format")? {
        _ if given.has("quiet") => all.iter().map(|c| format!("{}\n", c.id)).collect(),
        None | Some("table" | "") => table(&all),
        // What runc prints of no containers, and its callers expect.
        Some("json") if all.is_empty() => "null\n".to_owned(),
        Some("json") => {
            let text = serde_json::to_string(&all).map_err(|e| Failure::new(e.to_string()))?;
            format!("{text}\n")
        }
        Some(_) => return Err(Failure::new("invalid format option")),
    };
    print(&text)?;
    Ok(0)
}

/// Columns at least 12 wide with 3 spaces between, as runc's.
fn table(all: &[Entry]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(all.iter().map(|c| {
        let (pid, bundle) = (c.pid.to_string(), c.bundle.display().to_string());
        let (id, status) = (c.id.clone(), c.status.clone());
        [id, pid, status, bundle, c.created.clone(), c.owner.clone()]
    }));
    let width = |column: usize| {
        rows.iter().map(|r| r[column].chars().count() + 3).max().unwrap_or(0).max(12)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        for (text, width) in row.iter().zip(&widths) {
            out.push_str(&format!("{text:<width$}"));
        }
        out.push_str(&row[5]);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_runcs() {
        assert_eq!(
            table(&[]),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        );
        let one = Entry {
            oci_version: "1.3.0".to_owned(),
            id: "a-long-container-id".to_owned(),
            pid: 7,
            status: "running".to_owned(),
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "t".to_owned(),
            annotations: BTreeMap::new(),
            owner: "root".to_owned(),
        };
        let text = serde_json::to_string(&one).expect("JSON");
        let order = ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"];
        let at = order.map(|key| text.find(&format!("\"{key}\":")).expect(key));
        assert!(at.is_sorted(), "{text}");
        assert_eq!(
            table(&[one]).lines().nth(1),
            Some("a-long-container-id   7           running     /b          t           root")
        );
    }
}
