//! Method, path and query to a [`Call`]. Pure; knows every path there is.
//!
//! Source of the paths: Kubernetes API reference 1.36, and `/podvisor/v1` for what it has no word
//! for. A known path with another method is 405; a query value that cannot be read is 400.

mod query;

#[cfg(test)]
mod tests;

use crate::backend::Target;
use crate::error::ApiError;
use crate::selector::Selector;
use crate::wire::Kind;

pub use query::{Query, decode, encode};

/// Longest body of a request, bytes.
pub const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Which objects of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of one namespace, or of all.
    pub namespace: Option<String>,
    /// Of one name (`fieldSelector=metadata.name=…`).
    pub name: Option<String>,
    /// Whose labels fit.
    pub labels: Selector,
}

/// What a log request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on as the log grows, until the container ends.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<u64>,
    /// Only lines stamped at or after this Unix time, nanoseconds.
    pub since_ns: Option<i64>,
    /// Only lines of the last so many seconds.
    pub since_seconds: Option<u64>,
    /// Of the attempt before the current one.
    pub previous: bool,
    /// Each line with its stamp.
    pub timestamps: bool,
    /// Lines as they stand in the file, CRI format: stdout and stderr can be told apart.
    pub raw: bool,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// A request, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `GET /version`
    Version,
    /// `GET /healthz`, `/livez`, `/readyz`
    Health,
    /// `GET` of a list
    List(Kind, Selection),
    /// `GET` of a list with `watch=1`; from a resource version, or from a fresh list.
    Watch(Kind, Selection, Option<u64>),
    /// `GET` of one object
    Get(Kind, String, String),
    /// `POST` of one object to a list
    Create(Kind, String),
    /// `DELETE` of one object, with `gracePeriodSeconds`
    Delete(Kind, String, String, Option<u64>),
    /// `GET …/log`
    Log(Target, LogOptions),
    /// `GET …/exec`: the target, not a stream
    Exec(Target),
    /// `GET …/scale` of a Deployment
    GetScale(String, String),
    /// `PUT` or `PATCH …/scale`
    SetScale(String, String),
    /// `POST /podvisor/v1/apply`
    Apply,
    /// `GET /podvisor/v1/status`
    Status,
    /// `POST /podvisor/v1/shutdown`
    Shutdown,
}

/// Understands a request.
///
/// # Errors
/// 404, 405 or 400, with words.
pub fn route(method: &str, path: &str, query: &str) -> Result<Call, ApiError> {
    let parts: Result<Vec<String>, ApiError> =
        path.split('/').filter(|p| !p.is_empty()).map(decode).collect();
    let parts = parts?;
    let query = Query::parse(query)?;
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version"] => only(method, "GET", path, Call::Version),
        ["healthz" | "livez" | "readyz"] => only(method, "GET", path, Call::Health),
        ["podvisor", "v1", "apply"] => only(method, "POST", path, Call::Apply),
        ["podvisor", "v1", "status"] => only(method, "GET", path, Call::Status),
        ["podvisor", "v1", "shutdown"] => only(method, "POST", path, Call::Shutdown),
        ["api", "v1", rest @ ..] => object(method, path, "/api/v1", rest, &query),
        ["apis", "apps", "v1", rest @ ..] => object(method, path, "/apis/apps/v1", rest, &query),
        _ => Err(unknown(path)),
    }
}

fn object(
    method: &str,
    path: &str,
    group: &str,
    rest: &[&str],
    query: &Query,
) -> Result<Call, ApiError> {
    let kind = |plural: &str| {
        let found = Kind::ALL.into_iter().find(|k| k.plural() == plural);
        found.filter(|k| k.group_path() == group).ok_or_else(|| unknown(path))
    };
    match rest {
        [plural] => list(method, path, kind(plural)?, None, query),
        ["namespaces", ns, plural] => list(method, path, kind(plural)?, Some(ns), query),
        ["namespaces", ns, plural, name] => {
            let (kind, ns, name) = (kind(plural)?, (*ns).to_owned(), (*name).to_owned());
            match method {
                "GET" => Ok(Call::Get(kind, ns, name)),
                "DELETE" if kind != Kind::Events => {
                    Ok(Call::Delete(kind, ns, name, query.number("gracePeriodSeconds")?))
                }
                _ => Err(not_here(method, path)),
            }
        }
        ["namespaces", ns, plural, name, part] => {
            subresource(method, path, (kind(plural)?, ns, name), part, query)
        }
        _ => Err(unknown(path)),
    }
}

fn list(
    method: &str,
    path: &str,
    kind: Kind,
    namespace: Option<&str>,
    query: &Query,
) -> Result<Call, ApiError> {
    if method == "POST" && kind != Kind::Events {
        let namespace = namespace.ok_or_else(|| not_here(method, path))?;
        return Ok(Call::Create(kind, namespace.to_owned()));
    }
    if method != "GET" {
        return Err(not_here(method, path));
    }
    let labels = Selector::parse(query.text("labelSelector").unwrap_or_default());
    let selection = Selection {
        namespace: namespace.map(str::to_owned),
        name: named(query)?,
        labels: labels.map_err(ApiError::bad_request)?,
    };
    if !query.flag("watch")? {
        return Ok(Call::List(kind, selection));
    }
    let from = query.number("resourceVersion")?.filter(|&version| version > 0);
    Ok(Call::Watch(kind, selection, from))
}

/// `fieldSelector`: by name only.
fn named(query: &Query) -> Result<Option<String>, ApiError> {
    let Some(text) = query.text("fieldSelector").filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    match text.strip_prefix("metadata.name=") {
        Some(name) if !name.contains(',') => Ok(Some(name.trim_start_matches('=').to_owned())),
        _ => Err(ApiError::bad_request(format!("fieldSelector \"{text}\" is not supported"))
            .hint("metadata.name=NAME is")),
    }
}

fn subresource(
    method: &str,
    path: &str,
    (kind, namespace, name): (Kind, &str, &str),
    part: &str,
    query: &Query,
) -> Result<Call, ApiError> {
    let target = || Target {
        namespace: namespace.to_owned(),
        pod: name.to_owned(),
        container: query.text("container").filter(|c| !c.is_empty()).map(str::to_owned),
    };
    let owned = || (namespace.to_owned(), name.to_owned());
    match (kind, part, method) {
        (Kind::Pods, "log", "GET") => Ok(Call::Log(target(), log_options(query)?)),
        (Kind::Pods, "exec", "GET") => Ok(Call::Exec(target())),
        (Kind::Deployments, "scale", "GET") => {
            let (ns, name) = owned();
            Ok(Call::GetScale(ns, name))
        }
        (Kind::Deployments, "scale", "PUT" | "PATCH") => {
            let (ns, name) = owned();
            Ok(Call::SetScale(ns, name))
        }
        (Kind::Pods, "log" | "exec", _) | (Kind::Deployments, "scale", _) => {
            Err(not_here(method, path))
        }
        _ => Err(unknown(path)),
    }
}

fn log_options(query: &Query) -> Result<LogOptions, ApiError> {
    let since_ns = query.text("sinceTime").map(|text| {
        crate::stamp::parse(text)
            .ok_or_else(|| ApiError::bad_request(format!("sinceTime \"{text}\" is no RFC 3339")))
    });
    let raw = match query.text("format") {
        None | Some("" | "text") => false,
        Some("cri") => true,
        Some(other) => {
            return Err(ApiError::bad_request(format!("unknown log format \"{other}\""))
                .hint("text or cri"));
        }
    };
    Ok(LogOptions {
        follow: query.flag("follow")?,
        tail: query.number("tailLines")?,
        since_ns: since_ns.transpose()?,
        since_seconds: query.number("sinceSeconds")?,
        previous: query.flag("previous")?,
        timestamps: query.flag("timestamps")?,
        raw,
        limit_bytes: query.number("limitBytes")?,
    })
}

fn only(method: &str, wanted: &str, path: &str, call: Call) -> Result<Call, ApiError> {
    if method == wanted { Ok(call) } else { Err(not_here(method, path)) }
}

fn not_here(method: &str, path: &str) -> ApiError {
    ApiError::method(format!("{method} is not allowed on {path}"))
}

fn unknown(path: &str) -> ApiError {
    ApiError::not_found(format!("the server has no path {path}"))
        .hint("/api/v1, /apis/apps/v1 and /podvisor/v1 are served")
}
