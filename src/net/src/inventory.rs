//! What exists on the host that this crate has made, so that leaks can be found.

use sys::netlink::Socket;

use crate::{Config, Result, link, nft, plan, sysctl};

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The bridge.
    pub bridge: bool,
    /// Links of pods, by name.
    pub pods: Vec<PodLink>,
    /// The nftables table.
    pub table: bool,
    /// Sysctls that teardown will put back, with their former values.
    pub sysctls: Vec<(String, String)>,
    /// Other programs' nftables chains whose policy drops forwarded packets ("family table
    /// chain"). They keep pods from other networks, whatever the own table says: a packet must be
    /// accepted by every chain. Their owners must let the bridge through.
    pub dropping_chains: Vec<String>,
}

impl Inventory {
    /// Whether nothing of this crate's is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.bridge && self.pods.is_empty() && !self.table && self.sysctls.is_empty()
    }
}

/// The host's end of a pod's veth pair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodLink {
    /// Its name.
    pub host_if: String,
    /// The pod; `None` for a half-made one, whose owner is not written on it.
    pub uid: Option<String>,
}

pub(crate) fn take(config: &Config, route: &mut Socket) -> Result<Inventory> {
    let links = link::list(route)?;
    let mut pods: Vec<PodLink> = pod_links(config, &links).collect();
    pods.sort();
    let (table, dropping_chains) = match Socket::netfilter() {
        Ok(mut socket) => match nft::exists(&mut socket, &config.table)? {
            Some(table) => (table, nft::dropping_forward_chains(&mut socket)?),
            None => (false, Vec::new()),
        },
        // A kernel without netfilter has no tables.
        Err(_) => (false, Vec::new()),
    };
    Ok(Inventory {
        bridge: links.iter().any(|link| link.name == config.bridge && link.kind == "bridge"),
        pods,
        table,
        sysctls: sysctl::recorded(&config.state)?,
        dropping_chains,
    })
}

/// Pods' links among all: in our bridge, or in none (it has been deleted by hand); half-made ones
/// are told by their name. Links of another podvisor with a bridge of its own are not ours.
pub(crate) fn pod_links(config: &Config, links: &[link::Link]) -> impl Iterator<Item = PodLink> {
    let bridge = links.iter().find(|link| link.name == config.bridge).map(|link| link.index);
    links.iter().filter(|link| link.kind == "veth").filter_map(move |link| {
        let uid = link.alias.strip_prefix(plan::ALIAS).map(str::to_owned);
        let marked = uid.is_some() || plan::is_host_link(&link.name);
        let ours = marked && (link.master.is_none() || link.master == bridge);
        ours.then(|| PodLink { host_if: link.name.clone(), uid })
    })
}
