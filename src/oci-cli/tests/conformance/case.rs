//! Reading cases.
//!
//! A file holds blocks of `word: text` lines; indented lines go on with the text above; `#` starts
//! a comment. The words:
//!
//! - `case`: the name, which starts a block
//! - `patch`: JSON, merged into the base config.json (RFC 7396: null removes, arrays replace;
//!   `"name+"` appends)
//! - `run`: a script for `sh -c` inside the container; the host's part is then `oci run c`
//! - `host`: a script on the host, with `oci` (the runtime with its `--root`), `$bundle`, and the
//!   shell functions of `trial.rs`
//! - `code`: the exit code to expect (0)
//! - `out`: the whole standard output, without space at its ends
//! - `has`, `lacks`: a part of both outputs together; may be repeated
//! - `differs`: `RUNTIME reason`, where a peer is known to fail the case; with `*` after the name
//!   it may pass as well; a case of `world: v2` is about the versions in the test machine
//! - `world`: `v1` or `v2`, where the case is about controllers of one of the two

use std::fs;
use std::io::{Error, Result};
use std::path::Path;

/// One case.
#[derive(Debug, Default, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) patch: Option<String>,
    pub(crate) run: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) code: i32,
    pub(crate) out: Option<String>,
    pub(crate) has: Vec<String>,
    pub(crate) lacks: Vec<String>,
    pub(crate) differs: Vec<Difference>,
    pub(crate) world: Option<String>,
}

/// A peer that is known to fail a case.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    pub(crate) runtime: String,
    pub(crate) reason: String,
    /// Whether it passes at times.
    pub(crate) unsteady: bool,
}

/// Every case of every `.case` file, by file name.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<Case>> {
    let mut files: Vec<_> = fs::read_dir(folder)?.flatten().map(|e| e.path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "case"));
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let words = |(line, problem)| Error::other(format!("{}:{line}: {problem}", file.display()));
        cases.extend(parse(&text).map_err(words)?);
    }
    Ok(cases)
}

fn parse(text: &str) -> std::result::Result<Vec<Case>, (usize, String)> {
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let problem = |words: String| (number + 1, words);
        let (word, first) =
            line.split_once(':').ok_or_else(|| problem("want `word: text`".to_owned()))?;
        let mut value = first.trim().to_owned();
        while let Some((_, more)) = lines.next_if(|(_, l)| l.starts_with(' ')) {
            if !value.is_empty() {
                value.push('\n');
            }
            value.push_str(more.trim_start());
        }
        if word == "case" {
            cases.push(Case { name: value, ..Case::default() });
            continue;
        }
        let case = cases.last_mut().ok_or_else(|| problem("before the first case".to_owned()))?;
        match word {
            "patch" => case.patch = Some(value),
            "run" => case.run = Some(value),
            "host" => case.host = Some(value),
            "code" => case.code = value.parse().map_err(|_| problem(format!("code {value:?}")))?,
            "out" => case.out = Some(value),
            "has" => case.has.push(value),
            "lacks" => case.lacks.push(value),
            "world" => case.world = Some(value),
            "differs" => case.differs.push(difference(&value)),
            other => return Err(problem(format!("no such word: {other}"))),
        }
    }
    Ok(cases)
}

fn difference(text: &str) -> Difference {
    let (name, reason) = text.split_once(' ').unwrap_or((text, ""));
    let runtime = name.trim_end_matches('*');
    Difference {
        runtime: runtime.to_owned(),
        reason: reason.to_owned(),
        unsteady: runtime.len() < name.len(),
    }
}
