//! Monitors that this process has started: its children until they or it end.
//!
//! A monitor outlives its supervisor; while both live, the supervisor has to reap it. Nothing here
//! is waited for: SIGCHLD wakes, [`Children::reap`] looks.

use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Children that have not been reaped.
#[derive(Debug, Default)]
pub(crate) struct Children(Mutex<Vec<Child>>);

impl Children {
    /// Takes a child over.
    pub(crate) fn add(&self, child: Child) {
        self.list().push(child);
    }

    /// Reaps those that have ended; how many are left.
    pub(crate) fn reap(&self) -> usize {
        let mut list = self.list();
        // One that cannot be waited for is no child of ours any more.
        list.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        list.len()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
