//! The monitor: parent of one pod's containers.
//!
//! One process a pod (`podvisor-oci monitor --pod-dir DIR`), single-threaded, synchronous, without
//! policy. It pins the pod's namespaces, starts containers when told, keeps their stdio and their
//! exit codes, and outlives the supervisor.
//!
//! Start at [`protocol`] (what it can be asked) and [`client`] (how to ask).

pub mod client;
pub mod frame;
pub mod log;
pub mod protocol;
pub mod record;
pub mod sandbox_config;
pub mod table;

pub use client::{Client, ClientError};
pub use sandbox_config::{Identity, SandboxConfig};
