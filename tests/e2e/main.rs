//! The whole product through its command line, on the real kernel, each test in a scope of its own.
//! Root and the release binaries are needed: `make privileged` builds them first.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failing step of a test is a failing test"
)]

mod bad_input;
mod endings;
mod host;
mod images;
mod keep;
mod leak;
mod pods;
mod run;
mod supervise;
mod users;
mod volumes;
