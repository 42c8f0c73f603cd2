//! The network on the real kernel. Each test runs as root in a scope of its own (network, mount and
//! pid namespaces, a census before and after); nothing of the machine's network is touched. What
//! is there is read by ip(8) and nft(8), so that code and test do not share an error.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is its failure")]

mod links;
mod ports;
mod refusals;
mod world;
