//! Whose name and password a registry gets: docker's config.json, containers' auth.json, and
//! credential helpers.
//!
//! The files are read anew for each lookup. The most specific entry of the first file that has one
//! wins: `registry/team/web`, `registry/team`, `registry`. Entries of docker's old forms
//! (`https://registry/v1/`) count for their host. A secret is never in a `Debug` text.

mod program;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The key that docker has for Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";
const FILE_MAX: u64 = 1 << 20;

/// Base64 as docker's tools write it, with or without padding.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Name and password.
    Password {
        /// Without a colon.
        user: String,
        /// As it is.
        password: String,
    },
    /// A token to get tokens with (OAuth's refresh token).
    Identity(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Credential::Identity(_) => f.write_str("Identity(…)"),
        }
    }
}

/// Where credentials are looked for, first to last.
#[derive(Debug, Clone, Default)]
pub struct Files(pub Vec<PathBuf>);

impl Files {
    /// The usual places, as `variable` gives the environment: podvisor's own, then those of
    /// podman and skopeo, then docker's.
    #[must_use]
    pub fn usual(variable: impl Fn(&str) -> Option<String>) -> Files {
        if let Some(path) = variable("REGISTRY_AUTH_FILE") {
            return Files(vec![path.into()]);
        }
        let home = variable("HOME").map(PathBuf::from);
        let run = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
        let config = variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|h| h.join(".config")));
        let docker = variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|h| h.join(".docker")));
        let mut all = vec![PathBuf::from(OWN)];
        all.push(
            run.map_or_else(|| "/run/containers/0".into(), |r| r.join("containers"))
                .join("auth.json"),
        );
        all.extend(config.map(|c| c.join("containers/auth.json")));
        all.extend(docker.map(|d| d.join("config.json")));
        Files(all)
    }

    /// The credential for a repository of a registry, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read or parsed; a helper that fails.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>> {
        for path in &self.0 {
            let Some(document) = read(path)? else { continue };
            if let Some(found) = look_up(&document, path, registry, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keeps a credential for a registry in the first file; the file is made when needed.
    ///
    /// # Errors
    /// A file that cannot be read, parsed or written.
    pub fn store(&self, registry: &str, user: &str, password: &str) -> Result<PathBuf> {
        let path = self.0.first().cloned().unwrap_or_else(|| OWN.into());
        let mut document = read(&path)?.unwrap_or_default();
        let auths = document.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(auths) = auths else {
            return Err(wrong(&path, "auths is no object"));
        };
        auths.retain(|key, _| host_of(key) != registry || key.contains('/') && !is_url(key));
        let text = BASE64.encode(format!("{user}:{password}"));
        auths.insert(key_of(registry), serde_json::json!({ "auth": text }));
        write(&path, &document)?;
        Ok(path)
    }

    /// Forgets the registry's credentials in every file; the files that changed.
    ///
    /// # Errors
    /// A file that cannot be read, parsed or written.
    pub fn forget(&self, registry: &str) -> Result<Vec<PathBuf>> {
        let mut changed = Vec::new();
        for path in &self.0 {
            let Some(mut document) = read(path)? else { continue };
            if let Some(Value::Object(auths)) = document.get_mut("auths") {
                let before = auths.len();
                auths.retain(|key, _| host_of(key) != registry);
                if auths.len() < before {
                    write(path, &document)?;
                    changed.push(path.clone());
                }
            }
        }
        Ok(changed)
    }
}

/// A docker config.json that lies in no file. Helpers that it names are not run: they are the
/// host's programs.
#[derive(Clone)]
pub struct PullSecret {
    name: String,
    document: Vec<u8>,
}

impl fmt::Debug for PullSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PullSecret({:?}, …)", self.name)
    }
}

impl PullSecret {
    /// `name` is for messages.
    #[must_use]
    pub fn new(name: String, document: Vec<u8>) -> PullSecret {
        PullSecret { name, document }
    }

    pub(crate) fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>> {
        let path = Path::new(&self.name);
        // Where it is broken says where, and nothing of what stands there.
        let document: Map<String, Value> = serde_json::from_slice(&self.document)
            .map_err(|e| wrong(path, format!("is no JSON at byte {}", e.column())))?;
        in_auths(&document, path, registry, repository)
    }
}

/// Where `podvisor login` keeps credentials.
pub const OWN: &str = "/etc/podvisor/auth.json";

fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::File { path: path.display().to_string(), problem: problem.into() }
}

fn read(path: &Path) -> Result<Option<Map<String, Value>>> {
    let io = |source| Error::Io { action: "reading", path: path.display().to_string(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(wrong(path, format!("is longer than {FILE_MAX} bytes")));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| wrong(path, e.to_string()))
}

/// Writes beside and renames: another reader never sees half a file.
fn write(path: &Path, document: &Map<String, Value>) -> Result<()> {
    let io = |source| Error::Io { action: "writing", path: path.display().to_string(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&fresh);
    let written = (|| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(document)?)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    written.map_err(|e| {
        let _ = fs::remove_file(&fresh);
        io(e)
    })
}

fn is_url(key: &str) -> bool {
    key.starts_with("https://") || key.starts_with("http://")
}

/// The registry that a key of `auths` is about.
fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let host = bare.split('/').next().unwrap_or(bare);
    if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host }
}

fn key_of(registry: &str) -> String {
    if registry == "docker.io" { HUB.into() } else { registry.into() }
}

fn look_up(
    document: &Map<String, Value>,
    path: &Path,
    registry: &str,
    repository: &str,
) -> Result<Option<Credential>> {
    let helpers = document.get("credHelpers").and_then(Value::as_object);
    let named = helpers.and_then(|h| {
        let key = h.keys().find(|k| host_of(k) == registry)?;
        h.get(key)
    });
    if let Some(name) = named.or_else(|| document.get("credsStore")).filter(|v| !v.is_null()) {
        let name = name.as_str().ok_or_else(|| wrong(path, "a helper's name is no text"))?;
        let found = if name.is_empty() { None } else { program::get(name, &key_of(registry))? };
        if found.is_some() {
            return Ok(found);
        }
    }
    in_auths(document, path, registry, repository)
}

fn in_auths(
    document: &Map<String, Value>,
    path: &Path,
    registry: &str,
    repository: &str,
) -> Result<Option<Credential>> {
    let Some(auths) = document.get("auths").and_then(Value::as_object) else { return Ok(None) };
    let mut name = format!("{registry}/{repository}");
    while let Some(at) = name.rfind('/') {
        if let Some(entry) = auths.get(&name) {
            return decode(entry, path, &name);
        }
        name.truncate(at);
    }
    let by_host: BTreeMap<bool, (&String, &Value)> = auths
        .iter()
        .filter(|(k, _)| host_of(k) == registry && (is_url(k) || !k.contains('/')))
        .map(|(k, v)| (is_url(k), (k, v)))
        .collect();
    match by_host.values().next() {
        Some((key, entry)) => decode(entry, path, key),
        None => Ok(None),
    }
}

fn decode(entry: &Value, path: &Path, key: &str) -> Result<Option<Credential>> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::Identity(token.into())));
    }
    if let Some(auth) = text("auth") {
        let bad = || wrong(path, format!("auths.{key}.auth is not base64 of user:password"));
        let bytes = BASE64.decode(auth.trim()).map_err(|_| bad())?;
        let text = String::from_utf8(bytes).map_err(|_| bad())?;
        let (user, password) = text.split_once(':').ok_or_else(bad)?;
        // Some writers pad with NUL.
        let password = password.trim_end_matches('\0').to_owned();
        return Ok(Some(Credential::Password { user: user.into(), password }));
    }
    let user = text("username").zip(text("password"));
    Ok(user.map(|(u, p)| Credential::Password { user: u.into(), password: p.into() }))
}

#[cfg(test)]
mod tests;
