//! `list`, and the document that `state` prints too: runc's, field for field.

use std::io::Write;

use runtime::Runtime;
use serde_json::{Value, json};

use super::{Verb, open};
use crate::args::{Flag, Given, Words};
use crate::report::{Failure, format_time};

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

/// The document of one container.
pub(super) fn entry(runtime: &Runtime, id: &str) -> Result<Value, Failure> {
    let listed = runtime.entry(id)?;
    Ok(document(&listed))
}

fn document(listed: &runtime::Listed) -> Value {
    let state = &listed.state;
    let (seconds, nanoseconds) = split(listed.created_unix_ns);
    let mut value = json!({
        "ociVersion": state.oci_version,
        "id": state.id,
        "pid": state.pid.unwrap_or(0),
        "status": state.status.to_string(),
        "bundle": state.bundle,
        "rootfs": listed.rootfs,
        "created": format_time(seconds, Some(nanoseconds)),
        "owner": listed.owner,
    });
    if !state.annotations.is_empty() {
        value["annotations"] = json!(state.annotations);
    }
    value
}

fn split(unix_ns: u64) -> (u64, u32) {
    const SECOND: u64 = 1_000_000_000;
    (unix_ns / SECOND, u32::try_from(unix_ns % SECOND).unwrap_or(0))
}

fn list(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let all: Vec<Value> = open(globals)?.list()?.iter().map(document).collect();
    let text = match given.text("format")? {
        _ if given.has("quiet") => all.iter().map(|c| format!("{}\n", cell(c, "id"))).collect(),
        None | Some("table" | "") => table(&all),
        // What runc prints of no containers, and its callers expect.
        Some("json") if all.is_empty() => "null\n".to_owned(),
        Some("json") => format!("{}\n", Value::from(all)),
        Some(_) => return Err(Failure::new("invalid format option")),
    };
    // A closed pipe is the reader's affair.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(0)
}

fn cell(container: &Value, key: &str) -> String {
    match &container[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Columns at least 12 wide with 3 spaces between, as runc's.
fn table(all: &[Value]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    let keys = ["id", "pid", "status", "bundle", "created", "owner"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(all.iter().map(|c| keys.map(|key| cell(c, key))));
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
        let one = json!({"id": "a-long-container-id", "pid": 7, "status": "running",
            "bundle": "/b", "created": "t", "owner": "root"});
        assert_eq!(
            table(&[one]).lines().nth(1),
            Some("a-long-container-id   7           running     /b          t           root")
        );
    }
}
