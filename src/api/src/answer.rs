//! A request to its answer.
//!
//! Whole answers are made here; streams are handed to a task of their own ([`crate::watch`],
//! [`crate::logs`]) that ends when the reader goes, when it is too slow, or when the server ends.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::backend::Backend;
use crate::error::ApiError;
use crate::logs::{self, WatchFolder};
use crate::reply::{self, Feed, Reply};
use crate::route::{BODY_MAX_BYTES, Call, Selection, route};
use crate::server::{Limits, stopped};
use crate::wire::{
    ApplyAnswer, ApplyRequest, Kind, List, ListMeta, Scale, ScaleSpec, ShutdownRequest, Status,
    Version,
};

/// What answering needs.
#[derive(Clone)]
pub struct Answering<B> {
    /// The supervisor.
    pub backend: B,
    /// Wakes those who follow a log.
    pub watch_folder: WatchFolder,
    /// True once the server is to end.
    pub stop: watch::Receiver<bool>,
    /// Limits of the server.
    pub limits: Limits,
}

/// Answers one request; never fails.
pub async fn answer<B: Backend>(on: &Answering<B>, request: Request<Incoming>) -> Response<Reply> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let answered = match route(head.method.as_str(), head.uri.path(), query) {
        Ok(call) => act(on, call, body).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| reply::failure(&error))
}

async fn act<B: Backend>(
    on: &Answering<B>,
    call: Call,
    body: Incoming,
) -> Result<Response<Reply>, ApiError> {
    let backend = &on.backend;
    match call {
        Call::Version => Ok(reply::json(200, &version())),
        Call::Health => Ok(reply::respond(200, "text/plain", Reply::Whole(Some("ok\n".into())))),
        Call::List(kind, selection) => {
            Ok(reply::json(200, &list(backend, kind, &selection).await?))
        }
        Call::Watch(kind, selection, from) => watch_list(on, kind, selection, from),
        Call::Get(kind, ns, name) => Ok(reply::json(200, &get(backend, kind, &ns, &name).await?)),
        Call::Create(kind, ns) => create(on, kind, ns, body).await,
        Call::Delete(kind, ns, name, grace) => {
            let options: Value = read(on, body).await?;
            let grace = grace.or_else(|| options["gracePeriodSeconds"].as_u64());
            backend.delete(kind, &ns, &name, grace).await?;
            Ok(reply::json(200, &Status::success()))
        }
        Call::Log(target, options) => {
            let log = logs::open(on, &target, &options).await?;
            let (feed, body) = Feed::new();
            tokio::spawn(logs::stream(on.clone(), target, options.follow, log, feed));
            Ok(reply::respond(200, "text/plain", body))
        }
        Call::Exec(target) => Ok(reply::json(200, &backend.exec_target(target).await?)),
        Call::GetScale(ns, name) => {
            let found = get(backend, Kind::Deployments, &ns, &name).await?;
            Ok(reply::json(200, &scale_of(&found)))
        }
        Call::SetScale(ns, name) => {
            let scale: Scale = read(on, body).await?;
            backend.scale(&ns, &name, scale.spec.replicas).await?;
            Ok(reply::json(200, &scale))
        }
        Call::Apply => {
            let request: ApplyRequest = read(on, body).await?;
            let applied = backend.apply(request).await?;
            Ok(reply::json(200, &ApplyAnswer { applied }))
        }
        Call::Status => Ok(reply::json(200, &backend.status().await?)),
        Call::Shutdown => {
            let request: ShutdownRequest = read(on, body).await?;
            backend.shutdown(request).await?;
            Ok(reply::json(200, &Status::success()))
        }
    }
}

fn version() -> Version {
    Version {
        git_version: concat!("podvisor ", env!("CARGO_PKG_VERSION")).into(),
        api: crate::VERSION,
        pid: std::process::id(),
    }
}

fn scale_of(deployment: &Value) -> Value {
    let spec = ScaleSpec {
        replicas: u32::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(1))
            .unwrap_or(u32::MAX),
    };
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": deployment["metadata"]["name"],
            "namespace": deployment["metadata"]["namespace"],
        },
        "spec": spec,
        "status": {"replicas": deployment["status"]["replicas"]},
    })
}

/// Lists; the version is read first, so that a watch from it misses nothing.
pub(crate) async fn list<B: Backend>(
    backend: &B,
    kind: Kind,
    selection: &Selection,
) -> Result<List, ApiError> {
    let version = *backend.changes().borrow();
    let mut items = backend.list(kind).await?;
    items.retain(|object| selects(selection, object));
    items.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok(List {
        kind: format!("{}List", kind.name()),
        api_version: kind.api_version().into(),
        metadata: ListMeta { resource_version: version.to_string() },
        items,
    })
}

/// Where an object stands in a list: events by time, the rest by name.
fn place(object: &Value) -> (&str, &str, &str) {
    let meta = &object["metadata"];
    (
        object["lastTimestamp"].as_str().unwrap_or_default(),
        meta["namespace"].as_str().unwrap_or_default(),
        meta["name"].as_str().unwrap_or_default(),
    )
}

pub(crate) fn selects(selection: &Selection, object: &Value) -> bool {
    let meta = &object["metadata"];
    selection.namespace.as_deref().is_none_or(|ns| meta["namespace"] == ns)
        && selection.name.as_deref().is_none_or(|name| meta["name"] == name)
        && selection.labels.takes(object)
}

pub(crate) async fn get<B: Backend>(
    backend: &B,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<Value, ApiError> {
    let selection = Selection {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..Selection::default()
    };
    let found = list(backend, kind, &selection).await?.items.pop();
    found.ok_or_else(|| {
        let what = kind.name().to_lowercase();
        ApiError::not_found(format!("{what} \"{name}\" not found in namespace {namespace}"))
    })
}

fn watch_list<B: Backend>(
    on: &Answering<B>,
    kind: Kind,
    selection: Selection,
    from: Option<u64>,
) -> Result<Response<Reply>, ApiError> {
    let (feed, body) = Feed::new();
    let watching = crate::watch::Watching::begin(on.backend.clone(), kind, selection, from)?;
    let mut stop = on.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = watching.run(&feed) => {}
            () = feed.gone() => {}
            () = stopped(&mut stop) => {}
        }
    });
    Ok(reply::respond(200, "application/json", body))
}

async fn create<B: Backend>(
    on: &Answering<B>,
    kind: Kind,
    namespace: String,
    body: Incoming,
) -> Result<Response<Reply>, ApiError> {
    let mut object: Value = read(on, body).await?;
    if object["kind"] != kind.name() {
        return Err(ApiError::bad_request(format!("the body is no {}", kind.name())));
    }
    if let Some(meta) = object["metadata"].as_object_mut() {
        let given = meta.entry("namespace").or_insert_with(|| json!(namespace)).clone();
        if given != namespace.as_str() {
            return Err(ApiError::bad_request("the body's namespace is not the path's"));
        }
    }
    let request =
        ApplyRequest { source: "request".into(), text: object.to_string(), create_only: true };
    let applied = on.backend.apply(request).await?;
    let name = applied.first().map(|a| a.name.clone()).unwrap_or_default();
    Ok(reply::json(201, &get(&on.backend, kind, &namespace, &name).await?))
}

/// Reads a JSON body within the limits; no body reads as `null`.
async fn read<B, T: DeserializeOwned>(on: &Answering<B>, body: Incoming) -> Result<T, ApiError> {
    if body.size_hint().lower() > BODY_MAX_BYTES as u64 {
        return Err(ApiError::too_large(BODY_MAX_BYTES));
    }
    let patience = Duration::from_millis(on.limits.request_ms);
    let collected = tokio::time::timeout(patience, Limited::new(body, BODY_MAX_BYTES).collect());
    let bytes = match collected.await {
        Err(_) => return Err(ApiError::timeout("the request's body did not arrive in time")),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(ApiError::too_large(BODY_MAX_BYTES));
        }
        Ok(Err(error)) => return Err(ApiError::bad_request(format!("reading the body: {error}"))),
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(text)
        .map_err(|error| ApiError::bad_request(format!("the body is not as expected: {error}")))
}
