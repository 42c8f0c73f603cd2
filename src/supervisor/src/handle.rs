//! How the rest of the program speaks to the loop: by requests, each with its answer.
//!
//! A [`Handle`] may be cloned and used from any thread; the loop answers in its own time, one
//! request after the other. It holds no state of its own.

use std::path::PathBuf;

use pod::Object;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Error;
use crate::event::Event;

/// The result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// Requests that may wait for the loop; who comes later waits to ask.
pub(crate) const QUEUE: usize = 256;

/// A pod, as asked for and as it is.
#[derive(Clone, Debug)]
pub struct PodView {
    /// The object, with the supervisor's metadata.
    pub pod: pod::Pod,
    /// Its `status`, as Kubernetes serves it.
    pub status: Value,
}

/// A Deployment, as asked for and as it is.
#[derive(Clone, Debug)]
pub struct DeploymentView {
    /// The object, with the supervisor's metadata.
    pub deployment: pod::Deployment,
    /// Its `status`, as Kubernetes serves it.
    pub status: Value,
}

/// What an apply did to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Created,
    /// It is changed.
    Configured,
    /// It was so already.
    Unchanged,
}

/// One object of an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What was done.
    pub outcome: Outcome,
}

/// Where processes of a running container are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecTarget {
    /// The monitor's socket.
    pub socket: PathBuf,
    /// The runtime's id of the container.
    pub id: String,
    /// Its name in the pod.
    pub container: String,
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownMode {
    /// Delete everything first; else the pods go on without a supervisor.
    pub stop_pods: bool,
    /// Stop them only: the objects stay in the database, and come back at the next start. The first
    /// request that stops pods decides about it.
    pub keep_objects: bool,
    /// Seconds that replace the pods' own grace.
    pub grace: Option<u64>,
}

/// An object by kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A container of a pod; the pod's first one when it is not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: Option<String>,
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// What can be asked.
#[derive(Debug)]
pub(crate) enum Request {
    Pods(Reply<Vec<PodView>>),
    Deployments(Reply<Vec<DeploymentView>>),
    Secrets(Reply<Vec<pod::manifest::Secret>>),
    Events(Reply<Vec<Event>>),
    Apply(Vec<Object>, Reply<Vec<Applied>>),
    Delete(Place, Option<u64>, Reply<()>),
    Scale(Place, u32, Reply<()>),
    Exec(Member, Reply<ExecTarget>),
    Log(Member, bool, Reply<PathBuf>),
    Status(Reply<Value>),
    Shutdown(ShutdownMode, Reply<()>),
}

/// The way to a running supervisor.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    version: watch::Receiver<u64>,
}

impl Handle {
    pub(crate) fn new(requests: mpsc::Sender<Request>, version: watch::Receiver<u64>) -> Handle {
        Handle { requests, version }
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request + Send) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Error::Ended)?;
        answer.await.map_err(|_| Error::Ended)?
    }

    /// The resource version: it changes whenever something that can be listed has changed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.clone()
    }

    /// All pods.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn list_pods(&self) -> Result<Vec<PodView>> {
        self.ask(Request::Pods).await
    }

    /// All Deployments.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn list_deployments(&self) -> Result<Vec<DeploymentView>> {
        self.ask(Request::Deployments).await
    }

    /// All Secrets, with their values.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn list_secrets(&self) -> Result<Vec<pod::manifest::Secret>> {
        self.ask(Request::Secrets).await
    }

    /// What happened, the latest last.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn events(&self) -> Result<Vec<Event>> {
        self.ask(Request::Events).await
    }

    /// Makes objects be as given, all or none; they are durable when this returns.
    ///
    /// # Errors
    /// [`Error::Deleting`], [`Error::Memory`], [`Error::Stopping`], [`Error::Ended`].
    pub async fn apply(&self, objects: Vec<Object>) -> Result<Vec<Applied>> {
        self.ask(|reply| Request::Apply(objects, reply)).await
    }

    /// Asks for the end of an object; `grace` in seconds replaces its own.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Memory`], [`Error::Ended`].
    pub async fn delete(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        grace: Option<u64>,
    ) -> Result<()> {
        let place = Place { kind: kind.into(), namespace: namespace.into(), name: name.into() };
        self.ask(|reply| Request::Delete(place, grace, reply)).await
    }

    /// Sets the replicas of a Deployment.
    ///
    /// # Errors
    /// As [`Handle::apply`], and [`Error::NotFound`].
    pub async fn scale(&self, namespace: &str, name: &str, replicas: u32) -> Result<()> {
        let kind = "Deployment".to_owned();
        let place = Place { kind, namespace: namespace.into(), name: name.into() };
        self.ask(|reply| Request::Scale(place, replicas, reply)).await
    }

    /// Where processes of a running container are started.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NoContainer`], [`Error::NotRunning`], [`Error::Ended`].
    pub async fn exec_target(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
    ) -> Result<ExecTarget> {
        let member = Member::new(namespace, pod, container);
        self.ask(|reply| Request::Exec(member, reply)).await
    }

    /// The log file of a container's latest attempt, or of the one before.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NoContainer`], [`Error::NoPrevious`], [`Error::Ended`].
    pub async fn log_path(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        previous: bool,
    ) -> Result<PathBuf> {
        let member = Member::new(namespace, pod, container);
        self.ask(|reply| Request::Log(member, previous, reply)).await
    }

    /// The supervisor's own state.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn status(&self) -> Result<Value> {
        self.ask(Request::Status).await
    }

    /// Ends the supervisor; returns once that is done, the pods first if they are to be stopped.
    ///
    /// # Errors
    /// [`Error::Left`]; [`Error::Ended`] when it had ended already.
    pub async fn shutdown(&self, mode: ShutdownMode) -> Result<()> {
        self.ask(|reply| Request::Shutdown(mode, reply)).await
    }
}

impl Member {
    fn new(namespace: &str, pod: &str, container: Option<&str>) -> Member {
        Member {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.map(str::to_owned),
        }
    }
}
