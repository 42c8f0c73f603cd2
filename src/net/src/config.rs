//! What the caller says and is told.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Ipv4Net};

/// How the network of pods looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the bridge, 1 to 15 bytes.
    pub bridge: String,
    /// Addresses of gateway and pods.
    pub subnet: Ipv4Net,
    /// Name of the nftables table (family inet).
    pub table: String,
    /// Folder where switched sysctls are remembered; must exist when a pod is attached.
    pub state: PathBuf,
}

impl Config {
    /// Bridge podvisor0, subnet 10.77.0.0/16, table podvisor.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>) -> Config {
        Config { state: state.into(), ..Config::default() }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            bridge: "podvisor0".to_owned(),
            subnet: Ipv4Net::new(Ipv4Addr::new(10, 77, 0, 0), 16)
                .unwrap_or_else(|_| unreachable!("a valid constant")),
            table: "podvisor".to_owned(),
            state: PathBuf::from("/run/podvisor"),
        }
    }
}

/// A pod to be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The pod's uid.
    pub uid: String,
    /// Its network namespace: a pin or /proc/<pid>/ns/net.
    pub netns: PathBuf,
    /// Its address, out of the subnet.
    pub address: Ipv4Addr,
}

/// A connected pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its address.
    pub address: Ipv4Addr,
    /// Bits of the subnet's prefix.
    pub prefix: u8,
    /// Its default route.
    pub gateway: Ipv4Addr,
    /// MAC address of its eth0.
    pub mac: [u8; 6],
    /// MTU of its eth0, in bytes.
    pub mtu: u32,
    /// The host's end of its veth pair.
    pub host_if: String,
    /// Whether its traffic to other networks is masqueraded: false on a kernel without nf_tables,
    /// where it reaches the host and other pods only.
    pub masquerade: bool,
}

/// Protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The number in the IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Protocol, Error> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            _ => Err(Error::Protocol { text: text.to_owned() }),
        }
    }
}

/// A port of the host that leads to a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// The pod's uid.
    pub uid: String,
    /// The pod's address.
    pub address: Ipv4Addr,
    /// The one address of the host on which it is published; `None` or 0.0.0.0: on all.
    pub host_ip: Option<Ipv4Addr>,
    /// The host's port.
    pub host_port: u16,
    /// The pod's port.
    pub container_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl Published {
    /// The one address, if it is not all of them.
    pub(crate) fn only_on(&self) -> Option<Ipv4Addr> {
        self.host_ip.filter(|address| !address.is_unspecified())
    }
}
