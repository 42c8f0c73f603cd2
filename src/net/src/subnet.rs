//! An IPv4 subnet and which of its addresses pods may have.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A subnet such as 10.77.0.0/16. Its first host address is the gateway, the first and last of all
/// are nobody's, the rest are for pods. A prefix is 8 to 30 bits long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Net {
    network: Ipv4Addr,
    prefix: u8,
}

impl Ipv4Net {
    /// # Errors
    /// [`Error::Subnet`] for bits beyond the prefix or a prefix that leaves no address for a pod.
    pub fn new(network: Ipv4Addr, prefix: u8) -> Result<Ipv4Net, Error> {
        let bad = |problem: String| Error::Subnet { text: format!("{network}/{prefix}"), problem };
        if !(8..=30).contains(&prefix) {
            return Err(bad("the prefix must be 8 to 30 bits long".to_owned()));
        }
        let net = Ipv4Net { network, prefix };
        let base = Ipv4Addr::from(u32::from(network) & net.mask());
        if base != network {
            return Err(bad(format!(
                "there are bits beyond the prefix; did you mean {base}/{prefix}?"
            )));
        }
        if network.is_loopback() || network.is_multicast() || network.is_unspecified() {
            return Err(bad("pods cannot have addresses of this range".to_owned()));
        }
        Ok(net)
    }

    /// Its lowest address.
    #[must_use]
    pub fn network(self) -> Ipv4Addr {
        self.network
    }

    /// Bits of the prefix.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The bridge's address: the first host's.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) + 1)
    }

    /// Its highest address.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) | !self.mask())
    }

    /// How many pods there can be.
    #[must_use]
    pub fn capacity(self) -> u32 {
        !self.mask() - 2
    }

    /// Whether a pod may have this address.
    #[must_use]
    pub fn is_for_pods(self, address: Ipv4Addr) -> bool {
        address > self.gateway() && address < self.broadcast()
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, network: Ipv4Addr, prefix: u8) -> bool {
        let shorter = self.mask() & mask(prefix);
        u32::from(self.network) & shorter == u32::from(network) & shorter
    }

    pub(crate) fn mask(self) -> u32 {
        mask(self.prefix)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

impl FromStr for Ipv4Net {
    type Err = Error;

    fn from_str(text: &str) -> Result<Ipv4Net, Error> {
        let bad =
            |problem: &str| Error::Subnet { text: text.to_owned(), problem: problem.to_owned() };
        let (network, prefix) =
            text.split_once('/').ok_or_else(|| bad("write it as in 10.77.0.0/16"))?;
        let network = network.parse().map_err(|_| bad("this is not an IPv4 address"))?;
        let prefix = prefix.parse().map_err(|_| bad("the prefix is not a number"))?;
        Ipv4Net::new(network, prefix)
    }
}

impl TryFrom<String> for Ipv4Net {
    type Error = Error;

    fn try_from(text: String) -> Result<Ipv4Net, Error> {
        text.parse()
    }
}

impl From<Ipv4Net> for String {
    fn from(net: Ipv4Net) -> String {
        net.to_string()
    }
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_special_addresses() {
        let net: Ipv4Net = "10.77.0.0/16".parse().unwrap();
        assert_eq!(net.gateway(), Ipv4Addr::new(10, 77, 0, 1));
        assert_eq!(net.broadcast(), Ipv4Addr::new(10, 77, 255, 255));
        assert_eq!(net.capacity(), 65533);
        let small: Ipv4Net = "192.0.2.4/30".parse().unwrap();
        assert_eq!(small.capacity(), 1);
        let pods: Vec<u8> =
            (4..8).filter(|n| small.is_for_pods(Ipv4Addr::new(192, 0, 2, *n))).collect();
        assert_eq!(pods, [6]);
    }

    #[test]
    fn refuses_what_is_no_subnet() {
        for (text, part) in [
            ("10.77.0.0", "write it as"),
            ("10.77.0/16", "not an IPv4 address"),
            ("10.77.0.0/x", "not a number"),
            ("10.77.0.0/31", "8 to 30"),
            ("10.77.0.0/7", "8 to 30"),
            ("10.77.1.0/16", "did you mean 10.77.0.0/16"),
            ("127.0.0.0/8", "this range"),
            ("224.0.0.0/8", "this range"),
        ] {
            let error = text.parse::<Ipv4Net>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn tells_overlap() {
        let net: Ipv4Net = "10.77.0.0/16".parse().unwrap();
        for (address, prefix, expected) in [
            ([10, 0, 0, 0], 8, true),
            ([10, 77, 3, 0], 24, true),
            ([10, 78, 0, 0], 16, false),
            ([0, 0, 0, 0], 0, true),
            ([10, 77, 0, 9], 32, true),
        ] {
            assert_eq!(net.overlaps(Ipv4Addr::from(address), prefix), expected, "{address:?}");
        }
    }
}
