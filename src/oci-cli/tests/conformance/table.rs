//! The table of differences in `docs/runtime.md`, made of the cases' `differs` lines.
//!
//! One row a reason and runtime, with the cases that it explains, so that a reader sees causes and
//! not a hundred lines. It stands between two marks and is compared with what the cases give.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;

use crate::case::Case;

const BEGIN: &str = "<!-- differences: made of tests/conformance by PODVISOR_WRITE=1 -->\n";
const END: &str = "<!-- end of differences -->";

/// Whether the document has the cases' table; with PODVISOR_WRITE it is given it.
pub(crate) fn check(cases: &[Case]) -> Result<bool> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runtime.md"));
    let text = fs::read_to_string(&path)?;
    let unmarked = || Error::other("docs/runtime.md lacks the marks of the table of differences");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(unmarked)?;
    let (table, after) = rest.split_once(END).ok_or_else(unmarked)?;
    let want = render(cases);
    if table == want {
        return Ok(true);
    }
    if std::env::var_os("PODVISOR_WRITE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{want}{END}{after}"))?;
        return Ok(true);
    }
    println!("docs/runtime.md has another table of differences than the cases; PODVISOR_WRITE=1");
    Ok(false)
}

fn render(cases: &[Case]) -> String {
    let mut rows: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for case in cases {
        for d in &case.differs {
            rows.entry((&d.runtime, &d.reason)).or_default().push(&case.name);
        }
    }
    let mut text = "| differs | why | cases |\n|---|---|---|\n".to_owned();
    for ((runtime, reason), names) in rows {
        let reason = reason.replace('|', "\\|");
        text.push_str(&format!("| {runtime} | {reason} | {} |\n", names.join("; ")));
    }
    text
}
