//! A seeded world for the decisions of `pod`.
//!
//! One number (the seed) determines everything: the pod, how its containers behave, which actions
//! fail or come late, when sandboxes break and when the supervisor is killed. Invariants are
//! checked at every action and every step; a failure names its seed, and the same seed replays it.
//!
//! Where to start: [`pods::run`] (one pod through faults, calm and deletion), [`world`] (the fake
//! runtime), `oracle` (what must hold), [`rollouts::run`] (a Deployment).
//! `cargo test -p sim` runs the seeds; one seed is told again with
//! `PODVISOR_SIM_SEED=n cargo test -p sim -- --nocapture replay`.
//!
//! Planted bugs ([`Bug`]) live in the driver, not in `pod`: a wrapper round the decision that
//! forgets something. A test proves that each is found. May be touched: faults and invariants can
//! be added, never taken away to make a seed pass.

mod oracle;
pub mod pods;
pub mod random;
pub mod rollouts;
mod scenario;
pub mod world;

/// A defect of the driver that the invariants must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The correct driver.
    None,
    /// The decision is not told what is in flight.
    ForgetInFlight,
    /// Failures are not counted.
    ForgetBackoff,
    /// A deletion is forgotten between decisions.
    ForgetDeletion,
    /// The memory is not written down.
    ForgetMemory,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Replays it.
    pub seed: u64,
    /// Simulated time, in milliseconds.
    pub at: u64,
    /// What does not hold.
    pub what: String,
    /// What happened, line by line.
    pub story: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure { seed, at, what, story } = self;
        writeln!(out, "seed {seed} at {at} ms: {what}")?;
        let skip = story.len().saturating_sub(60);
        story.iter().skip(skip).try_for_each(|line| writeln!(out, "  {line}"))
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Decisions made.
    pub decisions: u64,
    /// Actions handed out.
    pub actions: u64,
    /// Times the supervisor was killed.
    pub kills: u64,
    /// Starts of containers that took place.
    pub starts: u64,
}
