//! A real monitor, real containers, on the real kernel. Each test runs as root in its own scope of
//! mounts, processes and cgroups, with a busybox root file system; `scope` checks what is left.
//!
//! Start at `pod.rs`: it makes a pod and its bundles. Run: `cargo test -p monitor`.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod adoption;
mod bad_input;
mod exhaustion;
mod faults;
mod lifecycle;
mod pod;
mod processes;
mod sandbox;
mod streams;
