//! Which address a new pod gets. Pure.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::{Error, Ipv4Net, Result};

/// The next free address after `last`, round and round the subnet: one that has just become free is
/// the last to be given again, so that nobody's late packets reach its new owner.
///
/// `used` may hold addresses of other subnets; they do not count.
///
/// # Errors
/// [`Error::Exhausted`] when every address is in use.
pub fn allocate(
    subnet: Ipv4Net,
    used: &BTreeSet<Ipv4Addr>,
    last: Option<Ipv4Addr>,
) -> Result<Ipv4Addr> {
    let lowest = u32::from(subnet.gateway()) + 1;
    let highest = u32::from(subnet.broadcast()) - 1;
    let start = match last {
        Some(last) if subnet.is_for_pods(last) && u32::from(last) < highest => u32::from(last) + 1,
        _ => lowest,
    };
    // As used addresses are met in order, this ends after the used ones of the subnet at most.
    (start..=highest)
        .chain(lowest..start)
        .map(Ipv4Addr::from)
        .find(|address| !used.contains(address))
        .ok_or(Error::Exhausted { subnet })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn set(texts: &[&str]) -> BTreeSet<Ipv4Addr> {
        texts.iter().map(|text| address(text)).collect()
    }

    #[test]
    fn takes_the_next_free_one() {
        for (subnet, used, last, expected) in [
            ("10.77.0.0/16", &[][..], None, "10.77.0.2"),
            ("10.77.0.0/16", &["10.77.0.2", "10.77.0.3"], None, "10.77.0.4"),
            ("10.77.0.0/16", &["10.77.0.3"], Some("10.77.0.2"), "10.77.0.4"),
            ("10.77.0.0/16", &[], Some("10.77.255.254"), "10.77.0.2"),
            ("10.77.0.0/16", &["10.77.255.254"], Some("10.77.255.253"), "10.77.0.2"),
            // `last` of a former configuration
            ("10.77.0.0/16", &[], Some("192.0.2.7"), "10.77.0.2"),
            ("10.77.0.0/16", &[], Some("10.77.0.1"), "10.77.0.2"),
            ("10.77.0.0/16", &["192.0.2.7"], Some("10.77.255.255"), "10.77.0.2"),
            ("10.77.0.0/30", &[], Some("10.77.0.2"), "10.77.0.2"),
        ] {
            let subnet = subnet.parse().unwrap();
            let given = allocate(subnet, &set(used), last.map(address)).unwrap();
            assert_eq!(given, address(expected), "{subnet} {used:?} {last:?}");
        }
    }

    #[test]
    fn says_when_there_is_none() {
        let error = allocate("10.77.0.0/30".parse().unwrap(), &set(&["10.77.0.2"]), None);
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Exhausted { .. }));
        assert!(error.to_string().contains("10.77.0.0/30"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_pool_of_four_survives_ten_thousand_pods() {
        // A /29 has five addresses for pods; one stays in use throughout.
        let subnet: Ipv4Net = "10.77.0.0/29".parse().unwrap();
        let mut used = set(&["10.77.0.4"]);
        let mut last = None;
        let mut living = std::collections::VecDeque::new();
        for cycle in 0..10_000usize {
            let given = allocate(subnet, &used, last).unwrap();
            assert!(subnet.is_for_pods(given) && used.insert(given), "cycle {cycle}: {given}");
            last = Some(given);
            living.push_back(given);
            // One to four pods live at a time.
            while living.len() > cycle % 4 {
                let gone = living.pop_front().unwrap();
                used.remove(&gone);
            }
        }
        assert_eq!(used.len(), living.len() + 1);
    }
}
