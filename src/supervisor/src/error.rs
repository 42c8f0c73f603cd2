//! What can go wrong with a supervisor, with its context as fields.

use std::io;
use std::path::PathBuf;

use crate::store::StoreError;

/// A supervisor that cannot start or go on, or a request that it refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No object by that kind, namespace and name.
    #[error("no such object")]
    NotFound,
    /// The pod has no container of that name.
    #[error("pod \"{pod}\" has no container \"{container}\"")]
    NoContainer {
        /// The pod.
        pod: String,
        /// As asked for.
        container: String,
        /// What it has.
        known: Vec<String>,
    },
    /// The container does not run.
    #[error("container \"{container}\" of pod \"{pod}\" does not run")]
    NotRunning {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// There is no attempt before the current one.
    #[error("container \"{container}\" of pod \"{pod}\" has run once only")]
    NoPrevious {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// The object by that name is on its way out.
    #[error("{kind} \"{name}\" is being deleted")]
    Deleting {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Another supervisor has the state folder.
    #[error("another supervisor{} works in {}", who(.pid), state.display())]
    Locked {
        /// Its pid, when it wrote it down.
        pid: Option<i32>,
        /// The state folder.
        state: PathBuf,
    },
    /// A folder or file of the supervisor.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The database.
    #[error("the supervisor's memory")]
    Memory {
        /// What to try next.
        hint: Option<String>,
        /// Cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The image store.
    #[error("the image store")]
    Images(#[source] image::Error),
    /// The network of pods.
    #[error("the network of pods")]
    Network(#[source] net::Error),
    /// The kernel refuses to tell of ended children.
    #[error("cannot watch for ended monitors")]
    Signals(#[source] io::Error),
    /// The supervisor stops its pods and takes nothing new in.
    #[error("the supervisor is stopping its pods")]
    Stopping,
    /// The supervisor has ended.
    #[error("the supervisor has ended")]
    Ended,
    /// Every pod has stopped, but something is left.
    #[error("not everything could be removed: {}", .left.join("; "))]
    Left {
        /// What, in words.
        left: Vec<String>,
    },
}

fn who(pid: &Option<i32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

impl Error {
    /// What to try next, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::NotFound => "`podvisor get all` shows what there is".to_owned(),
            Error::NoContainer { known, .. } => format!("it has {}", known.join(", ")),
            Error::NotRunning { pod, .. } => format!("podvisor describe pod {pod}"),
            Error::NoPrevious { .. } => "leave --previous out".to_owned(),
            Error::Deleting { .. } => "wait until it has gone, then try again".to_owned(),
            Error::Locked { pid: Some(pid), .. } => {
                format!("speak to it, end it (kill {pid}), or choose another --state and --root")
            }
            Error::Locked { pid: None, .. } => "choose another --state and --root".to_owned(),
            Error::File { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "podvisor needs root".to_owned(),
                io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory => {
                    "choose another folder: --state, --log-dir".to_owned()
                }
                io::ErrorKind::StorageFull => "free some space there".to_owned(),
                _ => return None,
            },
            Error::Memory { hint, .. } => return hint.clone(),
            Error::Images(source) => return source.hint(),
            Error::Network(source) => return source.hint(),
            Error::Left { .. } => "`podvisor down` tries again".to_owned(),
            Error::Signals(_) | Error::Stopping | Error::Ended => return None,
        })
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::Memory { hint: error.hint(), source: Box::new(error) }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    named(text)
}

/// The numbers that std puts behind a cause, by the names that people search for.
pub(crate) fn named(mut text: String) -> String {
    const BEFORE: &str = "(os error ";
    let mut from = 0;
    while let Some(at) = text[from..].find(BEFORE).map(|at| from + at) {
        let Some(end) = text[at..].find(')').map(|len| at + len) else { break };
        if let Ok(number) = text[at + BEFORE.len()..end].parse() {
            text.replace_range(at + 1..end, &sys::errno::name(number));
        }
        from = at + 1;
    }
    text
}

/// Words with what to try next behind them, for places that have one field for both.
pub(crate) fn with_hint(words: String, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{words}{HINT}{hint}"),
        None => words,
    }
}

/// What stands between words and what to try next, in a field that holds both.
const HINT: &str = "; hint: ";

/// The message of a pod or an event, taken apart: what is wrong, and what to try next.
#[must_use]
pub fn split_hint(message: &str) -> (&str, Option<&str>) {
    match message.rsplit_once(HINT) {
        Some((words, hint)) => (words, Some(hint)),
        None => (message, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_errno_and_can_be_taken_apart() {
        let cause = io::Error::from_raw_os_error(98);
        let error = Error::File { action: "bind", path: "/s".into(), source: cause };
        let text = with_hint(chain(&error), Some("choose another".into()));
        assert!(
            text.ends_with("Address already in use (EADDRINUSE); hint: choose another"),
            "{text}"
        );
        let (words, hint) = split_hint(&text);
        assert!(words.ends_with("(EADDRINUSE)"), "{words}");
        assert_eq!(hint, Some("choose another"));
        assert_eq!(split_hint("plain"), ("plain", None));
        assert_eq!(named("a (os error 2): b (os error x)".into()), "a (ENOENT): b (os error x)");
    }

    #[test]
    fn the_holder_of_the_lock_is_named() {
        let error = Error::Locked { pid: Some(42), state: "/run/podvisor".into() };
        assert_eq!(error.to_string(), "another supervisor (pid 42) works in /run/podvisor");
        assert!(error.hint().unwrap().contains("42"));
        let error = Error::Locked { pid: None, state: "/s".into() };
        assert_eq!(error.to_string(), "another supervisor works in /s");
    }
}
