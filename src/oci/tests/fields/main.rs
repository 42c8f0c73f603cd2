//! The table of `docs/runtime-fields.md` against the specification and the tests it names.
//!
//! `full.json` has every field of runtime-spec 1.3.0 that is not for another platform, once. It
//! must come through the types whole; a field that they know and the document has not shows as
//! `None`. Each of its fields is a row of the table, and each row names a test that exists.

#![allow(clippy::expect_used, reason = "a file that cannot be read is this test's failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use oci::runtime::Spec;
use serde_json::Value;

/// Other platforms', and two that the specification has never had.
const OTHERS: [&str; 8] =
    ["solaris", "windows", "vm", "zos", "uid_mappings", "gid_mappings", "enable_cmt", "enable_mbm"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

const FULL: &str = include_str!("full.json");

fn full() -> Value {
    serde_json::from_str(FULL).expect("full.json")
}

fn spec() -> Spec {
    oci::document::spec(FULL.as_bytes()).expect("full.json reads")
}

/// Paths of all values that are no objects or lists of them; what has free keys ends at `*`.
fn paths(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    let free = ["linux.netDevices", "linux.timeOffsets", "linux.resources.rdma"].contains(&at);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if free { "*" } else { key };
                paths(value, &format!("{at}.{key}"), out);
            }
        }
        Value::Array(list) if list.iter().all(Value::is_object) => {
            list.iter().for_each(|item| paths(item, &format!("{at}[]"), out));
        }
        _ => drop(out.insert(at.to_owned())),
    }
}

fn fields() -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let Value::Object(map) = full() else { panic!("full.json is no object") };
    for (key, value) in &map {
        match key.as_str() {
            "annotations" => drop(out.insert(key.clone())),
            _ => paths(value, key, &mut out),
        }
    }
    // Free keys with plain values.
    for map in ["linux.sysctl", "linux.resources.unified"] {
        out.retain(|path| !path.starts_with(&format!("{map}.")));
        out.insert(map.to_owned());
    }
    out
}

/// Rows of the table: field, what it does, its test.
fn rows() -> Vec<[String; 3]> {
    let text = fs::read_to_string(root().join("docs/runtime-fields.md")).expect("the table");
    let cells = |line: &str| -> Option<[String; 3]> {
        let all: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let [_, field, does, test, _] = <[String; 5]>::try_from(all).ok()?;
        Some([field.trim_matches('`').to_owned(), does, test])
    };
    let lines = text.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| cells(line).unwrap_or_else(|| panic!("no row of three cells: {line}")))
        .collect()
}

#[test]
fn the_types_know_every_field() {
    let again = serde_json::to_value(spec()).expect("and writes");
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    paths(&full(), "", &mut before);
    paths(&again, "", &mut after);
    let lost: Vec<_> = before.difference(&after).collect();
    assert!(lost.is_empty(), "the types lose {lost:?}");
}

#[test]
fn the_document_has_every_field_of_the_types() {
    let text = format!("{:#?}", spec());
    let none = text.lines().filter_map(|line| line.trim().strip_suffix(": None,"));
    // A second hook, say, is shorter than the first.
    let shown: BTreeMap<&str, usize> = text
        .lines()
        .filter_map(|line| line.trim().split_once(": Some"))
        .fold(BTreeMap::new(), |mut all, (name, _)| {
            *all.entry(name).or_default() += 1;
            all
        });
    let missing: Vec<&str> =
        none.filter(|name| !OTHERS.contains(name) && !shown.contains_key(name)).collect();
    assert!(missing.is_empty(), "full.json lacks {missing:?}");
}

#[test]
fn the_table_has_a_row_for_each_field() {
    let rows: Vec<String> = rows().into_iter().map(|[field, ..]| field).collect();
    let all: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(all.len(), rows.len(), "a field stands twice");
    let wanted = fields();
    let missing: Vec<_> = wanted.difference(&all).collect();
    let unknown: Vec<_> = all.difference(&wanted).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

#[test]
fn each_row_names_a_test_that_exists() {
    let mut known = BTreeSet::new();
    let cases = fs::read_dir(root().join("tests/conformance")).expect("cases");
    for file in cases.flatten().filter(|f| f.path().extension().is_some_and(|e| e == "case")) {
        let text = fs::read_to_string(file.path()).expect("a case file");
        known.extend(text.lines().filter_map(|l| l.strip_prefix("case: ")).map(str::to_owned));
    }
    for file in fs::read_dir(root().join("tests/vm/trials")).expect("trials").flatten() {
        let text = fs::read_to_string(file.path()).expect("a trial");
        let names = text.lines().filter_map(|line| {
            // In a loop a name is of several findings, and has a variable.
            let rest = line.trim_start().strip_prefix("judge ")?;
            let (quote, rest) = rest.split_at_checked(1)?;
            rest.split_once(quote).filter(|_| matches!(quote, "'" | "\""))
        });
        known.extend(names.map(|(name, _)| name.to_owned()));
    }
    collect_tests(&root().join("src"), &mut known);
    for [field, does, test] in rows() {
        assert!(!does.is_empty(), "{field}: does what?");
        let test = test.trim_matches('`');
        assert!(known.contains(test), "{field}: there is no test {test:?}");
    }
}

/// Names of the functions behind `#[test]` below a folder.
fn collect_tests(folder: &Path, known: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect_tests(&path, known);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let after = text.split("#[test]").skip(1);
            let name = after.filter_map(|part| part.split_once("fn ")?.1.split_once('('));
            known.extend(name.map(|(name, _)| name.to_owned()));
        }
    }
}
