//! Builds through the command line, on the real kernel, each test in a scope of its own. Root and
//! the release binaries are needed. One file a concern: what instructions do, the cache, harm
//! (signals, kills), hostile files, stages side by side, files of the web, repositories, containers
//! as images, and buildah beside us (`peers`, and `corpus` by a folder of small files).

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failing step of a test is a failing test"
)]

mod cache;
mod containers;
mod corpus;
mod harm;
#[path = "../e2e/host.rs"]
#[allow(dead_code, reason = "the host of the whole product; builds use a part of it")]
mod host;
mod hostile;
mod instructions;
mod peers;
mod repository;
mod stages;
mod web;
mod workbench;
