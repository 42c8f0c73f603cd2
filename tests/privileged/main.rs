//! podvisor-oci under attack and interruption, on the real kernel, each test in a scope of its own.
//! Root, gcc and the binaries of PODVISOR_BIN are needed: `make privileged` builds them first.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failing step of a test is a failing test"
)]

mod cve;
mod deps;
mod hardened;
mod moved_root;
mod race;
mod readiness;
mod store_crowd;
mod store_sweep;
mod stuck;
mod sweep;
mod trial;
