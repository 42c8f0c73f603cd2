//! The monitor: parent of one pod's containers.
//!
//! One process a pod (`podvisor-oci monitor --pod-dir DIR`), single-threaded, synchronous, without
//! policy. It pins the pod's namespaces, starts containers when told, keeps their stdio and their
//! exit codes, and outlives the supervisor. Nothing is decided here: no restart, no back-off.
//!
//! Start at [`protocol`] (what it can be asked) and [`client`] (how to ask). Inside: `process`
//! (start to end), `server` (the loop), `table` (what may follow what), `lifecycle` (containers),
//! `tasks` (exec and probes), `relay` (bytes), `sandbox` (namespaces, cgroup), `adopt` (after a
//! monitor died).
//!
//! | the monitor dies (kill -9) | what happens |
//! |----------------------------|----------------------------------------|
//! | containers | go on; the next monitor finds them by pid and start time |
//! | their outputs | FIFOs they hold open themselves: no SIGPIPE; up to 64 KiB wait |
//! | what was read, not written | at most one buffer of 64 KiB is lost |
//! | their stdin, terminals | end: EOF, SIGHUP |
//! | exit codes meanwhile | from the kernel since 6.15 if it ends later; else "unknown", 137 |
//! | namespaces | pinned by bind mounts; a shared PID 1 lives on |
//!
//! May be touched: everything, but an exit record is on disk before anybody hears of it.

mod adopt;
mod attachment;
mod bundle;
pub mod client;
mod container;
mod error;
pub mod frame;
mod lifecycle;
pub mod log;
mod process;
pub mod protocol;
pub mod record;
mod relay;
mod requests;
mod sandbox;
pub mod sandbox_config;
mod server;
mod sysctl;
pub mod table;
mod tasks;
mod token;

pub use process::run;

pub use client::{Client, ClientError};
pub use sandbox_config::{Identity, SandboxConfig};
