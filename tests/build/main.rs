//! Builds through the command line, on the real kernel, each test in a scope of its own. Root and
//! the release binaries are needed. One file a concern: what instructions do, the cache, harm
//! (signals, kills), files of the web, containers as images, and buildah beside us.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failing step of a test is a failing test"
)]

mod cache;
mod containers;
mod harm;
#[path = "../e2e/host.rs"]
#[allow(dead_code, reason = "the host of the whole product; builds use a part of it")]
mod host;
mod instructions;
mod peers;
mod web;
mod workbench;
