//! Ending a build from another thread, at any moment, and sweeping up after those that were killed.
//!
//! Between two steps nothing of a build is anywhere but in its staging folders: it may simply end.
//! While commands run, their containers have to be removed: [`Interrupt::tell`] does it, and the
//! build ends itself. A build's folder of containers is locked (flock) while it lives.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{At, Error, Result};

/// How often a container that is just being made, or what somebody else holds, is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// signal(7).
const SIGKILL: i32 = 9;
/// Most output that is kept of a program, bytes.
const OUTPUT_MAX: u64 = 1 << 20;

/// What runs for a step.
#[derive(Debug, Clone)]
enum Running {
    /// The program and the folder of a command's container.
    Container { runtime: PathBuf, root: PathBuf },
    /// The leader of a group of processes.
    Group(i32),
}

#[derive(Debug, Default)]
struct Inner {
    signal: AtomicI32,
    cancelled: AtomicBool,
    /// By the container's id, or what serves as one.
    running: Mutex<BTreeMap<String, Running>>,
    ended: Condvar,
}

/// The way to end a build; clones end the same one.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Inner>);

impl Interrupt {
    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the build to end. True: commands were running, their containers are gone, and the build
    /// ends itself. False: nothing has to be waited for, and no command begins any more.
    #[must_use]
    pub fn tell(&self, signal: i32) -> bool {
        let running = self.running();
        self.0.signal.store(signal, Ordering::SeqCst);
        self.remove_all(running)
    }

    /// Ends what still runs of a build that has failed.
    pub(crate) fn cancel(&self) {
        let running = self.running();
        self.0.cancelled.store(true, Ordering::SeqCst);
        self.remove_all(running);
    }

    /// Whether there was something to remove.
    fn remove_all(&self, mut running: MutexGuard<'_, BTreeMap<String, Running>>) -> bool {
        let any = !running.is_empty();
        while !running.is_empty() {
            for (id, step) in running.iter() {
                // One that is not made yet is not there yet: it is tried again.
                let _ = match step {
                    Running::Container { runtime, root } => remove(runtime, root, id),
                    Running::Group(leader) => sys::children::kill_group(*leader, SIGKILL),
                };
            }
            let waited = self.0.ended.wait_timeout(running, AGAIN);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        any
    }

    /// Fails when the build was asked to end.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.signal.load(Ordering::SeqCst) {
            0 if self.0.cancelled.load(Ordering::SeqCst) => Err(Error::Cancelled),
            0 => Ok(()),
            signal => Err(Error::Interrupted { signal }),
        }
    }

    /// Waits for the end of some step of this build, or a moment.
    pub(crate) fn pause(&self) {
        drop(self.0.ended.wait_timeout(self.running(), AGAIN));
    }

    /// Notes the container that is about to run.
    pub(crate) fn begin(&self, runtime: &Path, root: &Path, id: &str) -> Result<()> {
        let mut running = self.running();
        self.check()?;
        let (runtime, root) = (runtime.to_owned(), root.to_owned());
        running.insert(id.to_owned(), Running::Container { runtime, root });
        Ok(())
    }

    /// Runs a program of the host in a process group of its own, to its end.
    pub(crate) fn program(&self, command: &mut Command) -> Result<Output> {
        let name = PathBuf::from(command.get_program());
        let mut child = {
            let mut running = self.running();
            self.check()?;
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.process_group(0).spawn().at("running", &name)?;
            let leader = i32::try_from(child.id()).unwrap_or_default();
            running.insert(format!("group-{leader}"), Running::Group(leader));
            child
        };
        let id = format!("group-{}", child.id());
        let streams = (child.stdout.take(), child.stderr.take());
        let read = std::thread::scope(|threads| {
            let errors = threads.spawn(|| whole(streams.1));
            (whole(streams.0), errors.join().unwrap_or_default())
        });
        // Forgotten before it is reaped: its number is somebody else's from then on.
        self.end(&id);
        let status = child.wait().at("waiting for", &name)?;
        self.check()?;
        let (stdout, stderr) = read;
        Ok(Output { status, stdout, stderr })
    }

    /// Notes that it has ended.
    pub(crate) fn end(&self, id: &str) {
        self.running().remove(id);
        self.0.ended.notify_all();
    }
}

/// What comes of a stream, as much as anybody will read.
fn whole(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else { return bytes };
    // What cannot be read is not there.
    let _ = (&mut stream).take(OUTPUT_MAX).read_to_end(&mut bytes);
    let _ = io::copy(&mut stream, &mut io::sink());
    bytes
}

fn remove(runtime: &Path, root: &Path, id: &str) -> io::Result<()> {
    let mut command = Command::new(runtime);
    command.arg("--root").arg(root).args(["delete", "--force", id]);
    let nothing = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    nothing.status().map(drop)
}

/// The folder of the containers of one build.
pub(crate) struct Containers {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Containers {
    pub(crate) fn new(parent: &Path) -> Result<Containers> {
        fs::create_dir_all(parent).at("making", parent)?;
        for number in 0.. {
            let path = parent.join(format!("{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    made.at("making", &path)?;
                    let lock = File::open(&path).at("opening", &path)?;
                    lock.lock().at("locking", &path)?;
                    return Ok(Containers { path, _lock: lock });
                }
            }
        }
        Err(Error::refused("no name is left for a folder", ""))
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next command.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the containers of builds that were killed; `state` is [`crate::Options::state`].
///
/// # Errors
/// Folders that cannot be read or removed.
pub fn sweep(state: &Path, runtime: &Path) -> Result<()> {
    let entries = match fs::read_dir(state) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).at("reading", state),
    };
    for entry in entries {
        let path = entry.at("reading", state)?.path();
        let Ok(folder) = File::open(&path) else { continue };
        if folder.try_lock().is_err() {
            continue;
        }
        for container in fs::read_dir(&path).at("reading", &path)? {
            let id = container.at("reading", &path)?.file_name();
            let id = id.to_string_lossy();
            remove(runtime, &path, &id).at("running", runtime)?;
        }
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).at("removing", &path),
            _ => {}
        }
    }
    Ok(())
}
