//! The client: one connection a request, over the same socket.
//!
//! A failure is either the socket's ([`ClientError::Unreachable`]: no supervisor answers), the
//! server's own words ([`ClientError::Refused`]), or a broken conversation. It never retries.

mod stream;

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::backend::Target;
use crate::error::ApiError;
use crate::route::{LogOptions, encode};
use crate::wire::{
    Applied, ApplyAnswer, ApplyRequest, ExecTarget, Kind, List, Scale, ScaleSpec, ShutdownRequest,
    Status, Version,
};

pub use stream::{Lines, WatchStream};

/// Longest whole answer, bytes.
const ANSWER_MAX_BYTES: usize = 256 * 1024 * 1024;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("cannot reach a supervisor at {}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The server refused.
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    /// The conversation broke off.
    #[error("the supervisor broke the conversation off: {0}")]
    Broken(String),
}

impl ClientError {
    /// What to try next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ClientError::Unreachable { source, .. } => Some(match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    "the supervisor belongs to root: try sudo".into()
                }
                _ => "start one with 'podvisor serve' or 'podvisor up -d -f FILE'".into(),
            }),
            ClientError::Refused(status) => status.hint.clone(),
            ClientError::Broken(_) => {
                Some("it may have ended or been killed; its pods go on: podvisor serve".into())
            }
        }
    }

    /// The server's reason, as in `NotFound`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            ClientError::Refused(status) => Some(&status.reason),
            ClientError::Unreachable { .. } | ClientError::Broken(_) => None,
        }
    }
}

impl From<ApiError> for ClientError {
    fn from(error: ApiError) -> ClientError {
        ClientError::Refused(Box::new(error.status()))
    }
}

/// Speaks to one supervisor.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Which objects to list or watch.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one namespace, or of all.
    pub namespace: Option<String>,
    /// Of one name.
    pub name: Option<String>,
    /// Label selector.
    pub labels: Option<String>,
}

impl Filter {
    fn path(&self, kind: Kind, watch: bool) -> String {
        let mut path = kind.list_path(self.namespace.as_deref().map(encode).as_deref());
        let mut sign = '?';
        let mut add = |name: &str, value: String| {
            path.push_str(&format!("{sign}{name}={value}"));
            sign = '&';
        };
        if watch {
            add("watch", "1".into());
        }
        if let Some(name) = &self.name {
            add("fieldSelector", encode(&format!("metadata.name={name}")));
        }
        if let Some(labels) = &self.labels {
            add("labelSelector", encode(labels));
        }
        path
    }
}

impl Client {
    /// A client of the supervisor that listens on `socket`; connects only when asked something.
    #[must_use]
    pub fn new(socket: &Path) -> Client {
        Client { socket: socket.to_path_buf() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Who answers.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.get_json("/version").await
    }

    /// Objects of a kind, sorted by place.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn list(&self, kind: Kind, filter: &Filter) -> Result<List, ClientError> {
        self.get_json(&filter.path(kind, false)).await
    }

    /// One object.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn get(&self, kind: Kind, ns: &str, name: &str) -> Result<Value, ClientError> {
        self.get_json(&object_path(kind, ns, name)).await
    }

    /// A watch from a fresh list on.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn watch(&self, kind: Kind, filter: &Filter) -> Result<WatchStream, ClientError> {
        let path = filter.path(kind, true);
        Ok(WatchStream::new(self.stream(&path).await?))
    }

    /// Stores a manifest.
    ///
    /// # Errors
    /// [`ClientError`]; findings of the manifest are in the status' causes.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<Vec<Applied>, ClientError> {
        let answer: ApplyAnswer =
            self.call(Method::POST, "/podvisor/v1/apply", Some(request)).await?;
        Ok(answer.applied)
    }

    /// Asks for an object's end.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delete(
        &self,
        kind: Kind,
        ns: &str,
        name: &str,
        grace_seconds: Option<u64>,
    ) -> Result<(), ClientError> {
        let mut path = object_path(kind, ns, name);
        if let Some(grace) = grace_seconds {
            path.push_str(&format!("?gracePeriodSeconds={grace}"));
        }
        let _: Status = self.call(Method::DELETE, &path, None::<&()>).await?;
        Ok(())
    }

    /// Sets the replicas of a Deployment.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn scale(&self, ns: &str, name: &str, replicas: u32) -> Result<(), ClientError> {
        let path = format!("{}/scale", object_path(Kind::Deployments, ns, name));
        let _: Scale =
            self.call(Method::PUT, &path, Some(&Scale { spec: ScaleSpec { replicas } })).await?;
        Ok(())
    }

    /// Where processes of a container are started.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn exec_target(&self, target: &Target) -> Result<ExecTarget, ClientError> {
        let mut path = format!("{}/exec", target_path(target));
        if let Some(container) = &target.container {
            path.push_str(&format!("?container={}", encode(container)));
        }
        self.get_json(&path).await
    }

    /// A container's log.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn logs(&self, target: &Target, options: &LogOptions) -> Result<Lines, ClientError> {
        let mut query = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            query.extend(value.map(|v| format!("{name}={}", encode(&v))));
        };
        let flag = |set: bool| set.then(|| "1".to_owned());
        add("container", target.container.clone());
        add("follow", flag(options.follow));
        add("previous", flag(options.previous));
        add("timestamps", flag(options.timestamps));
        add("tailLines", options.tail.map(|n| n.to_string()));
        add("sinceSeconds", options.since_seconds.map(|n| n.to_string()));
        add("limitBytes", options.limit_bytes.map(|n| n.to_string()));
        add("format", options.raw.then(|| "cri".to_owned()));
        self.stream(&format!("{}/log?{}", target_path(target), query.join("&"))).await
    }

    /// The supervisor's own state.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn status(&self) -> Result<Value, ClientError> {
        self.get_json("/podvisor/v1/status").await
    }

    /// Ends the supervisor; returns once its process (or its host's server) has closed the
    /// connection, which it does last.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn shutdown(&self, request: &ShutdownRequest) -> Result<(), ClientError> {
        let (response, connection) =
            self.send(Method::POST, "/podvisor/v1/shutdown", Some(request)).await?;
        let _: Status = whole(response).await?;
        let _ = connection.await;
        Ok(())
    }

    async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    async fn stream(&self, path: &str) -> Result<Lines, ClientError> {
        let (response, _) = self.send(Method::GET, path, None::<&()>).await?;
        Ok(Lines::new(response.into_body()))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let (response, _) = self.send(method, path, body).await?;
        whole(response).await
    }

    /// Sends a request; a failure's body has become the error.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(Response<Incoming>, JoinHandle<()>), ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Unreachable { path: self.socket.clone(), source })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let connection = tokio::spawn(async move {
            // How it ended shows in the request's result.
            let _ = connection.await;
        });
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| broken(&error))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "podvisor")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        if response.status().is_success() {
            return Ok((response, connection));
        }
        let status: Status = whole(response).await?;
        Err(ClientError::Refused(Box::new(status)))
    }
}

fn object_path(kind: Kind, ns: &str, name: &str) -> String {
    format!("{}/{}", kind.list_path(Some(&encode(ns))), encode(name))
}

fn target_path(target: &Target) -> String {
    object_path(Kind::Pods, &target.namespace, &target.pod)
}

fn broken(error: &dyn std::error::Error) -> ClientError {
    ClientError::Broken(crate::error::chain(error))
}

async fn whole<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let body = http_body_util::Limited::new(response.into_body(), ANSWER_MAX_BYTES);
    let bytes = body.collect().await.map_err(|e| ClientError::Broken(e.to_string()))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| broken(&error))
}
