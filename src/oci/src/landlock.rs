//! The annotation `org.podvisor.landlock`: what a container's processes may touch, as JSON.
//!
//! `{"read": ["/"], "write": ["/tmp"], "bindTcp": [80], "connectTcp": [443],
//! "scope": ["signals", "abstractSockets"]}`. Paths are the container's. What no list names is
//! forbidden; a list of ports that is not there leaves ports alone. Pure.

use oci_spec::runtime::Spec;
use serde::Deserialize;

/// The annotation's key.
pub const KEY: &str = "org.podvisor.landlock";

/// Something that is kept within the container's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Connections to abstract unix sockets.
    AbstractSockets,
    /// Signals.
    Signals,
}

/// The annotation's value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Landlock {
    /// May be read and executed, with all below.
    pub read: Vec<String>,
    /// May be changed, too.
    pub write: Vec<String>,
    /// TCP ports that may be bound; none given: any.
    pub bind_tcp: Option<Vec<u16>>,
    /// TCP ports that may be connected to; none given: any.
    pub connect_tcp: Option<Vec<u16>>,
    /// What is kept inside.
    pub scope: Vec<Scope>,
}

/// What the document asks for; what is wrong with it, in words.
///
/// # Errors
/// No such JSON, or a path that is not absolute.
pub fn read(spec: &Spec) -> Result<Option<Landlock>, String> {
    let annotations = spec.annotations().as_ref();
    let Some(text) = annotations.and_then(|all| all.get(KEY)) else { return Ok(None) };
    let asked: Landlock =
        serde_json::from_slice(text.as_bytes()).map_err(|error| error.to_string())?;
    let odd = |path: &&String| !path.starts_with('/') || path.contains('\0');
    match asked.read.iter().chain(&asked.write).find(odd) {
        Some(path) => Err(format!("{path:?} is not an absolute path")),
        None => Ok(Some(asked)),
    }
}
