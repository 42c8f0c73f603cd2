//! Images to and from a real docker-registry on the loopback of a scope of its own: plain, with TLS
//! and passwords, with tokens, behind a mirror, and behind a proxy that breaks things.
//! skopeo stands beside us. Root, the release binaries, docker-registry, skopeo, python3, nginx
//! and openssl are needed.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failing step of a test is a failing test"
)]

mod access;
mod exchange;
mod faults;
mod pods;
mod trust;
mod world;
