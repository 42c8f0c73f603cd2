//! Starting a pod's monitor and waiting for its word.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

use crate::tools::Tools;

/// Longest wait for a monitor's readiness.
const READY: Duration = Duration::from_secs(30);
/// Most bytes of its last words.
const WORDS_MAX: u64 = 4096;

/// Starts the monitor of a pod folder; returns once it serves.
///
/// # Errors
/// Its own words, or why it could not be started.
pub(super) async fn monitor(tools: &Arc<Tools>, pod_dir: &Path) -> Result<(), String> {
    let folder = pod_dir.to_path_buf();
    let program = tools.options.runtime_program.clone();
    let name = program.display().to_string();
    let spawned = tools.blocking(move |_| spawn(&program, &folder)).await;
    let mut child = spawned.map_err(|error| format!("start {name}: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    tools.children.add(child);
    let pipe = |fd: Option<OwnedFd>| {
        let fd = fd.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        Receiver::from_owned_fd(fd)
    };
    let ready = pipe(stdout.map(OwnedFd::from)).map_err(|error| error.to_string())?;
    let words = pipe(stderr.map(OwnedFd::from)).map_err(|error| error.to_string())?;
    match timeout(READY, first_word(ready, words)).await {
        Ok(None) => Ok(()),
        Ok(Some(words)) => Err(words),
        Err(_) => Err(format!("the pod's monitor was not ready within {} s", READY.as_secs())),
    }
}

fn spawn(program: &Path, pod_dir: &Path) -> std::io::Result<Child> {
    Command::new(program)
        .arg("monitor")
        .arg("--pod-dir")
        .arg(pod_dir)
        .args(["--ready-fd", "1"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// `None` when it is ready, else what it said.
async fn first_word(mut ready: Receiver, words: Receiver) -> Option<String> {
    let mut byte = [0u8; 1];
    if matches!(ready.read(&mut byte).await, Ok(1)) {
        return None;
    }
    let mut text = Vec::new();
    // What was said before a failure to read is worth telling.
    let _ = words.take(WORDS_MAX).read_to_end(&mut text).await;
    Some(told(&String::from_utf8_lossy(&text)))
}

/// The monitor's last words, in one line.
fn told(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "the pod's monitor ended without a word".to_owned();
    }
    let text = text.strip_prefix("podvisor monitor: ").unwrap_or(text);
    text.lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_become_one_line() {
        assert_eq!(told("podvisor monitor: cannot x: y\nhint: z\n"), "cannot x: y; hint: z");
        assert!(told(" \n").contains("without a word"));
    }
}
