//! docker's credential helpers: programs `docker-credential-NAME` that answer in JSON.
//!
//! The name is checked to be a plain word, so that a configuration file cannot make a path of it.
//! The answer is read up to a bound; what a helper says on stderr goes nowhere.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use super::Credential;
use crate::error::{Error, Result, shown};

const ANSWER_MAX: u64 = 64 << 10;

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Whether a name can be part of a program's name.
fn is_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(word) && !name.starts_with(['.', '-'])
}

/// Asks a helper for the credential of a server.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Credential>> {
    let failed = |problem: String| Error::Helper { name: shown(name), problem };
    if !is_name(name) {
        return Err(failed("its name is not of letters, digits and ._- alone".into()));
    }
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read its input ends with an answer or an error of its own.
        let _ = input.write_all(server.as_bytes());
    }
    let mut answer = Vec::new();
    let read = match child.stdout.take() {
        Some(output) => output.take(ANSWER_MAX + 1).read_to_end(&mut answer),
        None => Ok(0),
    };
    if answer.len() as u64 > ANSWER_MAX {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| failed(e.to_string()))?;
    read.map_err(|e| failed(e.to_string()))?;
    if answer.len() as u64 > ANSWER_MAX {
        return Err(failed(format!("its answer is longer than {ANSWER_MAX} bytes")));
    }
    if !status.success() {
        let text = String::from_utf8_lossy(&answer);
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(format!("{status}: {}", shown(text.trim()))));
    }
    let answer: Answer = serde_json::from_slice(&answer)
        .map_err(|_| failed("its answer is not {Username, Secret}".into()))?;
    Ok(match answer.username.as_str() {
        "<token>" => Some(Credential::Identity(answer.secret)),
        "" if answer.secret.is_empty() => None,
        _ => Some(Credential::Password { user: answer.username, password: answer.secret }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_are_names() {
        for good in ["pass", "ecr-login", "secret_service", "gcr.2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "../x", "a/b", "/bin/sh", "-x", ".x", "a b", "a;b", "ä", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
            assert!(matches!(get(bad, "r"), Err(Error::Helper { .. })));
        }
        let missing = get("podvisor-has-no-such", "r").unwrap_err();
        assert!(missing.to_string().contains("docker-credential-podvisor-has-no-such"));
    }
}
