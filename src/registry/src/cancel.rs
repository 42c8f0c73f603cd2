//! Breaking off what nobody waits for any more, whatever it waits for itself.
//!
//! Open connections are shut down under their readers. Looking up and connecting cannot be broken
//! off: they are done on threads of their own, which are left to their time limits.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::http::Agents;

/// How long somebody who has cancelled may wait.
const LOOK: Duration = Duration::from_millis(50);

/// Shared by who works and who may want it no more; copies are the same one.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    agents: Mutex<Vec<Weak<Agents>>>,
}

impl Cancel {
    /// What is under way ends: a request, a wait, a body that comes or does not come.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
        for agents in self.agents().drain(..).filter_map(|agents| agents.upgrade()) {
            agents.shut_down();
        }
    }

    /// Whether it is to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Ends these, too. Who opens one asks afterwards whether it was too late.
    pub(crate) fn ends(&self, agents: &Arc<Agents>) {
        let mut all = self.agents();
        all.retain(|agents| agents.strong_count() > 0);
        all.push(Arc::downgrade(agents));
    }

    fn agents(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Agents>>> {
        // A panic elsewhere leaves the list whole.
        self.0.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass, as long as anybody waits.
    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left.min(LOOK));
        }
    }

    /// Does what cannot be broken off; an error as soon as nobody waits for it. It must end by
    /// itself.
    pub(crate) fn unless<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = channel();
        std::thread::Builder::new().name("connect".into()).spawn(move || {
            // Nobody may wait for it.
            let _ = done.send(work());
        })?;
        loop {
            if self.is_cancelled() {
                return Err(io::Error::other("nobody waits for it any more"));
            }
            match result.recv_timeout(LOOK) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("its thread died"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_broken_off_is_left_alone() {
        let cancel = Cancel::default();
        assert_eq!(cancel.unless(|| 7).unwrap(), 7);
        let (go, wait) = channel::<()>();
        let (told, begun) = channel();
        let worker = std::thread::spawn({
            let cancel = cancel.clone();
            move || {
                cancel.unless(move || {
                    told.send(()).unwrap();
                    // Until the test's end.
                    let _ = wait.recv();
                })
            }
        });
        begun.recv().unwrap();
        cancel.cancel();
        assert!(worker.join().unwrap().unwrap_err().to_string().contains("nobody waits"));
        drop(go);
    }
}
