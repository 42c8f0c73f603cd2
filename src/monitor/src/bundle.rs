//! The parts of a bundle's config.json that the monitor itself looks at.
//!
//! Only `process` is decoded; the rest, a seccomp profile above all, is skipped without being kept.

use std::fs;
use std::io::Read;
use std::path::Path;

use oci::runtime::Process;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::requests::Failure;

/// Longest config.json that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// What decides how a container is started.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outline {
    #[serde(default)]
    pub(crate) terminal: bool,
    pub(crate) oom_score_adj: Option<i32>,
}

#[derive(Debug, Deserialize)]
struct Config<T> {
    process: Option<T>,
}

impl Outline {
    pub(crate) fn read(bundle: &Path) -> Result<Outline, Failure> {
        Ok(read_process(bundle)?.unwrap_or_default())
    }
}

/// The container's own process, as a pattern for probes.
pub(crate) fn process(bundle: &Path) -> Result<Process, Failure> {
    let nothing = || Failure::bad_request(format!("{}: has no process", bundle.display()));
    read_process(bundle)?.ok_or_else(nothing)
}

fn read_process<T: DeserializeOwned>(bundle: &Path) -> Result<Option<T>, Failure> {
    let path = bundle.join("config.json");
    let failed = |error| Failure::io(&format!("read {}", path.display()), &error);
    let mut text = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(MAX_CONFIG_BYTES).read_to_end(&mut text))
        .map_err(failed)?;
    let config: Config<T> = serde_json::from_slice(&text)
        .map_err(|error| Failure::bad_request(format!("{}: {error}", path.display())))?;
    Ok(config.process)
}
