//! What runs between clone and execve, and the tiny PID 1 of a pod: no allocation, no locks.
//!
//! A program of its own (`main.rs`), executed right after the clone: nothing of the parent's
//! memory or program file is ever in a container. It interprets its [`Image`]: a flat list of
//! [`Op`]s, a text arena and descriptor slots, laid out by the parent. The stages, and who does
//! what meanwhile:
//!
//! ```text
//!   parent                                   child
//!   ------                                   -----
//!   clone3 (namespaces, cgroup, pidfd) ----> execve of the file with program and image
//!                                            1 namespaces: v1 cgroups, setns, unshare
//!   [user namespace: writes the id maps -->    waits]
//!   the network namespace -----------------> 2 root: mounts, devices, masks
//!   compiles seccomp, writes state,
//!     oom_score_adj, pid file
//!   [hooks: runs them <--------------------    waits] pivot_root
//!   the last word, with the filter --------> 3 process: limits, identity, capabilities
//!   [create: writes down <-----------------  4 found the executable; waits for `start`]
//!   end of file: it has begun <------------    execve
//! ```
//!
//! A failure is one [`Frame`] (stage, index of the operation, errno) on the close-on-exec socket.
//! Start at [`op`]; `run` dispatches; `target` is the only way to a path beneath the root; `depart`
//! and `netns` are what runs in the parent's memory.
//! Invariants: no panics (nothing is indexed unchecked, `make check` reads the symbols), no libc
//! but constants, no path of the container is opened but through `target`. May be touched: a new
//! operation is a variant of [`Op`], a line in `run`, and words for it in crate `runtime`.
#![no_std]

mod console;
mod copy;
pub mod depart;
mod device;
mod fresh;
mod identity;
mod image;
mod landlock;
mod launch;
mod loopback;
mod message;
mod mount;
pub mod netns;
pub mod op;
pub mod pid1;
mod procfs;
mod raw;
mod root;
mod run;
mod schedule;
mod target;
mod unmount;
pub mod visit;

pub use image::{IMAGE_AT, Image, Role, Span, begin};
pub use op::{
    Attributes, FRAME_BYTES, Frame, Keep, Kind, Links, NO_SLOT, Op, Scheduling, Text, stage,
};
pub use run::Strings;
