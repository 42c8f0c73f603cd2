//! Manifest files as verbs take them: read, checked before anything happens, handed to the API.

use std::io::Read;
use std::path::{Path, PathBuf};

use api::wire::{ApplyRequest, Cause};
use pod::{Finding, Object, Strictness};

use crate::failure::Failure;

/// Longest manifest, bytes.
const MANIFEST_MAX_BYTES: u64 = 3 * 1024 * 1024;

/// A manifest that has been read and is valid.
#[derive(Debug)]
pub struct Manifest {
    /// What is sent.
    pub request: ApplyRequest,
    /// What it says.
    pub objects: Vec<Object>,
}

/// Reads and checks files; all findings of all files at once.
///
/// # Errors
/// A file that cannot be read, or findings.
pub fn read(operation: &str, files: &[PathBuf]) -> Result<Vec<Manifest>, Failure> {
    let (mut manifests, mut findings) = (Vec::new(), Vec::new());
    for file in files {
        let request = ApplyRequest {
            source: file.display().to_string(),
            text: text(operation, file)?,
            create_only: false,
        };
        match pod::manifest::parse(&request.source, &request.text, Strictness::Strict) {
            Ok(objects) => manifests.push(Manifest { request, objects }),
            Err(found) => findings.extend(found),
        }
    }
    if findings.is_empty() { Ok(manifests) } else { Err(refused(operation, findings)) }
}

fn refused(operation: &str, findings: Vec<Finding>) -> Failure {
    let words = match findings.len() {
        1 => "the manifest has a mistake; nothing was changed".to_owned(),
        several => format!("the manifest has {several} mistakes; nothing was changed"),
    };
    Failure {
        findings: findings.into_iter().map(cause).collect(),
        ..Failure::new(operation, words)
    }
}

fn cause(finding: Finding) -> Cause {
    Cause {
        field: finding.path,
        message: finding.problem,
        source: finding.source,
        line: finding.line,
        column: finding.column,
        hint: finding.hint,
    }
}

fn text(operation: &str, file: &Path) -> Result<String, Failure> {
    let what = || format!("{operation} {}", file.display());
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(MANIFEST_MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        let open = std::fs::File::open(file);
        open.and_then(|f| f.take(MANIFEST_MAX_BYTES + 1).read_to_string(&mut text))
    };
    let len = read.map_err(|error| unreadable(what(), &error))?;
    if len as u64 > MANIFEST_MAX_BYTES {
        let words = format!("longer than {MANIFEST_MAX_BYTES} bytes");
        return Err(Failure::new(what(), words).hint("split it into several files"));
    }
    Ok(text)
}

/// A file that cannot be read, with what to try.
fn unreadable(what: String, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let failure = Failure::of(what, error);
    match error.kind() {
        ErrorKind::NotFound => failure.hint("is the path right? `-f -` reads standard input"),
        ErrorKind::IsADirectory => failure.hint("name its files: -f one.yaml -f two.yaml"),
        ErrorKind::InvalidData => failure.hint("a manifest is YAML or JSON in UTF-8"),
        _ => failure,
    }
}
