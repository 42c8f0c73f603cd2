//! A supervisor of the tests: a table of objects, a version, a folder of logs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use api::backend::{Backend, Target};
use api::wire::{Applied, ApplyRequest, ExecTarget, Kind, ShutdownRequest};
use api::{ApiError, Client, Limits, Server};
use serde_json::{Value, json};
use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct Fake {
    pods: Arc<Mutex<Vec<Value>>>,
    version: Arc<watch::Sender<u64>>,
    pub(crate) folder: Arc<scope::Folder>,
}

impl Fake {
    /// Changes the pods and tells so.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<Value>)) {
        change(&mut self.pods.lock().unwrap());
        self.version.send_modify(|version| *version += 1);
    }
}

pub(crate) fn pod(name: &str, state: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": name}},
        "status": {"containerStatuses": [{"name": "main", "restartCount": 0, "state": state}]},
    })
}

impl Backend for Fake {
    fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Value>, ApiError> {
        Ok(if kind == Kind::Pods { self.pods.lock().unwrap().clone() } else { Vec::new() })
    }

    async fn apply(&self, request: ApplyRequest) -> Result<Vec<Applied>, ApiError> {
        let object: Value = serde_json::from_str(&request.text)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.change(|pods| pods.push(object));
        Ok(vec![Applied {
            kind: "Pod".into(),
            namespace: "default".into(),
            name,
            outcome: "created".into(),
        }])
    }

    async fn delete(&self, _: Kind, _: &str, name: &str, _: Option<u64>) -> Result<(), ApiError> {
        self.change(|pods| pods.retain(|pod| pod["metadata"]["name"] != name));
        Ok(())
    }

    async fn scale(&self, _: &str, name: &str, _: u32) -> Result<(), ApiError> {
        Err(ApiError::not_found(format!("deployment \"{name}\" not found")).hint("get deployments"))
    }

    async fn exec_target(&self, target: Target) -> Result<ExecTarget, ApiError> {
        let socket = self.folder.join("monitor.sock");
        let container = target.container.unwrap_or_default();
        Ok(ExecTarget { socket, id: "uid.main.0".into(), container, process: json!({}) })
    }

    async fn log_path(&self, _: Target, previous: bool) -> Result<PathBuf, ApiError> {
        Ok(self.folder.join(if previous { "0.log" } else { "1.log" }))
    }

    async fn status(&self) -> Result<Value, ApiError> {
        Ok(json!({"pods": self.pods.lock().unwrap().len()}))
    }

    async fn shutdown(&self, _: ShutdownRequest) -> Result<(), ApiError> {
        Ok(())
    }
}

/// A server in a folder of its own; both go with it.
pub(crate) struct Running {
    pub(crate) fake: Fake,
    pub(crate) client: Client,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(crate) fn new(name: &str, limits: Limits) -> Running {
        let folder = Arc::new(scope::Folder::new(name));
        let (version, _) = watch::channel(1);
        let fake = Fake { pods: Arc::default(), version: Arc::new(version), folder };
        let socket = fake.folder.join("podvisor.sock");
        let server = Server::bind(&socket, limits).unwrap();
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(server.run(fake.clone(), woken_by_ticks, stopping));
        Running { client: Client::new(&socket), fake, stop, task }
    }
}

struct Ticks;

impl api::logs::Changes for Ticks {
    fn changed(
        &mut self,
    ) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + '_>> {
        Box::pin(async {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            Ok(())
        })
    }
}

/// Early wakes are allowed, so a clock does for tests; inotify is tested where it is used.
fn woken_by_ticks(_: &std::path::Path) -> std::io::Result<Box<dyn api::logs::Changes>> {
    Ok(Box::new(Ticks))
}
