//! Sizes, names and words.

use std::path::Path;

use crate::{files, text};

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;

fn rust_files() -> Vec<std::path::PathBuf> {
    files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs")).collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests")
        || path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("tests"))
}

/// Every finding at once, so that one run shows all there is to mend.
fn none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

/// A generated table says so in its first line.
fn is_table(text: &str) -> bool {
    text.lines().next().is_some_and(|l| l.contains("Generated"))
}

#[test]
fn code_files_stay_small() {
    let mut found = Vec::new();
    for path in rust_files() {
        let text = text(&path);
        let lines = text.lines().count();
        if lines > LINES_MAX && !is_table(&text) {
            found.push(format!("{}: {lines} lines", path.display()));
        }
    }
    none(&found, "files over the hard limit of 500 lines");
}

#[test]
fn lines_stay_readable() {
    let mut found = Vec::new();
    for path in rust_files() {
        let text = text(&path);
        for (i, line) in text.lines().enumerate().filter(|_| !is_table(&text)) {
            let literal = line.contains('"') || line.contains("http");
            if line.chars().count() > COLUMNS_MAX && !literal {
                found.push(format!("{}:{}", path.display(), i + 1));
            }
        }
    }
    none(&found, "lines over 100 columns");
}

#[test]
fn each_module_opens_with_its_purpose() {
    let mut found = Vec::new();
    for path in rust_files().iter().filter(|p| !is_test(p)) {
        let text = text(path);
        let first = text.lines().find(|l| !l.is_empty() && !l.starts_with("#![")).unwrap_or("");
        if !first.starts_with("//!") && !is_table(&text) {
            found.push(path.display().to_string());
        }
    }
    none(&found, "files that do not open with a `//!` front comment");
}

#[test]
fn names_say_what_a_file_is() {
    const EMPTY_NAMES: &[&str] =
        &["utils", "util", "helpers", "helper", "common", "misc", "manager", "types", "stuff"];
    let mut found = Vec::new();
    for path in rust_files() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        if EMPTY_NAMES.contains(&stem.as_str()) || folder.to_string_lossy() == stem {
            found.push(path.display().to_string());
        }
    }
    none(&found, "files with an empty name, or named x/x.rs");
}

#[test]
fn tests_wait_on_conditions() {
    let mut found = Vec::new();
    for path in rust_files().iter().filter(|p| !p.starts_with("tests/house")) {
        for (i, line) in text(path).lines().enumerate() {
            let asleep = line.contains("thread::sleep(") || line.contains("#[ignore");
            let excused = line.trim_start().starts_with("//");
            if asleep && !excused {
                found.push(format!("{}:{}", path.display(), i + 1));
            }
        }
    }
    none(&found, "sleeps and ignored tests");
}

/// `println!` and its like panic when the output is closed or its disk full: a program of ours
/// would end with 134 in the midst of its work.
#[test]
fn the_programs_print_without_panics() {
    let tool = |path: &Path| {
        let shipped = path.starts_with("src") && !path.ends_with("build.rs");
        !shipped || ["src/fuzz", "src/scope"].iter().any(|folder| path.starts_with(folder))
    };
    let example = |path: &Path| path.components().any(|c| c.as_os_str() == "examples");
    let macros = ["print!", "println!", "eprint!", "eprintln!"];
    let mut found = Vec::new();
    for path in rust_files().iter().filter(|p| !is_test(p) && !tool(p) && !example(p)) {
        for (i, line) in text(path).lines().enumerate() {
            let mut words = line.split(|c: char| c.is_whitespace() || "(){}|".contains(c));
            let prints = words.any(|word| macros.contains(&word));
            if prints && !line.trim_start().starts_with("//") {
                found.push(format!("{}:{}: {}", path.display(), i + 1, line.trim()));
            }
        }
    }
    none(&found, "macros that panic where nobody can be told");
}

#[test]
fn nothing_is_left_undone_in_words() {
    let marks = ["TO", "FIX", "XX"].iter().zip(["DO", "ME", "X"]);
    let marks: Vec<String> = marks.map(|(a, b)| format!("{a}{b}")).collect();
    let macros = ["todo!(", "unimplemented!("];
    let mut found = Vec::new();
    for path in files().iter().filter(|p| !p.starts_with("tests/house")) {
        for (i, line) in text(path).lines().enumerate() {
            let word = |m: &String| line.split(|c: char| !c.is_alphanumeric()).any(|w| w == m);
            let code = path.extension().is_some_and(|e| e == "rs");
            if marks.iter().any(word) || code && macros.iter().any(|m| line.contains(m)) {
                found.push(format!("{}:{}: {}", path.display(), i + 1, line.trim()));
            }
        }
    }
    none(&found, "left undone");
}

#[test]
fn no_crate_is_empty() {
    let mut found = Vec::new();
    for path in files().iter().filter(|p| p.ends_with("src/lib.rs")) {
        // The names of another's crate are all of one that stands in its place.
        if text(path).lines().count() < 10 && !path.ends_with("regex/src/lib.rs") {
            found.push(path.display().to_string());
        }
    }
    none(&found, "crates without content");
}
