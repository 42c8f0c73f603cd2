//! The supervisor's API: wire forms, a server on a unix socket, a client.
//!
//! | module | what |
//! |---|---|
//! | [`wire`] | what travels: Kubernetes' `Status`, lists, watch events, our own few documents |
//! | [`backend`] | what the server needs of a supervisor: a trait; [`supervised`] has it |
//! | [`route`] | method and path to a [`route::Call`]; pure |
//! | [`server`] | socket, credentials, limits, one task a connection |
//! | [`answer`] | a call to an answer; [`watch`] and [`logs`] are its streams |
//! | [`client`] | the other side, async |
//!
//! Paths and objects are Kubernetes' where one exists. Start at [`route`]. Nothing here decides
//! anything about pods, opens a network socket, or touches the kernel beyond files and sockets:
//! the one thing more that logs need, to be woken when a file grows, is handed in by the host
//! ([`logs::WatchFolder`]). May be touched: everything; paths and documents are promised to clients
//! in docs/cli.md.

pub mod answer;
pub mod backend;
pub mod client;
pub mod error;
pub mod logs;
pub mod reply;
pub mod route;
pub mod selector;
pub mod server;
pub mod stamp;
pub mod supervised;
pub mod watch;
pub mod wire;

pub use backend::Backend;
pub use client::{Client, ClientError};
pub use error::ApiError;
pub use server::{Limits, Server};
pub use wire::Kind;

/// The version of `/podvisor/v1`.
pub const VERSION: u32 = 1;
