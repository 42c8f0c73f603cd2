//! The signals that tell this process to end.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Who signals a process and its group (`timeout` does) means one signal.
const ONE_STROKE: Duration = Duration::from_millis(200);

/// Listens for SIGTERM and SIGINT from its making on: none is lost between two waits.
#[derive(Debug)]
pub struct Told {
    terminate: Signal,
    interrupt: Signal,
    last: Option<Instant>,
}

impl Told {
    /// Begins to listen.
    ///
    /// # Errors
    /// The kernel refuses the handlers.
    pub fn new() -> io::Result<Told> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Told { terminate, interrupt, last: None })
    }

    /// Waits for the next one: its number. What comes together is one.
    pub async fn next(&mut self) -> i32 {
        loop {
            let kind = tokio::select! {
                _ = self.terminate.recv() => SignalKind::terminate(),
                _ = self.interrupt.recv() => SignalKind::interrupt(),
            };
            let now = Instant::now();
            if self.last.is_none_or(|last| now.duration_since(last) >= ONE_STROKE) {
                self.last = Some(now);
                return kind.as_raw_value();
            }
        }
    }
}
