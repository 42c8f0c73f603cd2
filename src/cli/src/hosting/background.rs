//! `podvisor serve` as a process of its own session, and the wait for its first word.
//!
//! Its log is `serve.log` in the state folder. It says `ready` on its standard output, once; the
//! end of that output without it means that it has failed, and the log's end says why.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use supervisor::Handle;

use super::{LOCKED, RETRY_MS, answers, make_private};
use crate::failure::Failure;
use crate::print;
use crate::settings::Settings;
use crate::verbs::Ended;

/// The word.
const READY: &str = "ready";

/// How long a predecessor that was killed may take to let the lock go.
const HANDOVER: Duration = Duration::from_secs(2);

/// Lines of its log that are shown when it fails.
const TAIL_LINES: usize = 6;

/// Starts a supervisor in the background, unless one answers; returns once it answers.
///
/// # Errors
/// It does not start; its own last words are in the text.
pub async fn spawn(settings: &Settings) -> Result<(), Failure> {
    let client = settings.client();
    if answers(&client).await? {
        return Ok(());
    }
    let what = "start a supervisor in the background";
    let failed = |error: std::io::Error| Failure::of(what, &error);
    make_private(&settings.state, what)?;
    let path = settings.state.join("serve.log");
    let log = open_log(&path).map_err(failed)?;
    let own = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(own)
        .args(settings.as_flags())
        .args(["serve", "--background"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .current_dir("/")
        .spawn()
        .map_err(failed)?;
    let mut first = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut first).map_err(failed)?;
    }
    if first.trim() == READY {
        return Ok(());
    }
    let status = child.wait().map_err(failed)?;
    if status.code() == Some(i32::from(LOCKED))
        && crate::waiting::patiently(|| client.version()).await.is_ok()
    {
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(TAIL_LINES)..].join("; ");
    Err(Failure::new(what, format!("it ended with {status}: {last}"))
        .hint(format!("the whole log is {}", path.display())))
}

fn open_log(path: &std::path::Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// What `podvisor serve` does; `background` is how [`spawn`] calls it.
///
/// # Errors
/// As [`super::serve`].
pub(crate) fn serve(settings: &Settings, background: bool) -> Ended {
    if background {
        sys::children::new_session();
    }
    let deadline = Instant::now() + HANDOVER;
    loop {
        match super::serve(settings, |handle| announce(settings, background, handle)) {
            Ok(()) => return Ok(std::process::ExitCode::SUCCESS),
            Err(failure) if failure.code != LOCKED || Instant::now() > deadline => {
                return Err(failure);
            }
            Err(failure) if is_answered(settings)? => return Err(failure),
            Err(_) => {}
        }
    }
}

/// Whether whoever holds the lock also answers. One that was killed may hold it a moment longer
/// than its socket: then there has been a pause, and it is worth another try.
fn is_answered(settings: &Settings) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::of("serve", &error))?;
    runtime.block_on(async {
        let answered = answers(&settings.client()).await?;
        if !answered {
            tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
        }
        Ok(answered)
    })
}

/// Says that it serves, and has a signal end it.
fn announce(settings: &Settings, background: bool, handle: Handle) {
    super::notify::ready();
    if background {
        let mut stdout = std::io::stdout().lock();
        // Whoever started us has gone: serve all the same.
        let _ = writeln!(stdout, "{READY}").and_then(|()| stdout.flush());
    } else {
        print::note(&format!("podvisor serves on {}", settings.socket().display()));
    }
    tokio::spawn(async move {
        if let Ok(mut told) = super::Told::new() {
            told.next().await;
            super::leave(&handle).await;
        }
    });
}
