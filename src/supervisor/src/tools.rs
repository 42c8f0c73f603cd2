//! What the executor works with: doors to images, network and monitors, and its bounds.
//!
//! Blocking work runs on the runtime's threads, a few at a time. Waiting for a monitor is not
//! blocking work, so one that is stuck holds no thread.

use std::path::PathBuf;
use std::sync::Arc;

use oci::IdRange;
use pod::Pod;
use tokio::sync::{Semaphore, mpsc};

use crate::act::Pulls;
use crate::children::Children;
use crate::error::Error;
use crate::host::Host;
use crate::link::Subject;
use crate::news::News;
use crate::options::Options;
use crate::ports::Ports;
use crate::volumes::Keep;

/// Blocking pieces of work at a time.
const BLOCKING: usize = 12;
/// Sandboxes being made at a time.
const STARTING: usize = 32;

/// Shared by all actions.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) options: Options,
    pub(crate) host: Host,
    pub(crate) images: image::Store,
    pub(crate) network: net::Network,
    pub(crate) ports: Ports,
    pub(crate) children: Children,
    pub(crate) news: mpsc::UnboundedSender<News>,
    pub(crate) pulls: Pulls,
    blocking: Semaphore,
    /// Bounds a storm of starts.
    pub(crate) starting: Semaphore,
}

impl Tools {
    /// Opens images and network.
    ///
    /// # Errors
    /// [`Error::Images`], [`Error::Network`].
    pub(crate) fn open(
        options: Options,
        news: mpsc::UnboundedSender<News>,
    ) -> Result<Tools, Error> {
        Ok(Tools {
            images: image::Store::open(&options.paths.root).map_err(Error::Images)?,
            network: net::Network::open(options.net.clone()).map_err(Error::Network)?,
            host: Host::read(),
            ports: Ports::default(),
            children: Children::default(),
            pulls: Pulls::default(),
            blocking: Semaphore::new(BLOCKING),
            starting: Semaphore::new(STARTING),
            options,
            news,
        })
    }

    /// Does blocking work on another thread, when its turn has come.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Tools>,
        work: impl FnOnce(&Tools) -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed; without a permit the work is done all the same.
        let _permit = self.blocking.acquire().await;
        self.at_once(work).await
    }

    /// Does blocking work that is short and must not wait behind what may be long.
    pub(crate) async fn at_once<T: Send + 'static>(
        self: &Arc<Tools>,
        work: impl FnOnce(&Tools) -> T + Send + 'static,
    ) -> T {
        let tools = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&tools)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and with it whoever waits.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Tells the loop; one that has ended needs no news.
    pub(crate) fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }

    /// Where the files of a pod are, and what is its own on the host.
    pub(crate) fn subject(&self, uid: &str, pod: &Arc<Pod>, ids: Option<IdRange>) -> Subject {
        Subject {
            ids: ids.filter(|_| pod.spec.host_users == Some(false)),
            uid: uid.to_owned(),
            pod: Arc::clone(pod),
            pod_dir: self.options.paths.pod(uid),
            volumes_dir: self.options.paths.volumes_of(uid),
            log_dir: self.log_dir(pod, uid),
        }
    }

    /// Whether more of a pod's volumes is there than is to be kept.
    pub(crate) fn holds_volumes(&self, uid: &str, keep: Keep) -> bool {
        let paths = &self.options.paths;
        let in_memory = || paths.pod(uid).exists();
        match keep {
            Keep::All => false,
            Keep::OnDisk => in_memory(),
            Keep::Nothing => in_memory() || paths.volumes_of(uid).exists(),
        }
    }

    /// The folder of a pod's logs, as CRI has it.
    pub(crate) fn log_dir(&self, pod: &Pod, uid: &str) -> PathBuf {
        let meta = &pod.metadata;
        self.options.paths.log_dir.join(format!("{}_{}_{uid}", meta.namespace(), meta.name))
    }
}
