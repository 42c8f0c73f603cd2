//! A supervisor from its lock to its end: what is done once, and the loop between.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pod::{Action, Reason};
use sys::folder::Folder;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::handle::{Handle, QUEUE, Reply, Request};
use crate::lock::StateLock;
use crate::news::News;
use crate::options::Options;
use crate::store::Store;
use crate::talk::wait_on;
use crate::tools::Tools;
use crate::world::{PodEntry, World};
use crate::{ending, recover};

/// Time that adoption gets before people are answered; what takes longer goes on meanwhile.
const ADOPTION: Duration = Duration::from_secs(3);
/// Removals of a pod that are tried before an end goes on without.
const TRIES: u32 = 3;

/// The loop's owner of everything.
pub(crate) struct Supervisor {
    pub(crate) tools: Arc<Tools>,
    pub(crate) store: Arc<Store>,
    pub(crate) world: World,
    /// The resource version, as told to readers.
    pub(crate) version: watch::Sender<u64>,
    /// Number of the latest subscribed connection.
    pub(crate) links: u64,
    /// Pods that nobody wants and that are not gone yet, by uid.
    pub(crate) orphans: BTreeMap<String, Orphan>,
    /// Work that nobody waits for but the end.
    pub(crate) chores: JoinSet<()>,
    /// Why the database could not be written last.
    pub(crate) storage_error: Option<String>,
    /// When it is tried again.
    pub(crate) storage_retry_at: Option<u64>,
    /// What of the database was lost.
    pub(crate) salvage: Option<String>,
    pub(crate) started_unix_ms: u64,
    /// The end was asked for.
    pub(crate) ending: Option<Ending>,
}

/// What is left of a pod that nobody wants.
#[derive(Debug, Default)]
pub(crate) struct Orphan {
    /// Failed removals.
    pub(crate) failures: u32,
    /// What stands against it.
    pub(crate) words: String,
}

/// An end that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Pods are deleted first.
    pub(crate) stop_pods: bool,
    /// The database stays as it was when the end began; what goes, goes in memory alone.
    pub(crate) keep_objects: bool,
    /// Pods go on without a supervisor.
    pub(crate) leave: bool,
    /// Until then, actions under way may come to their end.
    pub(crate) leave_at: u64,
    /// Who waits for it.
    pub(crate) replies: Vec<Reply<()>>,
}

/// What the loop waits for.
struct Inbox {
    news: mpsc::UnboundedReceiver<News>,
    requests: mpsc::Receiver<Request>,
    ended_children: Signal,
    /// The image store's folder, and its descriptor to wait for.
    images: Folder,
    images_ready: AsyncFd<OwnedFd>,
}

/// Supervises until it is told to end through the [`Handle`], which `on_ready` gets once what runs
/// has been adopted. To be called on a current-thread runtime with all of tokio's drivers.
///
/// # Errors
/// It cannot start ([`Error::Locked`], [`Error::Memory`] and others), or it could not remove
/// everything at its end ([`Error::Left`]).
pub async fn serve(options: Options, on_ready: impl FnOnce(Handle)) -> Result<(), Error> {
    let state = options.paths.state.clone();
    private_folder(&state)?;
    log_folder(&options.paths.log_dir)?;
    let lock = StateLock::take(&state)?;
    let opened = Store::open(&options.paths.root)?;
    let (sender, news) = mpsc::unbounded_channel();
    let tools = Arc::new(Tools::open(options, sender)?);
    let (requester, requests) = mpsc::channel(QUEUE);
    let mut inbox = Inbox::open(&tools, news, requests)?;
    let world = recover::world(&tools, opened.saved, opened.salvage.is_some())?;
    let (version, versions) = watch::channel(world.version);
    let mut supervisor = Supervisor {
        tools,
        store: Arc::new(opened.store),
        world,
        version,
        links: 0,
        orphans: BTreeMap::new(),
        chores: JoinSet::new(),
        storage_error: None,
        storage_retry_at: None,
        salvage: opened.salvage,
        started_unix_ms: crate::host::unix_ms(),
        ending: None,
    };
    supervisor.adopt_all().await;
    let adopted = supervisor.first_look(&mut inbox);
    // The rest is taken in by the loop.
    let _ = tokio::time::timeout(ADOPTION, adopted).await;
    supervisor.turn().await;
    on_ready(Handle::new(requester.clone(), versions));
    supervisor.run(&mut inbox).await;
    // Later requests are told that it has ended.
    drop((inbox, requester));
    ending::end(supervisor, lock).await
}

impl Supervisor {
    /// Hears until what was found has been adopted.
    async fn first_look(&mut self, inbox: &mut Inbox) {
        while !self.has_adopted_all() {
            if let Some(news) = inbox.news.recv().await {
                self.hear(news);
            }
        }
    }

    /// The loop.
    async fn run(&mut self, inbox: &mut Inbox) {
        loop {
            self.turn().await;
            if self.is_over() {
                // What was asked before the end gets its answer.
                let Ok(request) = inbox.requests.try_recv() else { return };
                self.answer(request).await;
                continue;
            }
            let due = self.next_due();
            tokio::select! {
                Some(news) = inbox.news.recv() => {
                    self.hear(news);
                    // A burst is decided about at once.
                    while let Ok(more) = inbox.news.try_recv() {
                        self.hear(more);
                    }
                }
                Some(request) = inbox.requests.recv() => self.answer(request).await,
                () = until(due) => {}
                _ = inbox.ended_children.recv() => {
                    self.tools.children.reap();
                }
                changed = changed(&inbox.images, &inbox.images_ready) => if changed {
                    self.images_changed();
                },
                Some(_) = self.chores.join_next() => {}
            }
        }
    }

    /// The supervisor ends and its pods go on: nothing new is begun.
    pub(crate) fn is_leaving(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.leave)
    }

    /// The supervisor ends and its objects stay: nothing is written any more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.keep_objects)
    }

    /// The end was asked for, and nothing is left that is worth waiting for.
    fn is_over(&self) -> bool {
        let world = &self.world;
        let Some(ending) = &self.ending else { return false };
        if ending.leave {
            let idle = |entry: &PodEntry| {
                entry.in_flight.iter().all(|action| matches!(action, Action::Probe { .. }))
            };
            return world.pods.values().all(idle) || sys::clock::boot_ms() >= ending.leave_at;
        }
        let stuck = |entry: &PodEntry| {
            let problem = entry.memory.sandbox.problem.as_ref();
            problem.is_some_and(|problem| {
                problem.reason == Reason::KillPodSandboxError && problem.failures >= TRIES
            })
        };
        world.pods.values().all(stuck)
            && self.orphans.values().all(|orphan| orphan.failures >= TRIES)
            && (world.deployments.is_empty() || !world.pods.is_empty())
    }
}

impl Inbox {
    fn open(
        tools: &Tools,
        news: mpsc::UnboundedReceiver<News>,
        requests: mpsc::Receiver<Request>,
    ) -> Result<Inbox, Error> {
        let path = tools.options.paths.image_layout();
        let failed = |source| Error::File { action: "watch", path: path.clone(), source };
        let images = Folder::watch(&path).map_err(failed)?;
        let ready = images.as_fd().try_clone_to_owned().and_then(wait_on).map_err(failed)?;
        let ended_children = signal(SignalKind::child()).map_err(Error::Signals)?;
        Ok(Inbox { news, requests, ended_children, images, images_ready: ready })
    }
}

/// Waits until the folder has changed; false for a false alarm.
async fn changed(folder: &Folder, ready: &AsyncFd<OwnedFd>) -> bool {
    match ready.readable().await {
        Ok(mut guard) => {
            guard.clear_ready();
            folder.drain().unwrap_or(false)
        }
        // Without it images are found by the next try of their back-off.
        Err(_) => std::future::pending().await,
    }
}

/// Waits until CLOCK_BOOTTIME is `due`, for ever without.
async fn until(due: Option<u64>) {
    match due {
        Some(due) => {
            let left = due.saturating_sub(sys::clock::boot_ms());
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
        None => std::future::pending().await,
    }
}

/// The folder of all logs, which others may read: without it what pods say would be lost.
fn log_folder(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { action: "make", path: path.to_path_buf(), source };
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed)
}

/// Makes a folder that only its owner can enter, and those above it.
fn private_folder(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { action: "make", path: path.to_path_buf(), source };
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}
