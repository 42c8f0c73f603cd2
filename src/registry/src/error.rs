//! What can go wrong between podvisor and a registry, with its context as fields.
//!
//! Texts that come from a server are shown with control characters escaped and cut; credentials
//! are in none.

use std::io;

use crate::resolve::Unresolved;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed exchange with a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of ours (registries, credentials, certificates) that cannot be used.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that cannot be read or written.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The registry is blocked by configuration.
    #[error("registry {registry} is blocked by {path}")]
    Blocked {
        /// Its address.
        registry: String,
        /// The file that says so.
        path: String,
    },
    /// A credential helper failed.
    #[error("credential helper docker-credential-{name}: {problem}")]
    Helper {
        /// Its name without prefix.
        name: String,
        /// What happened.
        problem: String,
    },
    /// Nobody waits for it any more.
    #[error("{registry}: broken off")]
    Cancelled {
        /// Its address.
        registry: String,
    },
    /// No answer came.
    #[error("{registry}: {action}")]
    Transport {
        /// Its address.
        registry: String,
        /// What was being done, with repository and object.
        action: String,
        /// What the connection says.
        source: Box<ureq::Error>,
    },
    /// The body broke off or came too slowly.
    #[error("{registry}: {action}")]
    Body {
        /// Its address.
        registry: String,
        /// What was being done, with repository and object.
        action: String,
        /// What the connection says.
        source: io::Error,
    },
    /// The server wants other credentials than it got.
    #[error("{registry}: {action}: {}{detail}", if *.given { "the credentials are refused" } else { "credentials are needed" })]
    Unauthorized {
        /// Its address.
        registry: String,
        /// What was being done.
        action: String,
        /// Whether credentials were there.
        given: bool,
        /// The server's words, after a colon.
        detail: String,
    },
    /// There is no such repository, tag, manifest or blob, or it may not be seen.
    #[error("{registry}: {action}: not found{detail}")]
    NotFound {
        /// Its address.
        registry: String,
        /// What was being done.
        action: String,
        /// The server's words, after a colon.
        detail: String,
    },
    /// Any other refusal.
    #[error("{registry}: {action}: status {status}{detail}")]
    Status {
        /// Its address.
        registry: String,
        /// What was being done.
        action: String,
        /// HTTP's status code.
        status: u16,
        /// The server's words, after a colon.
        detail: String,
    },
    /// An answer that does not follow the protocol, or leads where podvisor does not go.
    #[error("{registry}: {action}: {problem}")]
    Protocol {
        /// Its address.
        registry: String,
        /// What was being done.
        action: String,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// What to try next, where something can be tried.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::File { path, .. } => format!("mend or remove {path}"),
            Error::Io { .. } | Error::Cancelled { .. } => return None,
            Error::Blocked { path, .. } => format!("{path} has `blocked = true` for it"),
            Error::Helper { .. } => {
                "`credHelpers` and `credsStore` of config.json name it; `podvisor login` keeps \
                 credentials without a helper"
                    .into()
            }
            Error::Transport { registry, source, .. } => transport_hint(registry, source)?,
            Error::Body { .. } => "what has come is kept: repeat the command to go on".into(),
            Error::Unauthorized { registry, given: false, .. } => {
                format!("`podvisor login {registry}`")
            }
            Error::Unauthorized { registry, .. } => {
                format!("`podvisor login {registry}` with an account that may do this")
            }
            Error::NotFound { registry, .. } => format!(
                "look at the spelling; `podvisor image tags {registry}/REPOSITORY` lists tags; \
                 private repositories look like this without `podvisor login {registry}`"
            ),
            Error::Status { status: 429, .. } => {
                "the registry limits requests: wait, log in, or use a mirror".into()
            }
            Error::Status { status: 500..=599, .. } => {
                "the registry is in trouble: try again later, or use a mirror".into()
            }
            Error::Status { .. } => return None,
            Error::Protocol { .. } => {
                "do not trust this answer: look at the registry's and any proxy's configuration"
                    .into()
            }
        })
    }

    /// Whether a later try may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Error::Transport { source, .. } => match source.as_ref() {
                ureq::Error::Rustls(_) | ureq::Error::HostNotFound | ureq::Error::Tls(_) => false,
                ureq::Error::Io(e) => !is_certificate(e) && !is_unresolved(e),
                _ => true,
            },
            Error::Body { .. } => true,
            Error::Status { status, .. } => crate::retry::may_pass(*status),
            _ => false,
        }
    }

    /// Nobody is there: how often it is worth a try.
    pub(crate) fn absence(&self) -> Option<u32> {
        let Error::Transport { source, .. } = self else { return None };
        match source.as_ref() {
            ureq::Error::Io(e) if is_absence(e) => Some(3),
            // Which has taken its time.
            ureq::Error::Timeout(ureq::Timeout::Connect) => Some(2),
            _ => None,
        }
    }

    /// The number of the system error beneath, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Io { source, .. } | Error::Body { source, .. } => source.raw_os_error(),
            Error::Transport { source, .. } => match source.as_ref() {
                ureq::Error::Io(e) => e.raw_os_error(),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether TLS refused: rustls' errors come wrapped by the handshake.
pub(crate) fn is_certificate(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|e| {
        matches!(
            e.downcast_ref::<rustls::Error>(),
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
        )
    })
}

/// Whether the name could not be looked up; the resolver has asked again by itself.
fn is_unresolved(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|e| e.is::<Unresolved>())
}

/// Whether nobody is there.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

/// Whether the other side speaks no TLS.
pub(crate) fn is_no_tls(error: &ureq::Error) -> bool {
    let no = |e: &rustls::Error| matches!(e, rustls::Error::InvalidMessage(_));
    match error {
        ureq::Error::Rustls(e) => no(e),
        ureq::Error::Io(e) => {
            e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()).is_some_and(no)
        }
        _ => false,
    }
}

fn transport_hint(registry: &str, error: &ureq::Error) -> Option<String> {
    let host = registry.split(':').next().unwrap_or(registry);
    Some(match error {
        e if is_no_tls(e) => "it speaks no TLS: `--tls-verify=false`, or `insecure = true` in \
                              registries.conf, allows plain HTTP"
            .into(),
        ureq::Error::Io(e) if is_certificate(e) => {
            format!(
                "a private authority's certificate goes to /etc/podvisor/certs.d/{registry}/ca.crt"
            )
        }
        ureq::Error::Rustls(_) => {
            format!(
                "a private authority's certificate goes to /etc/podvisor/certs.d/{registry}/ca.crt"
            )
        }
        ureq::Error::Io(e) if is_unresolved(e) => "look at /etc/resolv.conf and at DNS".into(),
        ureq::Error::HostNotFound => format!("does {host} exist? look at the name and at DNS"),
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            "nothing listens there: look at address and port".into()
        }
        ureq::Error::Timeout(_) => "look at the network, the proxy and the firewall".into(),
        _ => return None,
    })
}

/// A server's text for messages: control characters escaped, cut.
pub(crate) fn shown(text: &str) -> String {
    const MAX: usize = 300;
    let mut out = String::new();
    for c in text.chars().take(MAX) {
        let hidden =
            c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hidden { out.extend(c.escape_default()) } else { out.push(c) }
    }
    if text.chars().count() > MAX {
        out.push('…');
    }
    out
}

/// The words of an error body (distribution-spec, error codes), after a colon.
pub(crate) fn detail(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    #[derive(serde::Deserialize)]
    struct All {
        errors: Vec<One>,
    }
    let Ok(all) = serde_json::from_slice::<All>(body) else { return String::new() };
    let words: Vec<String> = all
        .errors
        .iter()
        .take(3)
        .map(|e| {
            let code = e.code.to_lowercase().replace('_', " ");
            if e.message.is_empty() { code } else { e.message.clone() }
        })
        .filter(|w| !w.is_empty())
        .collect();
    if words.is_empty() { String::new() } else { format!(": {}", shown(&words.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_shown_harmlessly() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"},{"code":"X_Y"}]}"#;
        assert_eq!(detail(body), ": no\\u{1b}[31m; x y");
        assert_eq!(detail(b"<html>"), "");
        assert_eq!(detail(b"{\"errors\":[]}"), "");
        assert!(shown(&"a".repeat(1000)).chars().count() == 301);
    }

    #[test]
    fn a_name_that_cannot_be_looked_up_is_not_tried_again() {
        let of = |error: io::Error| Error::Transport {
            registry: "r.example".into(),
            action: "reading".into(),
            source: Box::new(ureq::Error::Io(error)),
        };
        let silent = Unresolved::new("r.example", io::ErrorKind::TimedOut.into());
        let silent = of(io::Error::other(silent));
        assert!(!silent.may_pass() && silent.hint().is_some_and(|hint| hint.contains("DNS")));
        let refused = of(io::ErrorKind::ConnectionRefused.into());
        assert!(refused.may_pass() && refused.absence() == Some(3));
        let broken = of(io::ErrorKind::ConnectionReset.into());
        assert!(broken.may_pass() && broken.absence().is_none());
    }
}
