//! The network of pods: a bridge with a gateway address, a veth pair a pod, and one nftables table
//! for masquerade and published ports.
//!
//! Start at [`Network`]: `attach`, `publish`, `detach`, `teardown`. What is to be done is decided
//! by pure code ([`allocate`], `plan`, `rules`) and carried out by `link` (rtnetlink) and `nft`
//! (nf_tables by nfnetlink); no program is run. `sysctl` remembers what it switched on.
//!
//! Invariants: nothing outside the own bridge, its ports, the own table and `ip_forward` is
//! changed; an operation that fails leaves nothing of itself behind; the whole rule set is replaced
//! in one transaction, so that no packet ever meets half of it.
//! Not here: namespaces (made by the monitor), which address a pod has had (durable, the
//! supervisor's), IPv6, names, services. docs/network.md is the user's page.
//! May be touched: everything; `guard` in `rules` only with its test seen red.

mod allocate;
mod config;
mod error;
mod inventory;
mod link;
mod network;
mod nft;
mod plan;
mod port;
mod rules;
mod subnet;
mod sysctl;

pub use allocate::allocate;
pub use config::{Attached, Attachment, Config, Protocol, Published};
pub use error::{Error, Holder, Result};
pub use inventory::{Inventory, PodLink};
pub use network::Network;
pub use port::reserve_port;
pub use subnet::Ipv4Net;
