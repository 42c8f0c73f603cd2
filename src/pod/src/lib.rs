//! Pods without a machine: what a manifest means and what is to be done next.
//!
//! Everything here is pure: no clock, no I/O, no randomness, no environment. The supervisor lists
//! what is, calls [`decide_pod`] or [`decide_deployment`], writes the memory down, acts, and hands
//! outcomes to [`absorb`].
//!
//! Where to start: [`manifest::parse`] (text to objects), [`state`] (the words between shell and
//! decision), `decide` (the decision, in its order), [`memory`] (what must be durable).
//!
//! May be touched: a decision together with a row of its table and the invariants of crate `sim`; a
//! field in its type's table, from which decoder and documentation follow.
//! It does not choose names, uids or suffixes, does not know the wall clock and touches no image.

pub mod backoff;
pub mod console;
mod decide;
pub mod deployment;
pub mod env;
mod finding;
pub mod hash;
pub mod manifest;
pub mod memory;
pub mod quantity;
pub mod resources;
pub mod state;
pub mod status;

pub use backoff::BackoffPolicy;
pub use decide::{PodDecision, absorb, decide_pod, decide_pod_with, request_delete};
pub use deployment::{
    DeploymentDecision, DeploymentMemory, OwnedPod, PodToCreate, decide_deployment,
};
pub use finding::Finding;
pub use manifest::{Deployment, Object, Pod, Strictness};
pub use memory::PodMemory;
pub use quantity::Quantity;
pub use state::{
    Action, ContainerObserved, ExitInfo, Millis, Outcome, PodObserved, ProbeKind, Reason,
    SandboxState,
};
pub use status::{Phase, PodStatusCore};

/// Shortest time between the stop signal and the kill, in milliseconds, whatever the grace says
/// (kubelet: `minimumGracePeriodInSeconds`).
pub const MIN_KILL_MS: Millis = 2_000;
