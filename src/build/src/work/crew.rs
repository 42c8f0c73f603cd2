//! The stages of a build side by side: as many workers as the machine has cores, each taking the
//! first stage whose base is there.
//!
//! Stages need earlier ones only and the first that is not finished is never kept waiting, so there
//! is always one that goes on. The first failure ends all others; what is told of several failures
//! is the one of the first stage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image::{Digest, Store};

use super::{Shared, Work};
use crate::error::{Error, Result};
use crate::options::{Event, Report};
use crate::plan::Origin;
use crate::state::State;

/// How often a report hears that time goes by.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Stages {
    waiting: BTreeSet<usize>,
    running: BTreeSet<usize>,
    done: BTreeMap<usize, State>,
    failed: BTreeMap<usize, Error>,
    stopped: bool,
    /// Keys of steps that are being done.
    keys: BTreeSet<Digest>,
}

/// Where the stages of a build stand.
#[derive(Debug, Default)]
pub(crate) struct Board {
    stages: Mutex<Stages>,
    changed: Condvar,
}

/// A step that is being done; whoever has the same one waits for it.
pub(crate) struct Busy<'a> {
    board: &'a Board,
    key: Digest,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.board.lock().keys.remove(&self.key);
        self.board.changed.notify_all();
    }
}

impl Board {
    pub(crate) fn new(order: &[usize]) -> Board {
        let waiting = order.iter().copied().collect();
        Board { stages: Mutex::new(Stages { waiting, ..Stages::default() }), ..Board::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Stages> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, stages: MutexGuard<'a, Stages>) -> MutexGuard<'a, Stages> {
        self.changed.wait(stages).unwrap_or_else(PoisonError::into_inner)
    }

    /// The first stage whose base is there; waits for one, and gives `None` when none is left.
    fn take(&self, bases: &[Origin]) -> Option<usize> {
        let mut stages = self.lock();
        loop {
            if stages.stopped || stages.waiting.is_empty() {
                return None;
            }
            let ready = stages.waiting.iter().copied().find(|index| match &bases[*index] {
                Origin::Stage(base) => stages.done.contains_key(base),
                _ => true,
            });
            if let Some(index) = ready {
                stages.waiting.remove(&index);
                stages.running.insert(index);
                return Some(index);
            }
            stages = self.wait(stages);
        }
    }

    fn ended(&self, index: usize, result: Result<State>) {
        let mut stages = self.lock();
        stages.running.remove(&index);
        match result {
            Ok(state) => drop(stages.done.insert(index, state)),
            Err(error) => {
                stages.stopped = true;
                stages.failed.insert(index, error);
            }
        }
        self.changed.notify_all();
    }

    /// A stage's result; waits for it.
    pub(crate) fn result(&self, index: usize) -> Result<State> {
        let mut stages = self.lock();
        loop {
            if let Some(state) = stages.done.get(&index) {
                return Ok(state.clone());
            }
            if stages.stopped {
                return Err(Error::Cancelled);
            }
            if !stages.waiting.contains(&index) && !stages.running.contains(&index) {
                let problem = format!("stage {index} is no part of this build");
                return Err(Error::refused(problem, ""));
            }
            stages = self.wait(stages);
        }
    }

    /// Notes that a step is being done; waits while the same one is.
    pub(crate) fn busy(&self, key: &Digest) -> Busy<'_> {
        let mut stages = self.lock();
        while stages.keys.contains(key) {
            stages = self.wait(stages);
        }
        stages.keys.insert(key.clone());
        Busy { board: self, key: key.clone() }
    }

    /// The failure to tell.
    fn failure(&self) -> Option<Error> {
        let failed = std::mem::take(&mut self.lock().failed);
        let (own, followed): (Vec<Error>, Vec<Error>) =
            failed.into_values().partition(|error| !matches!(error, Error::Cancelled));
        own.into_iter().chain(followed).next()
    }
}

/// What ends the waiting of the others when a worker panics.
struct Watch<'a>(&'a Board);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().stopped = true;
            self.0.changed.notify_all();
        }
    }
}

fn work(shared: &Shared<'_>, store: &Store, events: &Sender<Event>) {
    let _watch = Watch(&shared.board);
    while let Some(index) = shared.board.take(&shared.plan.bases) {
        // A workshop of its own: two stages then meet in the store as two builds do.
        let made = store.workshop().map_err(Error::from);
        let result = made.and_then(|shop| Work::new(shared, shop, index, events.clone()).stage());
        let failed = result.is_err();
        shared.board.ended(index, result);
        if failed {
            shared.interrupt.cancel();
        }
    }
}

/// Builds all stages; `report` is told in the calling thread.
pub(crate) fn stages(shared: &Shared<'_>, store: &Store, report: &mut dyn Report) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (events, told) = mpsc::channel();
    std::thread::scope(|threads| {
        for _ in 0..cores.min(shared.plan.order.len()) {
            let events = events.clone();
            threads.spawn(move || work(shared, store, &events));
        }
        drop(events);
        loop {
            match told.recv_timeout(TICK) {
                Ok(event) => report.on(&event),
                Err(RecvTimeoutError::Timeout) => report.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    shared.board.failure().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State::new(image::Stack::scratch(), '\\')
    }

    #[test]
    fn the_first_stage_whose_base_is_there_is_taken() {
        let bases = [Origin::Scratch, Origin::Stage(0), Origin::Scratch, Origin::Stage(1)];
        let board = Board::new(&[0, 1, 3]);
        assert_eq!(board.take(&bases), Some(0));
        std::thread::scope(|threads| {
            let second = threads.spawn(|| board.take(&bases));
            let result = threads.spawn(|| board.result(0).is_ok());
            board.ended(0, Ok(state()));
            assert_eq!(second.join().unwrap(), Some(1));
            assert!(result.join().unwrap());
        });
        assert!(board.result(2).unwrap_err().to_string().contains("no part"));
        board.ended(1, Err(Error::refused("first", "")));
        assert_eq!(board.take(&bases), None);
        assert!(matches!(board.result(3), Err(Error::Cancelled)));
    }

    #[test]
    fn the_failure_that_is_told_is_no_consequence() {
        let board = Board::new(&[0, 1, 2]);
        board.ended(0, Err(Error::Cancelled));
        board.ended(2, Err(Error::refused("later", "")));
        board.ended(1, Err(Error::refused("the cause", "")));
        assert_eq!(board.failure().unwrap().to_string(), "the cause");
        assert!(board.failure().is_none());
    }

    #[test]
    fn the_same_step_is_done_by_one_at_a_time() {
        let board = Board::new(&[0]);
        let key = Digest::of(b"key");
        let first = board.busy(&key);
        let _other = board.busy(&Digest::of(b"other"));
        std::thread::scope(|threads| {
            let second = threads.spawn(|| drop(board.busy(&key)));
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap();
        });
        assert!(board.lock().keys.len() == 1);
    }
}
