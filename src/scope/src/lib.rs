//! The outer scope of a privileged test: its own mount, pid, network, IPC, UTS and cgroup world on
//! the real kernel, and a census of everything that could be left behind.
//!
//! A test calls [`enter`] first. Outside, that call makes the cgroups, takes a [`Census`], runs
//! this very test again inside fresh namespaces, removes the cgroups, takes a second census and
//! fails on any difference. Inside, `enter` returns a [`Scope`] whose drop compares a second, inner
//! census (mounts, processes, links, rules, fds of the test, files under its roots).
//!
//! Invariants: nothing outside the scope's own cgroups and folder is ever written; a process is
//! killed only by `cgroup.kill` or by the end of the scope's pid namespace, never by name.
//! Not here: knowledge of podvisor. Dev-only: no shipped crate depends on it. May be touched: what
//! is counted can grow; a finding is mended at its source, not left out of the census.

mod census;
mod cgroups;
mod done;
mod enter;
mod folder;

pub use census::{Census, Difference};
pub use cgroups::OuterCgroups;
pub use done::Done;
pub use enter::{Scope, enter, run_command, run_watching};
pub use folder::Folder;
