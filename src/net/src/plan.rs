//! What links, addresses and routes a pod needs, as a list of steps. Pure.
//!
//! Invariants: names and MAC addresses follow from the pod alone, so that what is found can be
//! assigned to its pod, and an address that comes back to the network keeps its MAC.

use std::net::Ipv4Addr;

use crate::{Config, Error, Ipv4Net, Result};

/// The pod's interface, as it sees it.
pub(crate) const POD_LINK: &str = "eth0";
/// Beginning of the alias of a pod's link on the host; the uid follows.
pub(crate) const ALIAS: &str = "podvisor pod ";
/// `lo` in every namespace.
pub(crate) const LOOPBACK_INDEX: u32 = 1;
/// Longest name of a link, in bytes (IFNAMSIZ less its NUL).
const NAME_MAX: usize = 15;
/// Longest alias of a link, in bytes (IFALIASZ less its NUL).
const ALIAS_MAX: usize = 255;

/// Beginning of the names of pods' links on the host.
const HOST_LINK: &str = "pv";
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// MTU where no uplink tells another, in bytes.
pub(crate) const DEFAULT_MTU: u32 = 1500;

/// One change to links, addresses or routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A bridge, up, with a MAC of its own (else it would take one of its ports').
    AddBridge { name: String, mac: [u8; 6] },
    /// A veth pair: one end, up, in the bridge, the other in the namespace. That one cannot be up
    /// from the start: the kernel makes it before it has its partner (ENOTCONN).
    AddVeth { host: String, master: u32, mtu: u32, mac: [u8; 6], netns: i32 },
    /// The host's end: whose it is, and that it may send back what it has sent.
    MarkPort { host: String, alias: String },
    /// A link up.
    Up { index: u32, name: String },
    /// An address.
    AddAddress { index: u32, link: String, address: Ipv4Addr, subnet: Ipv4Net },
    /// The default route.
    AddDefaultRoute { index: u32, link: String, gateway: Ipv4Addr },
    /// Whether packets to and from 127.0.0.0/8 may pass the link.
    RouteLocalnet { link: String, on: bool },
    /// A link away.
    Delete { link: String },
}

impl Step {
    /// What it does and to which link, for errors.
    pub(crate) fn words(&self) -> (&'static str, &str) {
        match self {
            Step::AddBridge { name, .. } => ("create bridge", name),
            Step::AddVeth { host, .. } => ("create veth pair", host),
            Step::MarkPort { host, .. } => ("set up bridge port", host),
            Step::Up { name, .. } => ("set up link", name),
            Step::AddAddress { link, .. } => ("add address to link", link),
            Step::AddDefaultRoute { link, .. } => ("add default route through link", link),
            Step::RouteLocalnet { link, .. } => ("set route_localnet of link", link),
            Step::Delete { link } => ("delete link", link),
        }
    }
}

/// What the host told about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The bridge's index.
    pub(crate) bridge: u32,
    /// MTU of the uplink, in bytes.
    pub(crate) mtu: u32,
}

/// The bridge.
pub(crate) fn bridge(config: &Config) -> Step {
    Step::AddBridge { name: config.bridge.clone(), mac: mac(config.subnet.gateway()) }
}

/// The bridge's address, and the bridge up.
pub(crate) fn bridge_address(config: &Config, index: u32) -> [Step; 2] {
    let (link, subnet) = (config.bridge.clone(), config.subnet);
    let address = subnet.gateway();
    [
        Step::AddAddress { index, link: link.clone(), address, subnet },
        Step::Up { index, name: link },
    ]
}

/// The host's side of a pod.
pub(crate) fn outside(uid: &str, address: Ipv4Addr, netns: i32, facts: Facts) -> [Step; 2] {
    let host = host_link(uid);
    [
        Step::AddVeth {
            host: host.clone(),
            master: facts.bridge,
            mtu: facts.mtu,
            mac: mac(address),
            netns,
        },
        Step::MarkPort { host, alias: alias(uid) },
    ]
}

/// The pod's side.
pub(crate) fn inside(subnet: Ipv4Net, address: Ipv4Addr, index: u32) -> [Step; 3] {
    let link = POD_LINK.to_owned();
    let gateway = subnet.gateway();
    [
        Step::Up { index, name: link.clone() },
        Step::AddAddress { index, link: link.clone(), address, subnet },
        Step::AddDefaultRoute { index, link, gateway },
    ]
}

/// Name of the host's end: "pv" and 64 bits of the uid's hash (FNV-1a), 13 letters of base 32.
pub(crate) fn host_link(uid: &str) -> String {
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let letter = |position: u32| char::from(LETTERS[(hash >> (5 * position) & 31) as usize]);
    HOST_LINK.chars().chain((0..13).map(letter)).collect()
}

/// Whether this is such a name.
pub(crate) fn is_host_link(name: &str) -> bool {
    let letters = name.strip_prefix(HOST_LINK).unwrap_or_default();
    letters.len() == 13 && letters.bytes().all(|letter| LETTERS.contains(&letter))
}

fn alias(uid: &str) -> String {
    let mut alias = format!("{ALIAS}{uid}");
    let end = (0..=ALIAS_MAX.min(alias.len())).rev().find(|end| alias.is_char_boundary(*end));
    alias.truncate(end.unwrap_or(0));
    alias
}

/// A locally administered MAC that follows from the address.
pub(crate) fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// An MTU that a veth pair takes: that of an uplink which is not the loopback.
pub(crate) fn usable_mtu(uplink: Option<u32>) -> u32 {
    match uplink {
        Some(mtu @ 576..=65_535) => mtu,
        _ => DEFAULT_MTU,
    }
}

/// Refuses names that the kernel would refuse, or take for something else.
pub(crate) fn check(config: &Config) -> Result<()> {
    let name = |name: &str, what, problem| Error::Name { name: name.to_owned(), what, problem };
    let bridge = &config.bridge;
    if bridge.is_empty() || bridge.len() > NAME_MAX {
        return Err(name(bridge, "link", "it must be 1 to 15 bytes long"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !bridge.chars().all(plain) || bridge == "." || bridge == ".." {
        return Err(name(bridge, "link", "only letters, digits, '-', '_' and '.' are allowed"));
    }
    let table = &config.table;
    if table.is_empty() || table.len() > 64 || !table.chars().all(plain) {
        return Err(name(table, "table", "it must be 1 to 64 letters, digits, '-', '_' or '.'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    #[test]
    fn connects_a_pod_in_five_steps() {
        let config = Config::default();
        let steps = outside("uid-1", POD, 9, Facts { bridge: 4, mtu: 1400 });
        let host = host_link("uid-1");
        assert_eq!(
            steps,
            [
                Step::AddVeth {
                    host: host.clone(),
                    master: 4,
                    mtu: 1400,
                    mac: [0x0a, 0x58, 10, 77, 0, 2],
                    netns: 9
                },
                Step::MarkPort { host, alias: "podvisor pod uid-1".to_owned() },
            ]
        );
        let gateway = Ipv4Addr::new(10, 77, 0, 1);
        let (subnet, link) = (config.subnet, "eth0".to_owned());
        assert_eq!(
            inside(subnet, POD, 2),
            [
                Step::Up { index: 2, name: link.clone() },
                Step::AddAddress { index: 2, link: link.clone(), address: POD, subnet },
                Step::AddDefaultRoute { index: 2, link, gateway },
            ]
        );
    }

    #[test]
    fn names_fit_and_differ() {
        let mut names = std::collections::BTreeSet::new();
        for n in 0..10_000 {
            let name = host_link(&format!("7f3c2a10-{n:04}"));
            assert_eq!(name.len(), NAME_MAX);
            assert!(is_host_link(&name));
            assert!(names.insert(name));
        }
        assert_eq!(host_link("a"), host_link("a"));
        for other in ["pv", "pvt", "veth1234567", "pvABCDEFGHIJKLM", "xxabcdefghijklm"] {
            assert!(!is_host_link(other), "{other}");
        }
    }

    #[test]
    fn a_long_uid_is_cut_at_a_letter() {
        let alias = alias(&"ü".repeat(300));
        assert!(alias.len() <= ALIAS_MAX && alias.ends_with('ü'));
    }

    #[test]
    fn takes_only_an_uplinks_mtu() {
        for (uplink, expected) in [
            (None, 1500),
            (Some(1400), 1400),
            (Some(9000), 9000),
            (Some(65_536), 1500),
            (Some(0), 1500),
        ] {
            assert_eq!(usable_mtu(uplink), expected, "{uplink:?}");
        }
    }

    #[test]
    fn refuses_names_the_kernel_would_not_take() {
        let with = |bridge: &str, table: &str| Config {
            bridge: bridge.to_owned(),
            table: table.to_owned(),
            ..Config::default()
        };
        for (bridge, table) in [
            ("", "t"),
            ("sixteen-letters-", "t"),
            ("a/b", "t"),
            ("a b", "t"),
            ("..", "t"),
            ("b", ""),
            ("b", "a{b"),
        ] {
            let error = check(&with(bridge, table)).unwrap_err();
            assert!(matches!(error, Error::Name { .. }), "{bridge} {table}: {error}");
        }
        check(&with("pv-test.1", "pod_visor")).unwrap();
    }
}
