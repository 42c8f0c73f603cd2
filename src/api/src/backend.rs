//! What the server needs of a supervisor.
//!
//! Level-triggered: [`Backend::changes`] only wakes; a fresh list tells what is. The list's objects
//! are whole Kubernetes objects with `apiVersion`, `kind`, `metadata` and `status`.

use std::future::Future;
use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::watch;

use crate::error::ApiError;
use crate::wire::{Applied, ApplyRequest, ExecTarget, Kind, ShutdownRequest};

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container; the pod's only or first one when absent.
    pub container: Option<String>,
}

/// The supervisor, as the API sees it. Clones speak to the same one.
pub trait Backend: Clone + Send + Sync + 'static {
    /// The resource version, now and whenever it changes.
    fn changes(&self) -> watch::Receiver<u64>;
    /// Every object of a kind, in any order.
    fn list(&self, kind: Kind) -> impl Future<Output = Result<Vec<Value>, ApiError>> + Send;
    /// Parses, validates and stores a manifest, whole or not at all.
    fn apply(
        &self,
        request: ApplyRequest,
    ) -> impl Future<Output = Result<Vec<Applied>, ApiError>> + Send;
    /// Asks for an object's end; `grace_seconds` replaces the pod's own.
    fn delete(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        grace_seconds: Option<u64>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;
    /// Sets the replicas of a Deployment.
    fn scale(
        &self,
        namespace: &str,
        name: &str,
        replicas: u32,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;
    /// Where processes of a running container are started.
    fn exec_target(
        &self,
        target: Target,
    ) -> impl Future<Output = Result<ExecTarget, ApiError>> + Send;
    /// The log file of the current attempt, or of the one before.
    fn log_path(
        &self,
        target: Target,
        previous: bool,
    ) -> impl Future<Output = Result<PathBuf, ApiError>> + Send;
    /// The supervisor's own state.
    fn status(&self) -> impl Future<Output = Result<Value, ApiError>> + Send;
    /// Ends the supervisor; returns once the pods have stopped, if they are to.
    fn shutdown(
        &self,
        request: ShutdownRequest,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;
}
