//! Which servers stand behind a name: containers' registries.conf, version 2.
//!
//! `[[registry]]` with prefix, location, insecure, blocked, mirror-by-digest-only and
//! `[[registry.mirror]]`; `unqualified-search-registries` for names without a registry, of which
//! the first one is taken (nothing is tried at one registry after another: whoever owns the name
//! there would be trusted). Pure but for reading the file.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// The files that are looked for; the first that exists is read, alone.
pub const FILES: [&str; 2] = ["/etc/podvisor/registries.conf", "/etc/containers/registries.conf"];
const FILE_MAX: usize = 1 << 20;

/// What is configured.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    path: PathBuf,
    search: Vec<String>,
    entries: Vec<Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    #[serde(default)]
    unqualified_search_registries: Vec<String>,
    #[serde(default)]
    registry: Vec<Entry>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: Option<String>,
}

/// A server that has a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `host` or `host:port`.
    pub registry: String,
    /// Its name there.
    pub repository: String,
    /// Whether plain HTTP and unknown certificates are accepted.
    pub insecure: bool,
    /// Whether this is a mirror, where something may be missing.
    pub mirror: bool,
}

impl Registries {
    /// Reads the first of `files` that exists.
    ///
    /// # Errors
    /// A file that cannot be read or is not valid.
    pub fn read(files: &[PathBuf]) -> Result<Registries> {
        for path in files {
            match fs::read_to_string(path) {
                Ok(text) => return Registries::parse(&text, path),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(source) => {
                    let path = path.display().to_string();
                    return Err(Error::Io { action: "reading", path, source });
                }
            }
        }
        Ok(Registries::default())
    }

    /// From the text of a file; the path is for messages.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn parse(text: &str, path: &Path) -> Result<Registries> {
        let wrong = |problem: String| Error::File { path: path.display().to_string(), problem };
        if text.len() > FILE_MAX {
            return Err(wrong(format!("is longer than {FILE_MAX} bytes")));
        }
        let document: Document = toml::from_str(text).map_err(|e| {
            let line =
                e.span().map_or(1, |s| 1 + text[..s.start.min(text.len())].matches('\n').count());
            wrong(format!("line {line}: {}", e.message()))
        })?;
        let mut entries = document.registry;
        for entry in &mut entries {
            if entry.prefix.is_empty() {
                entry.prefix.clone_from(&entry.location);
            }
            if entry.location.is_empty() && !entry.prefix.starts_with("*.") {
                entry.location.clone_from(&entry.prefix);
            }
            if entry.prefix.is_empty() {
                return Err(wrong("a [[registry]] has neither prefix nor location".into()));
            }
            let mirrors = entry.mirror.iter().map(|m| &m.location);
            for place in mirrors.chain([&entry.location]).filter(|l| !l.is_empty()) {
                let host = place.split('/').next().unwrap_or(place);
                crate::origin::Origin::of_registry(host, true)
                    .map_err(|p| wrong(format!("location {place:?}: {p}")))?;
            }
        }
        // The longest prefix is the most specific one.
        entries.sort_by_key(|e| std::cmp::Reverse(e.prefix.len()));
        let search = document.unqualified_search_registries;
        Ok(Registries { path: path.to_owned(), search, entries })
    }

    /// The registry of names that bring none, when it is not Docker Hub.
    #[must_use]
    pub fn default_registry(&self) -> Option<&str> {
        self.search.first().map(String::as_str)
    }

    /// The servers to ask for a repository, in order; mirrors only when `pulling`.
    ///
    /// # Errors
    /// [`Error::Blocked`].
    pub fn sources(
        &self,
        registry: &str,
        repository: &str,
        pulling: bool,
        by_digest: bool,
    ) -> Result<Vec<Source>> {
        let name = format!("{registry}/{repository}");
        let Some(entry) = self.entries.iter().find(|e| matches(&e.prefix, &name)) else {
            return Ok(vec![source(&name, false, false)]);
        };
        if entry.blocked {
            let path = self.path.display().to_string();
            return Err(Error::Blocked { registry: registry.into(), path });
        }
        let rewritten = |location: &str| {
            let rest = name.strip_prefix(&entry.prefix).unwrap_or("");
            if location.is_empty() { name.clone() } else { format!("{location}{rest}") }
        };
        let mut all = Vec::new();
        for mirror in entry.mirror.iter().filter(|_| pulling) {
            let fits = match mirror.pull_from_mirror.as_deref() {
                Some("digest-only") => by_digest,
                Some("tag-only") => !by_digest,
                _ => by_digest || !entry.mirror_by_digest_only,
            };
            if fits {
                all.push(source(&rewritten(&mirror.location), mirror.insecure, true));
            }
        }
        all.push(source(&rewritten(&entry.location), entry.insecure, false));
        Ok(all)
    }
}

fn source(name: &str, insecure: bool, mirror: bool) -> Source {
    let (registry, repository) = name.split_once('/').unwrap_or((name, ""));
    Source { registry: registry.into(), repository: repository.into(), insecure, mirror }
}

/// Whether a prefix covers a name, at the ends of its parts; `*.example.com` covers subdomains.
fn matches(prefix: &str, name: &str) -> bool {
    if let Some(suffix) = prefix.strip_prefix('*') {
        let host = name.split('/').next().unwrap_or(name);
        let host = host.split(':').next().unwrap_or(host);
        return suffix.starts_with('.') && host.ends_with(suffix);
    }
    name.strip_prefix(prefix).is_some_and(|r| r.is_empty() || r.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        unqualified-search-registries = ["r.example:5000"]
        short-name-mode = "enforcing"
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.example:5000/hub"
        insecure = true
        [[registry]]
        prefix = "docker.io/library"
        location = "inside.example/lib"
        [[registry]]
        prefix = "*.bad.example"
        blocked = true
        [[registry]]
        location = "plain.example"
        insecure = true
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.example"
    "#;

    fn names(registry: &str, repository: &str, pulling: bool, digest: bool) -> Vec<String> {
        let all = Registries::parse(TEXT, Path::new("r.conf")).unwrap();
        let sources = all.sources(registry, repository, pulling, digest).unwrap();
        let mark = |s: &Source| if s.insecure { "!" } else { "" };
        sources.iter().map(|s| format!("{}/{}{}", s.registry, s.repository, mark(s))).collect()
    }

    #[test]
    fn mirrors_come_first_and_prefixes_are_rewritten() {
        assert_eq!(
            names("docker.io", "a/b", true, false),
            ["mirror.example:5000/hub/a/b!", "docker.io/a/b"]
        );
        assert_eq!(names("docker.io", "a/b", false, false), ["docker.io/a/b"]);
        assert_eq!(names("docker.io", "library/x", true, false), ["inside.example/lib/x"]);
        assert_eq!(names("docker.io", "library2/x", false, false), ["docker.io/library2/x"]);
        assert_eq!(names("plain.example", "x", true, false), ["plain.example/x!"]);
        assert_eq!(names("plain.example", "x", true, true), ["m.example/x", "plain.example/x!"]);
        assert_eq!(names("other.example", "x", true, true), ["other.example/x"]);
        let all = Registries::parse(TEXT, Path::new("r.conf")).unwrap();
        assert!(matches!(
            all.sources("a.bad.example:1", "x", true, false),
            Err(Error::Blocked { .. })
        ));
        assert!(all.sources("bad.example", "x", true, false).is_ok());
        assert_eq!(all.default_registry(), Some("r.example:5000"));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, words) in [
            ("\n[[registry]]\nlocation = 7", "line 3"),
            ("[[registry]]\ninsecure = true", "neither"),
            ("[[registry]]\nlocation = \"a@b\"", "location"),
            ("[[registry]", "line 1"),
        ] {
            let error = Registries::parse(text, Path::new("r.conf")).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("r.conf"), "{text}: {error}");
        }
    }
}
