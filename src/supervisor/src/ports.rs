//! Ports of the host that lead to pods: kept from others by sockets, published as one rule set.
//!
//! Invariants: a port is reserved before it is published; what is published is always the whole
//! set, so the lock is held from the look to the rules. A conflict is told before anything of the
//! pod is started.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use net::{Network, Published};
use pod::Pod;

use crate::error::{chain, with_hint};

/// What is held for pods, by uid.
#[derive(Debug, Default)]
pub(crate) struct Ports(Mutex<BTreeMap<String, Held>>);

#[derive(Debug)]
struct Held {
    /// Name of the pod, for messages.
    pod: String,
    published: Vec<Published>,
    _reserved: Vec<OwnedFd>,
}

/// The ports that a pod wants published.
///
/// # Errors
/// A protocol that cannot be published.
pub(crate) fn wanted(pod: &Pod, uid: &str, address: Ipv4Addr) -> Result<Vec<Published>, String> {
    let mut ports = Vec::new();
    for port in pod.spec.all_containers().flat_map(|container| &container.ports) {
        let Some(host_port) = port.host_port else { continue };
        let protocol = match port.protocol() {
            pod::manifest::Protocol::Tcp => net::Protocol::Tcp,
            pod::manifest::Protocol::Udp => net::Protocol::Udp,
            pod::manifest::Protocol::Sctp => {
                return Err(format!("hostPort {host_port}: SCTP cannot be published"));
            }
        };
        ports.push(Published {
            uid: uid.to_owned(),
            address,
            host_ip: port.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
            host_port,
            container_port: port.container_port,
            protocol,
        });
    }
    Ok(ports)
}

impl Ports {
    /// Reserves and publishes the ports of a pod; nothing when it has them already.
    ///
    /// # Errors
    /// In words: who has the port, or why the rules cannot be set. Nothing is held then.
    pub(crate) fn claim(
        &self,
        network: &Network,
        (uid, pod): (&str, &str),
        published: Vec<Published>,
    ) -> Result<(), String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(uid).map_or(&[][..], |held| &held.published);
        if known == published {
            return Ok(());
        }
        if let Some(words) = conflict(&all, uid, &published) {
            return Err(words);
        }
        let reserved: Result<Vec<OwnedFd>, net::Error> = published.iter().map(reserve).collect();
        let reserved = reserved.map_err(|error| with_hint(chain(&error), error.hint()))?;
        let others = all.iter().filter(|(other, _)| *other != uid);
        let mut rules: Vec<Published> =
            others.flat_map(|(_, held)| held.published.iter().cloned()).collect();
        rules.extend(published.iter().cloned());
        let set = network.publish(&rules);
        set.map_err(|error| with_hint(chain(&error), error.hint()))?;
        let held = Held { pod: pod.to_owned(), published, _reserved: reserved };
        all.insert(uid.to_owned(), held);
        Ok(())
    }

    /// Takes the ports of pods that run back after a change of supervisor, and publishes exactly
    /// these. What could not be reserved or published is told, and stays wanted.
    pub(crate) fn restore(
        &self,
        network: &Network,
        pods: Vec<(String, String, Vec<Published>)>,
    ) -> Vec<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failures = Vec::new();
        for (uid, pod, published) in pods {
            let mut reserved = Vec::new();
            for port in &published {
                match reserve(port) {
                    Ok(fd) => reserved.push(fd),
                    Err(error) => failures.push(format!("pod {pod}: {}", chain(&error))),
                }
            }
            all.insert(uid, Held { pod, published, _reserved: reserved });
        }
        let rules: Vec<Published> =
            all.values().flat_map(|held| held.published.iter().cloned()).collect();
        if let Err(error) = network.publish(&rules) {
            failures.push(chain(&error));
        }
        failures
    }

    /// Takes a pod off the network and lets its ports go. No other pod claims its own in between:
    /// it would publish these anew, for an address that the next pod may get.
    ///
    /// # Errors
    /// What could not be removed; the ports stay held then.
    pub(crate) fn release(&self, network: &Network, uid: &str) -> net::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(uid) {
            drop(all);
            return network.detach(uid);
        }
        network.detach(uid)?;
        all.remove(uid);
        Ok(())
    }
}

fn reserve(port: &Published) -> Result<OwnedFd, net::Error> {
    net::reserve_port(port.host_ip, port.host_port, port.protocol)
}

/// Who has one of the ports: another pod, or the same pod twice.
fn conflict(all: &BTreeMap<String, Held>, uid: &str, wanted: &[Published]) -> Option<String> {
    for (at, port) in wanted.iter().enumerate() {
        let name = format!("port {}/{} of the host", port.host_port, port.protocol);
        if wanted[..at].iter().any(|other| clashes(port, other)) {
            return Some(format!("{name} is wanted twice by this pod"));
        }
        let other = all.iter().find(|(other, held)| {
            *other != uid && held.published.iter().any(|taken| clashes(port, taken))
        });
        if let Some((_, held)) = other {
            let words = format!("{name} is published for pod {} already", held.pod);
            return Some(with_hint(words, Some("choose another port of the host".to_owned())));
        }
    }
    None
}

fn clashes(a: &Published, b: &Published) -> bool {
    let one = |port: &Published| port.host_ip.filter(|ip| !ip.is_unspecified());
    let apart = matches!((one(a), one(b)), (Some(a), Some(b)) if a != b);
    (a.host_port, a.protocol) == (b.host_port, b.protocol) && !apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: Option<&str>, host_port: u16) -> Published {
        Published {
            uid: "u".to_owned(),
            address: Ipv4Addr::new(10, 77, 0, 2),
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host_port,
            container_port: 80,
            protocol: net::Protocol::Tcp,
        }
    }

    #[test]
    fn two_pods_cannot_have_one_port() {
        let published = vec![port(None, 8080)];
        let held = Held { pod: "web".to_owned(), published, _reserved: Vec::new() };
        let all = BTreeMap::from([("other".to_owned(), held)]);
        for (wanted, words) in [
            (vec![port(None, 8080)], Some("web")),
            (vec![port(Some("127.0.0.1"), 8080)], Some("web")),
            (vec![port(None, 8081)], None),
            (vec![port(None, 8081), port(Some("127.0.0.1"), 8081)], Some("twice")),
            (vec![port(Some("127.0.0.2"), 8081), port(Some("127.0.0.1"), 8081)], None),
        ] {
            let found = conflict(&all, "u", &wanted);
            match words {
                Some(words) => assert!(found.unwrap().contains(words)),
                None => assert_eq!(found, None),
            }
        }
        assert_eq!(conflict(&all, "other", &[port(None, 8080)]), None);
    }

    #[test]
    fn a_port_that_is_let_go_is_not_published_anew() {
        let name = "ports::tests::a_port_that_is_let_go_is_not_published_anew";
        let Some(scope) = scope::enter(name) else { return };
        let network = Network::open(net::Config::new(scope.folder())).unwrap();
        let ports = Ports::default();
        // The pods come and go at the same time: one's end meets the other's beginning.
        std::thread::scope(|threads| {
            for host_port in [8081, 8082] {
                let (network, ports) = (&network, &ports);
                threads.spawn(move || {
                    let uid = format!("u{host_port}");
                    let wanted = Published { uid: uid.clone(), ..port(None, host_port) };
                    for _ in 0..100 {
                        ports.claim(network, (&uid, "web"), vec![wanted.clone()]).unwrap();
                        ports.release(network, &uid).unwrap();
                        let mut list = std::process::Command::new("nft");
                        let listed = list.args(["list", "ruleset"]).output().unwrap();
                        let rules = String::from_utf8_lossy(&listed.stdout);
                        let own = format!("tcp . {host_port} ");
                        assert!(!rules.contains(&own), "published and not held: {rules}");
                    }
                });
            }
        });
        network.teardown().unwrap();
    }
}
