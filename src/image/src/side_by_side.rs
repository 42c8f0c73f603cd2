//! Several pieces of work at once, the first failure of which stops all.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::progress::{Event, Progress};

/// What a piece of work gets besides its item.
pub(crate) struct Told<'a> {
    events: Sender<Event>,
    stopped: &'a AtomicBool,
}

impl Told<'_> {
    /// Tells a step; it is shown in the caller's thread.
    pub(crate) fn on(&self, event: Event) {
        // Nobody listens any more only when the caller panicked.
        let _ = self.events.send(event);
    }

    /// Whether another piece has failed, so that this one is in vain.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Does `work` for each item, `at_once` at a time; the results stand in the items' order.
pub(crate) fn each<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    progress: &mut dyn Progress,
    work: impl Fn(&T, &Told) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    each_then(items, at_once, progress, work, |_| {})
}

/// The same; a worker that finds nothing left to do ends with `idle`, which gets how many have
/// asked for work before it, items counted.
pub(crate) fn each_then<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    progress: &mut dyn Progress,
    work: impl Fn(&T, &Told) -> Result<R> + Sync,
    idle: impl Fn(usize) + Sync,
) -> Result<Vec<R>> {
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    let (events, told) = channel();
    std::thread::scope(|threads| {
        for _ in 0..at_once.min(items.len()) {
            let told = Told { events: events.clone(), stopped: &stopped };
            let (next, work, idle) = (&next, &work, &idle);
            let (failed, results) = (&failed, &results);
            threads.spawn(move || {
                while !told.is_stopped() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else {
                        idle(at);
                        break;
                    };
                    match work(item, &told) {
                        Ok(done) => lock(results).push((at, done)),
                        Err(error) => {
                            lock(failed).get_or_insert(error);
                            told.stopped.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        drop(events);
        for event in told {
            progress.on(&event);
        }
    });
    if let Some(error) = lock(&failed).take() {
        return Err(error);
    }
    let mut results = std::mem::take(&mut *lock(&results));
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, done)| done).collect())
}

/// A poisoned lock only means that a worker panicked, which the scope passes on.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_a_failure_stops_all() {
        let items: Vec<usize> = (0..100).collect();
        let mut told = 0;
        let mut count = |_: &Event| told += 1;
        let doubled = each(&items, 3, &mut count, |n, told| {
            told.on(Event::Syncing);
            Ok(n * 2)
        });
        assert_eq!(doubled.unwrap(), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(told, 100);
        let done = AtomicUsize::new(0);
        let failed = each(&items, 1, &mut crate::Quiet, |n, _| {
            done.fetch_add(1, Ordering::Relaxed);
            let problem = || Error::BadContainerId { id: n.to_string() };
            if *n == 3 { Err(problem()) } else { Ok(()) }
        });
        assert!(failed.is_err());
        assert_eq!(done.into_inner(), 4);
    }
}
