//! The network of pods: plans, carried out.
//!
//! One operation at a time: the kernel's own lock for links does not allow more. Sockets are kept,
//! because opening them costs as much as using them.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sys::netlink::{self, Socket};

use crate::link::{self, Link};
use crate::plan::{self, Facts, LOOPBACK_INDEX, POD_LINK, Step};
use crate::{
    Attached, Attachment, Config, Error, Inventory, Published, Result, inventory, nft, rules,
    sysctl,
};

/// The network of pods of one host.
#[derive(Debug)]
pub struct Network {
    config: Config,
    host: Mutex<Host>,
}

/// What an operation works with.
#[derive(Debug)]
struct Host {
    route: Socket,
    netfilter: Option<Socket>,
    published: Vec<Published>,
}

/// The pod that is being connected.
struct Target<'a> {
    pod: &'a Attachment,
    netns: File,
    /// A socket in its namespace.
    inside: Socket,
}

/// The ground on which a pod is connected.
struct Ground {
    bridge: u32,
    /// Whether this call has laid it.
    fresh: bool,
    masquerade: bool,
}

impl Network {
    /// Checks the configuration and opens a socket in the calling thread's network namespace,
    /// which is the host's from then on. The kernel's state is not changed.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Link`] when there can be no socket.
    pub fn open(config: Config) -> Result<Network> {
        plan::check(&config)?;
        let route = Socket::route().map_err(socket_failed)?;
        let host = Mutex::new(Host { route, netfilter: None, published: Vec::new() });
        Ok(Network { config, host })
    }

    /// The configuration it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Connects a pod: `lo` up, `eth0` with its address and a default route. What the host lacks
    /// (bridge, masquerading, `ip_forward`) is made first. A pod that is connected already, with
    /// this address, stays as it is.
    ///
    /// # Errors
    /// The step that failed; nothing that was made for it is left.
    pub fn attach(&self, pod: &Attachment) -> Result<Attached> {
        let (address, subnet) = (pod.address, self.config.subnet);
        if !subnet.is_for_pods(address) {
            return Err(Error::AddressOutside { address, subnet });
        }
        let mut target = Target::open(pod)?;
        let mut host = self.host();
        let ground = self.lay_ground(&mut host)?;
        let result = self.connect(&mut host, &mut target, &ground);
        if result.is_err() && ground.fresh {
            // Only what this call has made; the connection's failure is the one to tell.
            let _ = self.clear(&mut host);
        }
        result
    }

    /// Takes a pod off the network: its link, and the ports published for it. Idempotent, also
    /// when its namespace has gone.
    ///
    /// # Errors
    /// What could not be removed; the rest is.
    pub fn detach(&self, uid: &str) -> Result<()> {
        let mut host = self.host();
        let mut failures = Vec::new();
        if host.published.iter().any(|port| port.uid == uid) {
            let others = host.published.iter().filter(|port| port.uid != uid).cloned().collect();
            failures.extend(self.replace_ports(&mut host, others).err());
        }
        failures.extend(link::delete(&mut host.route, &plan::host_link(uid)).err());
        collected(failures)
    }

    /// Makes exactly these ports of the host lead to pods, in one transaction: on every address of
    /// the host, 127.0.0.1 included, or on one. [`crate::reserve_port`] keeps others from them.
    ///
    /// # Errors
    /// [`Error::PortTwice`]; [`Error::NoNfTables`]; [`Error::Rules`]. The former ports stay.
    pub fn publish(&self, ports: &[Published]) -> Result<()> {
        let mut host = self.host();
        if ports.is_empty() && host.published.is_empty() {
            // Without a table of ours there is nothing to take away, be there nf_tables or not.
            let table = host.netfilter().ok().map(|it| nft::exists(it, &self.config.table));
            if !matches!(table, Some(Ok(Some(true)))) {
                return Ok(());
            }
        }
        self.replace_ports(&mut host, ports.to_vec())
    }

    /// What exists of this network.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn inventory(&self) -> Result<Inventory> {
        inventory::take(&self.config, &mut self.host().route)
    }

    /// Removes everything: pods' links, the bridge, the table; `ip_forward` as it was. Idempotent.
    ///
    /// # Errors
    /// Every step that failed, after all have been tried.
    pub fn teardown(&self) -> Result<()> {
        self.clear(&mut self.host())
    }

    fn host(&self) -> MutexGuard<'_, Host> {
        // What is kept there is true after a panic, too: it only changes after success.
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lay_ground(&self, host: &mut Host) -> Result<Ground> {
        let config = &self.config;
        let found = link::find(&mut host.route, &config.bridge)?;
        if found.as_ref().is_some_and(|found| found.kind != "bridge") {
            return Err(Error::NotABridge { name: config.bridge.clone() });
        }
        let fresh = found.is_none();
        let result = self.ensure_bridge(host, found).and_then(|bridge| {
            sysctl::enable_forwarding(&config.state)?;
            let masquerade = self.ensure_table(host)?;
            if fresh && !host.published.is_empty() {
                let link = config.bridge.clone();
                link::apply(&mut host.route, &[Step::RouteLocalnet { link, on: true }])?;
            }
            Ok(Ground { bridge, fresh, masquerade })
        });
        if result.is_err() && fresh {
            // As in `attach`.
            let _ = self.clear(host);
        }
        result
    }

    /// The bridge's index, after what it lacks has been made: one may have been left half-made.
    fn ensure_bridge(&self, host: &mut Host, found: Option<Link>) -> Result<u32> {
        let config = &self.config;
        let route = &mut host.route;
        let found = match found {
            Some(found) => Some(found),
            None => {
                self.check_subnet(route)?;
                link::apply(route, &[plan::bridge(config)])?;
                link::find(route, &config.bridge)?
            }
        };
        let index = found.map(|link| link.index).unwrap_or_default();
        if !link::has_address(route, index, config.subnet.gateway())? {
            self.check_subnet(route)?;
            link::apply(route, &plan::bridge_address(config, index))?;
        }
        Ok(index)
    }

    fn check_subnet(&self, route: &mut Socket) -> Result<()> {
        let subnet = self.config.subnet;
        match link::overlapping_route(route, subnet)? {
            Some((route, link)) => Err(Error::SubnetTaken { subnet, route, link }),
            None => Ok(()),
        }
    }

    /// Puts the table there if somebody has flushed it; false on a kernel without nf_tables.
    fn ensure_table(&self, host: &mut Host) -> Result<bool> {
        let table = &self.config.table;
        let exists = host.netfilter().and_then(|socket| nft::exists(socket, table));
        match exists {
            Ok(Some(true)) => return Ok(true),
            Ok(Some(false)) => {}
            Ok(None) | Err(Error::NoNfTables { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        let published = std::mem::take(&mut host.published);
        let result = self.replace_ports(host, published.clone());
        match result {
            Ok(()) => Ok(true),
            Err(Error::NoNfTables { .. }) if published.is_empty() => Ok(false),
            Err(error) => {
                host.published = published;
                Err(error)
            }
        }
    }

    /// `host.published` follows the kernel: it changes only when that has changed.
    fn replace_ports(&self, host: &mut Host, ports: Vec<Published>) -> Result<()> {
        let config = &self.config;
        let rules = rules::plan(config, &ports)?;
        let routed = |on| Step::RouteLocalnet { link: config.bridge.clone(), on };
        // The guard stands before the way is open, and for as long as it is.
        if ports.is_empty() && link::find(&mut host.route, &config.bridge)?.is_some() {
            link::apply(&mut host.route, &[routed(false)])?;
        }
        nft::replace(host.netfilter()?, &config.table, &rules)?;
        host.published = ports;
        if !host.published.is_empty() && link::find(&mut host.route, &config.bridge)?.is_some() {
            link::apply(&mut host.route, &[routed(true)])?;
        }
        Ok(())
    }

    fn connect(
        &self,
        host: &mut Host,
        target: &mut Target<'_>,
        ground: &Ground,
    ) -> Result<Attached> {
        let name = plan::host_link(&target.pod.uid);
        let up = Step::Up { index: LOOPBACK_INDEX, name: "lo".to_owned() };
        let found = link::up_and_find(&mut target.inside, &up, POD_LINK)?;
        if let Some(attached) = self.already(host, target, found.as_ref(), ground)? {
            return Ok(attached);
        }
        let Target { pod, netns, inside } = target;
        let mtu = plan::usable_mtu(link::uplink_mtu(&mut host.route));
        let facts = Facts { bridge: ground.bridge, mtu };
        let steps = plan::outside(&pod.uid, pod.address, netns.as_raw_fd(), facts);
        let made = link::apply(&mut host.route, &steps).and_then(|()| {
            let eth0 = link::find(inside, POD_LINK)?;
            let index = eth0.map(|link| link.index).unwrap_or_default();
            link::apply(inside, &plan::inside(self.config.subnet, pod.address, index))
        });
        if let Err(error) = made {
            // Takes the other end, its address and its route along; tell what came first.
            let _ = link::delete(&mut host.route, &name);
            return Err(error);
        }
        Ok(self.attached(pod, mtu, ground))
    }

    /// The pod's connection, when it is there; the rests of one are removed.
    fn already(
        &self,
        host: &mut Host,
        target: &mut Target<'_>,
        eth0: Option<&Link>,
        ground: &Ground,
    ) -> Result<Option<Attached>> {
        let Target { pod, inside, .. } = target;
        let name = plan::host_link(&pod.uid);
        let ours = link::find(&mut host.route, &name)?;
        match (ours, eth0) {
            (None, None) => Ok(None),
            (None, Some(eth0)) => {
                Err(Error::Occupied { path: pod.netns.clone(), link: eth0.name.clone() })
            }
            (Some(ours), Some(eth0))
                if ours.master == Some(ground.bridge)
                    && ours.alias.starts_with(plan::ALIAS)
                    && link::has_address(inside, eth0.index, pod.address)? =>
            {
                Ok(Some(self.attached(pod, eth0.mtu, ground)))
            }
            (Some(_), _) => link::delete(&mut host.route, &name).map(|()| None),
        }
    }

    fn attached(&self, pod: &Attachment, mtu: u32, ground: &Ground) -> Attached {
        Attached {
            address: pod.address,
            prefix: self.config.subnet.prefix(),
            gateway: self.config.subnet.gateway(),
            mac: plan::mac(pod.address),
            mtu,
            host_if: plan::host_link(&pod.uid),
            masquerade: ground.masquerade,
        }
    }

    fn clear(&self, host: &mut Host) -> Result<()> {
        let config = &self.config;
        let mut failures = Vec::new();
        match link::list(&mut host.route) {
            Ok(links) => {
                let pods = inventory::pod_links(config, &links).map(|pod| pod.host_if);
                let bridge = links.iter().filter(|l| l.name == config.bridge && l.kind == "bridge");
                for name in pods.chain(bridge.map(|bridge| bridge.name.clone())) {
                    failures.extend(link::delete(&mut host.route, &name).err());
                }
            }
            Err(error) => failures.push(error),
        }
        match remove_table(host, &config.table) {
            Ok(()) => host.published.clear(),
            Err(error) => failures.push(error),
        }
        failures.extend(sysctl::restore(&config.state).err());
        collected(failures)
    }
}

impl Host {
    fn netfilter(&mut self) -> Result<&mut Socket> {
        if self.netfilter.is_none() {
            let opened = Socket::netfilter();
            let socket = opened.map_err(|source| nft::classify("set-up", "podvisor", source))?;
            self.netfilter = Some(socket);
        }
        self.netfilter.as_mut().ok_or_else(|| unreachable!("it has just been put there"))
    }
}

fn remove_table(host: &mut Host, table: &str) -> Result<()> {
    match host.netfilter().and_then(|socket| nft::exists(socket, table)) {
        Ok(Some(true)) => nft::remove(host.netfilter()?, table),
        // A kernel without nf_tables has no table.
        Ok(_) | Err(Error::NoNfTables { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn socket_failed(source: netlink::Error) -> Error {
    Error::Link { operation: "open netlink socket for", link: "links".to_owned(), source }
}

impl Target<'_> {
    /// Opens the pod's namespace and makes sure that it is not this one.
    fn open(pod: &Attachment) -> Result<Target<'_>> {
        let failed = |source| Error::Namespace { path: pod.netns.clone(), source };
        let own = std::fs::metadata("/proc/thread-self/ns/net").map_err(failed)?;
        let netns = File::open(&pod.netns).map_err(failed)?;
        let theirs = netns.metadata().map_err(failed)?;
        if (own.dev(), own.ino()) == (theirs.dev(), theirs.ino()) {
            return Err(Error::OwnNamespace { path: pod.netns.clone() });
        }
        let inside = Socket::route_in(netns.as_fd()).map_err(|source| match source {
            netlink::Error::Io(source) => failed(source),
            source => socket_failed(source),
        })?;
        Ok(Target { pod, netns, inside })
    }
}

fn collected(mut failures: Vec<Error>) -> Result<()> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(Error::Several { failures }),
    }
}
