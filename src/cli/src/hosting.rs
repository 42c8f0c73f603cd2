//! A supervisor: the one that answers, one in a thread of this process, or one in the background.
//!
//! A hosted supervisor lives on its own thread and its own runtime; the verb that hosts it speaks
//! to it through the API's socket like anyone else. Its end is told by [`Hosted::ended`]. Another
//! process may start or end one meanwhile: the lock decides.

mod background;
mod notify;
mod told;
mod wake;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::supervised::Supervised;
use api::{Client, ClientError, Limits, Server};
use supervisor::{Handle, Options, Paths, ShutdownMode};
use tokio::sync::{oneshot, watch};

use crate::failure::Failure;
use crate::settings::Settings;

pub(crate) use background::serve as serve_until_told;
pub use background::spawn;
pub use told::Told;

/// Exit code of a supervisor that finds another one at work.
pub const LOCKED: u8 = 100;

/// How long another supervisor may take to answer once it holds the lock.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two attempts, milliseconds.
const RETRY_MS: u64 = 20;

/// A supervisor in a thread of this process.
#[derive(Debug)]
pub struct Hosted {
    thread: Option<JoinHandle<()>>,
    ended: oneshot::Receiver<Result<(), Failure>>,
}

impl Hosted {
    /// Waits for its end.
    ///
    /// # Errors
    /// Why it ended other than by order.
    pub async fn ended(&mut self) -> Result<(), Failure> {
        let ended = (&mut self.ended).await;
        if let Some(thread) = self.thread.take() {
            // Its result has come; what is left is its last instruction.
            let _ = thread.join();
        }
        ended.unwrap_or_else(|_| Err(Failure::new("supervise", "the supervisor's thread died")))
    }
}

/// How a supervisor was reached.
#[derive(Debug)]
pub enum Reached {
    /// One answers already.
    Running,
    /// One is hosted here, from now on.
    Here(Hosted),
}

/// Whether a supervisor answers.
///
/// # Errors
/// The socket is there and cannot be used: permissions.
pub async fn answers(client: &Client) -> Result<bool, Failure> {
    match client.version().await {
        Ok(_) => Ok(true),
        Err(ClientError::Unreachable { source, path }) => match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Ok(false),
            _ => {
                let error = ClientError::Unreachable { source, path };
                Err(Failure::api("reach the supervisor", &error))
            }
        },
        Err(ClientError::Broken(_)) => Ok(false),
        Err(error) => Err(Failure::api("reach the supervisor", &error)),
    }
}

/// Reaches a supervisor: the one that answers, else one hosted here. Another process may be
/// starting or ending one meanwhile: the lock decides, and it is tried again.
///
/// # Errors
/// Neither is possible.
pub async fn reach(settings: &Settings) -> Result<Reached, Failure> {
    let client = settings.client();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if answers(&client).await? {
            return Ok(Reached::Running);
        }
        match host(settings).await {
            Ok(hosted) => return Ok(Reached::Here(hosted)),
            Err(failure) if failure.code == LOCKED && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Hosts a supervisor in a thread; returns once it answers.
///
/// # Errors
/// It cannot start; exit code [`LOCKED`] when another one is at work.
async fn host(settings: &Settings) -> Result<Hosted, Failure> {
    let (ready, is_ready) = oneshot::channel();
    let (end, mut ended) = oneshot::channel();
    let settings = settings.clone();
    let thread = std::thread::Builder::new().name("supervisor".into()).spawn(move || {
        let result = serve(&settings, |_| {
            // Whoever waited may have given up.
            let _ = ready.send(());
        });
        let _ = end.send(result);
    });
    let thread = thread.map_err(|error| Failure::of("start a supervisor", &error))?;
    match is_ready.await {
        Ok(()) => Ok(Hosted { thread: Some(thread), ended }),
        Err(_) => {
            let result = (&mut ended).await;
            let died = || Err(Failure::new("supervise", "the supervisor's thread died"));
            match result.unwrap_or_else(|_| died()) {
                Err(failure) => Err(failure),
                Ok(()) => Err(Failure::new("supervise", "the supervisor ended at once")),
            }
        }
    }
}

/// Supervises in this thread until told to end; `ready` is called once the API answers.
///
/// # Errors
/// It cannot start, or it failed.
pub fn serve(settings: &Settings, ready: impl FnOnce(Handle)) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::of("serve", &error);
    sys::malloc::share_heaps();
    make_private(&settings.state, "serve")?;
    let options = options(settings)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let served = runtime.block_on(async {
        let (stop, stopping) = watch::channel(false);
        let started: Arc<Mutex<Started>> = Arc::default();
        let slot = Arc::clone(&started);
        let socket = settings.socket();
        let result = supervisor::serve(options, move |handle| {
            let begun = match Server::bind(&socket, Limits::default()) {
                Ok(server) => {
                    let backend = Supervised::new(handle.clone());
                    let task = tokio::spawn(server.run(backend, wake::watch_folder, stopping));
                    ready(handle);
                    Started { task: Some(task), failure: None }
                }
                Err(error) => {
                    tokio::spawn(async move { leave(&handle).await });
                    let failure = Failure::of("serve", &error);
                    Started { task: None, failure: Some(failure) }
                }
            };
            *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = begun;
        })
        .await;
        // Nobody is left to hear when the server has ended by itself.
        let _ = stop.send(true);
        let begun =
            std::mem::take(&mut *started.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if let Some(task) = begun.task {
            let _ = task.await;
        }
        match begun.failure {
            Some(failure) => Err(failure),
            None => result.map_err(|error| refused(&error)),
        }
    });
    runtime.shutdown_background();
    served
}

/// What the callback of a start leaves.
#[derive(Default)]
struct Started {
    task: Option<tokio::task::JoinHandle<()>>,
    failure: Option<Failure>,
}

/// The supervisor's own error in our form.
fn refused(error: &supervisor::Error) -> Failure {
    let code = if matches!(error, supervisor::Error::Locked { .. }) { LOCKED } else { 1 };
    Failure::of("serve", error).hint_maybe(error.hint()).code(code)
}

/// Makes a folder that only its owner can enter.
fn make_private(path: &std::path::Path, what: &str) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        Failure::of(format!("{what}: make {}", path.display()), &error)
            .hint("choose another folder: --state")
    })
}

fn options(settings: &Settings) -> Result<Options, Failure> {
    let mut options = Options::new(Paths {
        root: settings.root.clone(),
        state: settings.state.clone(),
        log_dir: settings.log_dir.clone(),
    });
    options.cgroup_parent.clone_from(&settings.cgroup_parent);
    let net_defaults = options.net.clone();
    if let Some(bridge) = &settings.bridge {
        options.net.bridge.clone_from(bridge);
        // Two podvisors on one host differ in their bridges: neither clears the other's rules.
        if *bridge != net_defaults.bridge {
            options.net.table.clone_from(bridge);
        }
    }
    if let Some(subnet) = &settings.subnet {
        options.net.subnet = subnet.parse().map_err(|_| {
            Failure::new("serve", format!("--subnet {subnet} is no IPv4 network"))
                .hint("10.77.0.0/16")
                .code(2)
        })?;
    }
    Ok(options)
}

/// Ends the supervisor and leaves its pods running.
async fn leave(handle: &Handle) {
    let mode = ShutdownMode { stop_pods: false, keep_objects: false, grace: None };
    // One that has ended already is what is wanted.
    let _ = handle.shutdown(mode).await;
}

/// Listens for what tells this process to end.
///
/// # Errors
/// As [`Told::new`].
pub(crate) fn listen(what: &str) -> Result<Told, Failure> {
    Told::new().map_err(|error| Failure::of(format!("{what}: listen for signals"), &error))
}
