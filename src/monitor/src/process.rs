//! From program start to loop and back: detaching, protection, readiness.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use sys::children::Signals;

use crate::error::MonitorError;
use crate::sandbox::Sandbox;
use crate::server::Monitor;

/// Log of the monitor itself below the pod folder; stays small, for it speaks only of failures.
const LOG_FILE: &str = "monitor.log";

/// As far below the default as the kernel lets a process go without being exempt.
const OOM_SCORE_ADJ: i32 = -999;

/// Runs the monitor of the pod in `pod_dir` until a client shuts it down; the exit code. One byte
/// goes to the inherited descriptor `ready_fd` once it serves; on failure that descriptor closes
/// without a byte and the words stand on stderr.
#[must_use]
pub fn run(pod_dir: &Path, ready_fd: Option<i32>) -> i32 {
    match start(pod_dir, ready_fd) {
        Ok(mut monitor) => match monitor.serve() {
            Ok(()) => 0,
            Err(error) => report(pod_dir, &error),
        },
        Err(error) => report(pod_dir, &error),
    }
}

fn report(pod_dir: &Path, error: &MonitorError) -> i32 {
    let mut words = format!("podvisor monitor: {}\n", error.chain());
    if let Some(hint) = error.hint() {
        words.push_str(&format!("hint: {hint}\n"));
    }
    // Nobody is left to tell of a failure to tell.
    let _ = std::io::stderr().write_all(words.as_bytes());
    if let Ok(mut log) = sys::stdio::open_append(&pod_dir.join(LOG_FILE)) {
        let _ = log.write_all(words.as_bytes());
    }
    1
}

fn start(pod_dir: &Path, ready_fd: Option<i32>) -> Result<Monitor, MonitorError> {
    sys::malloc::keep_small();
    if !pod_dir.is_absolute() {
        return Err(MonitorError::Config {
            path: pod_dir.to_path_buf(),
            field: "--pod-dir".into(),
            problem: "needs an absolute path".into(),
        });
    }
    let failed = |step| move |source| MonitorError::Sandbox { step, source };
    let ready = ready_fd.map(sys::stdio::claim).transpose().map_err(failed("take --ready-fd"))?;
    std::env::set_current_dir("/").map_err(failed("change to /"))?;
    sys::children::new_session();
    sys::children::become_subreaper().map_err(failed("become a subreaper"))?;
    let signals = Signals::block().map_err(failed("block signals"))?;
    let mut sandbox = Sandbox::open(pod_dir)?;
    let oom_score_adj = protect();
    sandbox.build()?;
    let mut monitor = Monitor::new(sandbox, signals)?;
    monitor.oom_score_adj = oom_score_adj;
    let path = pod_dir.to_path_buf();
    monitor.adopt_all().map_err(|source| MonitorError::File {
        operation: "read the records in",
        path,
        source,
    })?;
    monitor.sandbox.write_identity()?;
    let log = sys::stdio::open_append(&pod_dir.join(LOG_FILE));
    log.and_then(|log| sys::stdio::redirect_all(&log)).map_err(failed("leave stdio"))?;
    if let Some(mut ready) = ready {
        // A spawner that does not wait any more is no reason to stop.
        let _ = ready.write_all(b"1");
    }
    sys::malloc::trim();
    Ok(monitor)
}

/// Keeps the OOM killer away as far as allowed; the former value if it changed.
fn protect() -> Option<i32> {
    let path = "/proc/self/oom_score_adj";
    let former = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    // Without CAP_SYS_RESOURCE a process cannot go below the value it got; then it stays.
    let done = File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(OOM_SCORE_ADJ.to_string().as_bytes()));
    done.ok().map(|()| former)
}
