//! Secret (v1): named values that are not for everybody. podvisor uses those with credentials of
//! registries (`imagePullSecrets`).
//!
//! Invariant: a value is in no `Debug` text and in no finding.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::decode::{Blank, Decode, Reader};
use super::meta::ObjectMeta;
use super::schema::record;
use super::tree::Node;

/// A text that nobody is to see by accident.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Blank for Hidden {}

impl Decode for Hidden {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        Hidden(String::decode(node, reader))
    }
}

record! {
    /// Named values.
    pub struct Secret {
        /// `v1`.
        api_version: String = "apiVersion" [required],
        /// `Secret`.
        kind: String = "kind" [required],
        /// Name and identity.
        metadata: ObjectMeta = "metadata" [required],
        /// What the values are for; `Opaque` when absent.
        secret_type: Option<String> = "type",
        /// In base64.
        data: BTreeMap<String, Hidden> = "data",
        /// As they are; they count before `data`.
        string_data: BTreeMap<String, Hidden> = "stringData",
    }
    later: ["immutable"];
}

/// Type and key of a docker config.json, and of its old form without `auths`.
const DOCKER_CONFIG: (&str, &str) = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
const DOCKER_OLD: (&str, &str) = ("kubernetes.io/dockercfg", ".dockercfg");

impl Secret {
    /// The same with all values in `data`.
    #[must_use]
    pub fn normal(mut self) -> Secret {
        let plain = std::mem::take(&mut self.string_data).into_iter();
        self.data.extend(plain.map(|(key, Hidden(text))| (key, Hidden(STANDARD.encode(text)))));
        self
    }

    /// Its type.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.secret_type.as_deref().unwrap_or("Opaque")
    }

    /// A value, when it is there and is base64.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        if let Some(Hidden(text)) = self.string_data.get(key) {
            return Some(text.clone().into_bytes());
        }
        STANDARD.decode(&self.data.get(key)?.0).ok()
    }

    /// Credentials of registries as docker's config.json has them; none when it is of another type.
    #[must_use]
    pub fn docker_config(&self) -> Option<Vec<u8>> {
        if self.type_name() == DOCKER_CONFIG.0 {
            return self.value(DOCKER_CONFIG.1);
        }
        let old = self.value(DOCKER_OLD.1).filter(|_| self.type_name() == DOCKER_OLD.0)?;
        let old: serde_json::Value = serde_json::from_slice(&old).ok()?;
        serde_json::to_vec(&serde_json::json!({ "auths": old })).ok()
    }

    /// What is wrong with it: the field's path below the object and the problem, without values.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (key, Hidden(text)) in &self.data {
            if STANDARD.decode(text).is_err() {
                found.push((format!("data.{key}"), "is not base64".to_owned()));
            }
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        for (field, all) in [("data", &self.data), ("stringData", &self.string_data)] {
            for key in all.keys().filter(|key| key.is_empty() || !key.bytes().all(plain)) {
                let problem = "a key has letters, digits, \"-\", \"_\" and \".\" alone";
                found.push((format!("{field}.{key}"), problem.to_owned()));
            }
        }
        for (kind, key) in [DOCKER_CONFIG, DOCKER_OLD] {
            let wanted = self.type_name() == kind && found.is_empty();
            let is_object = |bytes: Vec<u8>| {
                serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).is_ok()
            };
            if wanted && !self.value(key).is_some_and(is_object) {
                let problem = format!("{kind} needs {key:?}, a JSON object");
                found.push(("data".to_owned(), problem));
            }
        }
        found
    }
}

record! {
    /// An object of the same namespace.
    pub struct LocalObjectReference {
        /// Its name.
        name: String = "name" [required, subdomain],
    }
    later: [];
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Object, Strictness, parse};

    const HEAD: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";

    fn read(text: &str) -> Result<super::Secret, String> {
        let parsed = parse("f", &format!("{HEAD}{text}"), Strictness::Strict);
        let mut objects = parsed.map_err(|all| format!("{all:?}"))?;
        match objects.pop() {
            Some(Object::Secret(secret)) => Ok(secret),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_are_read_and_never_shown() {
        let secret = read("data: {a: aHVudGVyMg==}\nstringData: {b: hunter3, a: other}\n").unwrap();
        assert_eq!(secret.value("a").unwrap(), b"other");
        let normal = secret.normal();
        assert_eq!(normal.value("b").unwrap(), b"hunter3");
        assert!(normal.string_data.is_empty() && normal.docker_config().is_none());
        let shown = format!("{normal:?}");
        assert!(!shown.contains("hunter") && !shown.contains("aHVudGVy"), "{shown}");
        assert_eq!(normal.clone().normal(), normal);
    }

    #[test]
    fn credentials_have_two_forms() {
        let new = read(
            "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: '{\"auths\":{}}'}\n",
        );
        assert_eq!(new.unwrap().docker_config().unwrap(), b"{\"auths\":{}}");
        let old = read("type: kubernetes.io/dockercfg\nstringData: {.dockercfg: '{\"r\":{}}'}\n");
        assert_eq!(old.unwrap().docker_config().unwrap(), b"{\"auths\":{\"r\":{}}}");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        for (text, words) in [
            ("data: {a: hunter2!}\n", "is not base64"),
            ("stringData: {'a/b': hunter2}\n", "letters, digits"),
            ("type: kubernetes.io/dockerconfigjson\nstringData: {x: hunter2}\n", "needs"),
            (
                "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: hunter2}\n",
                "a JSON object",
            ),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(words) && !problem.contains("hunter2"), "{problem}");
        }
    }
}
