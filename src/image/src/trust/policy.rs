//! containers' policy.json: what is demanded of an image, by its name. Pure but for reading files.
//!
//! The most specific scope of the transport counts alone: the name with its tag, its repository,
//! the folders above it, the registry, `*.` domains, the transport's default "", and at last the
//! document's default. Files are told apart by their paths (containers-policy.json(5)).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::key::Key;
use crate::error::{At, Error, Result};
use crate::reference::Reference;

/// The files that are looked for; the first that exists counts.
const FILES: [&str; 2] = ["/etc/podvisor/policy.json", "/etc/containers/policy.json"];
const KEYS_MAX: usize = 100;

/// What is demanded, by name; accepts everything when there is no file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    path: PathBuf,
    default: Option<Vec<Requirement>>,
    /// By transport and scope.
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// One demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requirement {
    Accept,
    Reject,
    Signed {
        keys: Vec<KeySource>,
        identity: Identity,
    },
    /// Something that podvisor cannot check.
    Unknown(String),
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySource {
    Path(PathBuf),
    Text(String),
}

/// Which name a signature may be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// The image's repository; a tag, if the signature has one, must be the image's too.
    Exact,
    /// The image's repository.
    Repository,
    /// This repository, whatever the image is called.
    Given(String),
}

impl KeySource {
    pub(super) fn read(&self) -> std::result::Result<Key, String> {
        match self {
            KeySource::Text(text) => Key::parse(text).map_err(|p| format!("keyData {p}")),
            KeySource::Path(path) => {
                let shown = path.display();
                let text = fs::read_to_string(path).map_err(|e| format!("key {shown}: {e}"))?;
                Key::parse(&text).map_err(|p| format!("key {shown} {p}"))
            }
        }
    }
}

impl Identity {
    /// Whether a signature for `named` counts for the image.
    pub(super) fn allows(&self, named: &str, image: &Reference) -> bool {
        let Ok(signed) = named.parse::<Reference>() else { return false };
        match self {
            Identity::Given(repository) => {
                repository.parse::<Reference>().is_ok_and(|r| r.repository() == signed.repository())
            }
            Identity::Repository => signed.repository() == image.repository(),
            Identity::Exact => {
                let last = named.rsplit('/').next().unwrap_or(named);
                let tagged = last.contains(':') && image.digest().is_none();
                signed.repository() == image.repository()
                    && (!tagged || signed.tag() == image.tag())
            }
        }
    }
}

impl Policy {
    /// The host's policy, or the one that PODVISOR_POLICY names.
    ///
    /// # Errors
    /// A file that cannot be read or is not valid.
    pub fn usual(variable: impl Fn(&str) -> Option<String>) -> Result<Policy> {
        let files: Vec<PathBuf> = match variable("PODVISOR_POLICY") {
            Some(path) => vec![path.into()],
            None => FILES.iter().map(PathBuf::from).collect(),
        };
        for path in files {
            match fs::read(&path) {
                Ok(bytes) => return Policy::parse(&bytes, &path),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e).at("reading", &path),
            }
        }
        Ok(Policy::default())
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Policy> {
        let wrong = |problem: String| Error::Document {
            archive: path.display().to_string(),
            document: "policy".into(),
            problem,
        };
        let document: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        let default = document.get("default").ok_or_else(|| wrong("has no default".into()))?;
        let default = requirements(default, "default").map_err(wrong)?;
        let listed = document.get("transports").map(|listed| {
            listed.as_object().ok_or_else(|| wrong("transports is no object".into()))
        });
        let mut transports = BTreeMap::new();
        for (transport, scopes) in listed.transpose()?.into_iter().flatten() {
            let known: &mut BTreeMap<_, _> = transports.entry(transport.clone()).or_default();
            let none = || wrong(format!("transports.{transport} is no object"));
            for (scope, list) in scopes.as_object().ok_or_else(none)? {
                known.insert(scope.clone(), requirements(list, scope).map_err(wrong)?);
            }
        }
        Ok(Policy { path: path.to_owned(), default: Some(default), transports })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is demanded of what lies at a path, with `transport` before its colon: scopes are the
    /// path without links, and the folders above it; archives of docker and plain tars have none.
    pub(super) fn of_file(&self, transport: &str, path: Option<&Path>) -> Vec<Requirement> {
        let path = path.filter(|_| !matches!(transport, "docker-archive" | "tarball"));
        #[allow(
            clippy::disallowed_methods,
            reason = "the path of who loads: nothing is opened by it, and no container has made it"
        )]
        let path = path.and_then(|path| fs::canonicalize(path).ok());
        let above = path.iter().flat_map(|path| path.ancestors());
        let above = above.filter(|path| path.parent().is_some());
        let names = above.map(|path| path.to_string_lossy().into_owned()).collect();
        self.most_specific(transport, names)
    }

    fn most_specific(&self, transport: &str, mut names: Vec<String>) -> Vec<Requirement> {
        let Some(default) = &self.default else { return vec![Requirement::Accept] };
        names.push(String::new());
        let scopes = self.transports.get(transport);
        let found = names.iter().find_map(|name| scopes?.get(name));
        found.unwrap_or(default).clone()
    }

    /// What is demanded of an image of a registry.
    pub(super) fn requirements(&self, image: &Reference) -> Vec<Requirement> {
        let repository = image.repository();
        let mut names = vec![format!("{repository}:{}", image.tag())];
        names.extend(image.digest().map(|d| format!("{repository}@{d}")));
        let mut name = repository.as_str();
        loop {
            names.push(name.to_owned());
            match name.rsplit_once('/') {
                Some((above, _)) => name = above,
                None => break,
            }
        }
        let mut host = image.registry().split(':').next().unwrap_or_default();
        while let Some((_, domain)) = host.split_once('.') {
            names.push(format!("*.{domain}"));
            host = domain;
        }
        self.most_specific("docker", names)
    }
}

fn requirements(list: &Value, scope: &str) -> std::result::Result<Vec<Requirement>, String> {
    let list = list.as_array().ok_or_else(|| format!("{scope:?} is no list"))?;
    list.iter().map(|r| requirement(r).map_err(|p| format!("{scope:?}: {p}"))).collect()
}

fn requirement(value: &Value) -> std::result::Result<Requirement, String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match text("type").ok_or("a requirement has no type")? {
        "insecureAcceptAnything" => Ok(Requirement::Accept),
        "reject" => Ok(Requirement::Reject),
        "sigstoreSigned" => {
            let known = ["type", "keyPath", "keyPaths", "keyData", "keyDatas", "signedIdentity"];
            let mut fields = value.as_object().into_iter().flatten().map(|(name, _)| name);
            // A demand that is not understood must not be passed over.
            if let Some(other) = fields.find(|name| !known.contains(&name.as_str())) {
                return Ok(Requirement::Unknown(format!("sigstoreSigned with {other}")));
            }
            let listed =
                |name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
            let paths = text("keyPath").into_iter();
            let paths = paths.chain(listed("keyPaths").filter_map(Value::as_str));
            let mut keys: Vec<KeySource> = paths.map(|p| KeySource::Path(p.into())).collect();
            let data = text("keyData").into_iter();
            for data in data.chain(listed("keyDatas").filter_map(Value::as_str)) {
                let bytes = STANDARD.decode(data).map_err(|_| "keyData is no base64")?;
                keys.push(KeySource::Text(
                    String::from_utf8(bytes).map_err(|_| "keyData is no PEM")?,
                ));
            }
            if keys.is_empty() || keys.len() > KEYS_MAX {
                return Err("sigstoreSigned needs keyPath, keyPaths or keyData".into());
            }
            Ok(Requirement::Signed { keys, identity: identity(value.get("signedIdentity"))? })
        }
        other => Ok(Requirement::Unknown(crate::fault::shown(other.as_bytes()))),
    }
}

fn identity(value: Option<&Value>) -> std::result::Result<Identity, String> {
    let Some(value) = value else { return Ok(Identity::Exact) };
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "matchRepoDigestOrExact" | "matchExact" => Ok(Identity::Exact),
        "matchRepository" => Ok(Identity::Repository),
        "exactRepository" => Ok(Identity::Given(text("dockerRepository").into())),
        other => Err(format!("signedIdentity {other:?} is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_scope_counts() {
        let text = br#"{"default":[{"type":"reject"}],"transports":{"docker":{
            "r.example":[{"type":"insecureAcceptAnything"}],
            "r.example/team":[{"type":"sigstoreSigned","keyPath":"/k"}],
            "r.example/team/free":[{"type":"insecureAcceptAnything"}],
            "r.example/team/free:bad":[{"type":"reject"}],
            "*.wild.example":[{"type":"signedBy","keyPath":"/gpg"}]}}}"#;
        let policy = Policy::parse(text, Path::new("p")).unwrap();
        let of = |name: &str| policy.requirements(&name.parse().unwrap()).remove(0);
        assert_eq!(of("r.example/web"), Requirement::Accept);
        assert!(matches!(of("r.example/team/web:1"), Requirement::Signed { .. }));
        assert!(matches!(of("r.example/team/x/y"), Requirement::Signed { .. }));
        assert_eq!(of("r.example/teams/web"), Requirement::Accept);
        assert_eq!(of("r.example/team/free:1"), Requirement::Accept);
        assert_eq!(of("r.example/team/free:bad"), Requirement::Reject);
        assert_eq!(of("r.example:5000/web"), Requirement::Reject);
        assert_eq!(of("a.b.wild.example:5000/web"), Requirement::Unknown("signedBy".into()));
        assert_eq!(of("web"), Requirement::Reject);
        let none = Policy::default().requirements(&"web".parse().unwrap());
        assert_eq!(none, [Requirement::Accept]);
    }

    #[test]
    fn files_have_scopes_of_their_own() {
        let top = scope::Folder::new("policy");
        fs::create_dir_all(top.join("good/layout")).unwrap();
        std::os::unix::fs::symlink("good", top.join("link")).unwrap();
        let at = top.canonicalize().unwrap();
        let text = format!(
            r#"{{"default":[{{"type":"reject"}}],"transports":{{
            "oci":{{"{0}/good":[{{"type":"insecureAcceptAnything"}}]}},
            "oci-archive":{{"":[{{"type":"insecureAcceptAnything"}}],"{0}/good":[{{"type":"reject"}}]}},
            "docker-archive":{{"{0}":[{{"type":"insecureAcceptAnything"}}]}},
            "tarball":{{"{0}":[{{"type":"insecureAcceptAnything"}}]}}}}}}"#,
            at.display()
        );
        let policy = Policy::parse(text.as_bytes(), Path::new("p")).unwrap();
        let accepts = |transport: &str, name: Option<&str>| {
            let path = name.map(|name| top.join(name));
            policy.of_file(transport, path.as_deref()) == [Requirement::Accept]
        };
        assert!(accepts("oci", Some("good/layout")) && accepts("oci", Some("link/layout")));
        assert!(
            !accepts("oci", Some("")) && !accepts("oci", None) && !accepts("dir", Some("good"))
        );
        assert!(accepts("oci-archive", None) && accepts("oci-archive", Some("missing")));
        assert!(!accepts("oci-archive", Some("good/layout")));
        for transport in ["docker-archive", "tarball"] {
            assert!(!accepts(transport, Some("good")), "{transport} has no scopes but the default");
        }
        assert_eq!(Policy::default().of_file("oci", None), [Requirement::Accept]);
    }

    #[test]
    fn what_is_not_understood_is_never_acceptance() {
        let parse = |text: &str| Policy::parse(text.as_bytes(), Path::new("p"));
        for bad in [
            "{}",
            "[]",
            r#"{"default":{}}"#,
            r#"{"default":[{}]}"#,
            r#"{"default":[{"type":"reject"}],"transports":[]}"#,
            r#"{"default":[{"type":"reject"}],"transports":{"oci":[]}}"#,
            r#"{"default":[{"type":"reject"}],"transports":{"oci":{"":[{}]}}}"#,
            r#"{"default":[{"type":"sigstoreSigned"}]}"#,
            r#"{"default":[{"type":"sigstoreSigned","keyData":"!"}]}"#,
            r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":{"type":"x"}}]}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let more = r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","fulcio":{}}]}"#;
        let found = parse(more).unwrap().requirements(&"web".parse().unwrap());
        assert!(matches!(&found[0], Requirement::Unknown(w) if w.contains("fulcio")));
    }

    #[test]
    fn a_signatures_name_is_compared() {
        let image: Reference = "r.example/web:1".parse().unwrap();
        let given = Identity::Given("r.example/other".into());
        for (identity, named, expected) in [
            (&Identity::Exact, "r.example/web", true),
            (&Identity::Exact, "r.example/web:1", true),
            (&Identity::Exact, "r.example/web:2", false),
            (&Identity::Exact, "r.example/other", false),
            (&Identity::Repository, "r.example/web:2", true),
            (&Identity::Repository, "evil.example/web", false),
            (&Identity::Repository, "", false),
            (&given, "r.example/other:3", true),
            (&given, "r.example/web", false),
        ] {
            assert_eq!(identity.allows(named, &image), expected, "{identity:?} {named}");
        }
    }
}
