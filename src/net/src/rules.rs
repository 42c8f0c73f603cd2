//! Which rules the published ports need. Pure.
//!
//! The chains are constant; ports are elements of two maps, so that a packet meets the same few
//! rules whether three ports are published or three thousand. With no port, the chains and maps
//! for ports are not there at all.
//!
//! What redirects 127.0.0.1 needs `route_localnet` on the bridge, which alone would let pods reach
//! the host's loopback (CVE-2020-8558): `guard` drops that before anything else sees it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::{Config, Error, Published, Result};

/// Chains and maps of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruleset {
    pub(crate) maps: Vec<Map>,
    pub(crate) chains: Vec<Chain>,
}

/// What a port leads to, by what the packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) name: &'static str,
    /// Whether the host's address is part of the key.
    pub(crate) by_address: bool,
    pub(crate) elements: Vec<Element>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) host: Option<Ipv4Addr>,
    pub(crate) protocol: u8,
    pub(crate) host_port: u16,
    pub(crate) pod: Ipv4Addr,
    pub(crate) pod_port: u16,
}

/// A chain on one of netfilter's hooks; its policy is to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) hook: Hook,
    pub(crate) priority: i32,
    pub(crate) rules: Vec<Vec<Term>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting,
    Output,
    Postrouting,
}

/// A part of a rule: conditions first, then what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Term {
    Ipv4,
    FromLink(String),
    ToLink(String),
    NotToLink(String),
    From(Ipv4Addr, u8),
    To(Ipv4Addr, u8),
    /// To an address of the host.
    ToHost,
    /// Redirected by one of the maps.
    Redirected,
    RedirectBy {
        map: &'static str,
        by_address: bool,
    },
    Masquerade,
    Drop,
}

/// linux/netfilter_ipv4.h: before connection tracking, where addresses are translated, after.
const PRIORITY_RAW: i32 = -300;
const PRIORITY_DSTNAT: i32 = -100;
const PRIORITY_SRCNAT: i32 = 100;

const LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);

/// The whole table for these ports.
///
/// # Errors
/// [`Error::PortTwice`], [`Error::PortZero`], [`Error::AddressOutside`].
pub(crate) fn plan(config: &Config, ports: &[Published]) -> Result<Ruleset> {
    check(config, ports)?;
    let subnet = (config.subnet.network(), config.subnet.prefix());
    let bridge = || config.bridge.clone();
    let mut postrouting = vec![vec![
        Term::Ipv4,
        Term::From(subnet.0, subnet.1),
        Term::NotToLink(bridge()),
        Term::Masquerade,
    ]];
    if ports.is_empty() {
        return Ok(Ruleset { maps: Vec::new(), chains: vec![snat(postrouting)] });
    }
    // The pod must answer to the gateway: it cannot answer to 127.0.0.1, and a pod of the same
    // bridge (or itself) would get an answer from an address it has not asked.
    postrouting.push(vec![
        Term::Ipv4,
        Term::ToLink(bridge()),
        Term::From(LOOPBACK, 8),
        Term::Redirected,
        Term::Masquerade,
    ]);
    postrouting.push(vec![
        Term::Ipv4,
        Term::ToLink(bridge()),
        Term::From(subnet.0, subnet.1),
        Term::Redirected,
        Term::Masquerade,
    ]);
    let (specific, general): (Vec<_>, Vec<_>) = ports.iter().partition(|p| p.only_on().is_some());
    let maps: Vec<Map> = [("published_on", true, specific), ("published", false, general)]
        .into_iter()
        .filter(|(_, _, ports)| !ports.is_empty())
        .map(|(name, by_address, ports)| Map { name, by_address, elements: elements(&ports) })
        .collect();
    let redirect: Vec<Vec<Term>> = maps
        .iter()
        .map(|map| {
            let by = Term::RedirectBy { map: map.name, by_address: map.by_address };
            vec![Term::Ipv4, Term::ToHost, by]
        })
        .collect();
    let guard = vec![
        vec![Term::Ipv4, Term::FromLink(bridge()), Term::To(LOOPBACK, 8), Term::Drop],
        vec![Term::Ipv4, Term::FromLink(bridge()), Term::From(LOOPBACK, 8), Term::Drop],
    ];
    Ok(Ruleset {
        maps,
        chains: vec![
            chain("guard", "filter", Hook::Prerouting, PRIORITY_RAW, guard),
            chain("prerouting", "nat", Hook::Prerouting, PRIORITY_DSTNAT, redirect.clone()),
            chain("output", "nat", Hook::Output, PRIORITY_DSTNAT, redirect),
            snat(postrouting),
        ],
    })
}

fn snat(rules: Vec<Vec<Term>>) -> Chain {
    chain("postrouting", "nat", Hook::Postrouting, PRIORITY_SRCNAT, rules)
}

fn chain(
    name: &'static str,
    kind: &'static str,
    hook: Hook,
    priority: i32,
    rules: Vec<Vec<Term>>,
) -> Chain {
    Chain { name, kind, hook, priority, rules }
}

fn elements(ports: &[&Published]) -> Vec<Element> {
    let mut elements: Vec<Element> = ports
        .iter()
        .map(|port| Element {
            host: port.only_on(),
            protocol: port.protocol.number(),
            host_port: port.host_port,
            pod: port.address,
            pod_port: port.container_port,
        })
        .collect();
    elements.sort_by_key(|e| (e.protocol, e.host_port, e.host));
    elements
}

fn check(config: &Config, ports: &[Published]) -> Result<()> {
    let mut taken: BTreeMap<_, Vec<&Published>> = BTreeMap::new();
    for port in ports {
        if port.host_port == 0 || port.container_port == 0 {
            return Err(Error::PortZero { uid: port.uid.clone() });
        }
        if !config.subnet.is_for_pods(port.address) {
            let (address, subnet) = (port.address, config.subnet);
            return Err(Error::AddressOutside { address, subnet });
        }
        let same = taken.entry((port.protocol, port.host_port)).or_default();
        let clash = same.iter().find(|other| match (other.only_on(), port.only_on()) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        });
        if let Some(first) = clash {
            return Err(Error::PortTwice {
                port: port.host_port,
                protocol: port.protocol,
                first: first.uid.clone(),
                second: port.uid.clone(),
            });
        }
        same.push(port);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    fn port(uid: &str, host_ip: Option<[u8; 4]>, host_port: u16, protocol: Protocol) -> Published {
        Published {
            uid: uid.to_owned(),
            address: Ipv4Addr::new(10, 77, 0, 2),
            host_ip: host_ip.map(Ipv4Addr::from),
            host_port,
            container_port: 80,
            protocol,
        }
    }

    #[test]
    fn without_ports_there_is_only_masquerading() {
        let rules = plan(&Config::default(), &[]).unwrap();
        assert!(rules.maps.is_empty());
        let names: Vec<_> = rules.chains.iter().map(|chain| chain.name).collect();
        assert_eq!(names, ["postrouting"]);
        assert_eq!(
            rules.chains[0].rules,
            [[
                Term::Ipv4,
                Term::From(Ipv4Addr::new(10, 77, 0, 0), 16),
                Term::NotToLink("podvisor0".to_owned()),
                Term::Masquerade
            ]]
        );
    }

    #[test]
    fn ports_are_elements_and_rules_stay_few() {
        let ports: Vec<_> = (1..=3000).map(|n| port("a", None, n, Protocol::Tcp)).collect();
        let rules = plan(&Config::default(), &ports).unwrap();
        assert_eq!(rules.maps.len(), 1);
        assert_eq!(rules.maps[0].elements.len(), 3000);
        assert_eq!(rules.chains.iter().map(|chain| chain.rules.len()).sum::<usize>(), 7);
    }

    #[test]
    fn the_map_by_address_comes_first() {
        let ports = [
            port("a", None, 80, Protocol::Tcp),
            port("a", Some([127, 0, 0, 1]), 81, Protocol::Tcp),
        ];
        let rules = plan(&Config::default(), &ports).unwrap();
        let names: Vec<_> = rules.maps.iter().map(|map| (map.name, map.by_address)).collect();
        assert_eq!(names, [("published_on", true), ("published", false)]);
        assert_eq!(rules.maps[0].elements[0].host, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(rules.maps[1].elements[0].host, None);
    }

    #[test]
    fn the_loopback_is_guarded_whenever_a_port_is_published() {
        let rules = plan(&Config::default(), &[port("a", None, 80, Protocol::Udp)]).unwrap();
        let guard = rules.chains.iter().find(|chain| chain.name == "guard").unwrap();
        assert_eq!((guard.hook, guard.priority), (Hook::Prerouting, -300));
        assert!(guard.rules.iter().all(|rule| rule.last() == Some(&Term::Drop)));
    }

    #[test]
    fn two_pods_cannot_have_one_port() {
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let (one, two) = (Some([192, 0, 2, 1]), Some([192, 0, 2, 2]));
        for (first, second, clash) in [
            ((None, 80, tcp), (None, 80, tcp), true),
            ((None, 80, tcp), (None, 80, udp), false),
            ((None, 80, tcp), (None, 81, tcp), false),
            ((None, 80, tcp), (one, 80, tcp), true),
            ((one, 80, tcp), (Some([0, 0, 0, 0]), 80, tcp), true),
            ((one, 80, tcp), (two, 80, tcp), false),
            ((one, 80, tcp), (one, 80, tcp), true),
        ] {
            let ports =
                [port("a", first.0, first.1, first.2), port("b", second.0, second.1, second.2)];
            let result = plan(&Config::default(), &ports);
            assert_eq!(result.is_err(), clash, "{first:?} {second:?}");
            if let Err(error) = result {
                let text = error.to_string();
                assert!(text.contains("80/tcp") && text.contains("pods a and b"), "{text}");
            }
        }
    }

    #[test]
    fn refuses_port_0_and_foreign_addresses() {
        let config = Config::default();
        let error = plan(&config, &[port("a", None, 0, Protocol::Tcp)]).unwrap_err();
        assert!(matches!(error, Error::PortZero { .. }));
        let mut foreign = port("a", None, 1, Protocol::Tcp);
        foreign.address = Ipv4Addr::new(10, 78, 0, 2);
        let error = plan(&config, &[foreign]).unwrap_err();
        assert!(matches!(error, Error::AddressOutside { .. }));
    }
}
