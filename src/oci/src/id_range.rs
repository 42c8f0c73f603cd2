//! A range of the host's user and group ids that a user namespace has as its own 0 and up. Pure.

use serde::{Deserialize, Serialize};

/// So many ids of the host, uids and gids alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdRange {
    /// The host's id that is 0 inside.
    pub first: u32,
    /// How many follow one another.
    pub count: u32,
}

impl IdRange {
    /// The map of a user namespace, as user_namespaces(7) has it.
    #[must_use]
    pub fn map(self) -> String {
        format!("0 {} {}\n", self.first, self.count)
    }

    /// The host's id of one inside; none beyond the range.
    #[must_use]
    pub fn outer(self, inner: u32) -> Option<u32> {
        (inner < self.count).then(|| self.first.checked_add(inner)).flatten()
    }

    /// The id inside of one of the host's; none for those of others.
    #[must_use]
    pub fn inner(self, outer: u32) -> Option<u32> {
        outer.checked_sub(self.first).filter(|inner| *inner < self.count)
    }

    /// Whether the ranges share an id.
    #[must_use]
    pub fn meets(self, other: IdRange) -> bool {
        let end = |range: IdRange| u64::from(range.first) + u64::from(range.count);
        let (own, others) = (u64::from(self.first), u64::from(other.first));
        own.max(others) < end(self).min(end(other))
    }

    /// Whether it can be mapped: not empty, without the host's root and without the id that says
    /// "none" (4294967295).
    #[must_use]
    pub fn is_usable(self) -> bool {
        let end = u64::from(self.first) + u64::from(self.count);
        self.first > 0 && self.count > 0 && end <= u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_both_ways_and_not_beyond() {
        let range = IdRange { first: 1000, count: 10 };
        assert_eq!(range.map(), "0 1000 10\n");
        assert_eq!(
            (range.outer(0), range.outer(9), range.outer(10)),
            (Some(1000), Some(1009), None)
        );
        assert_eq!((range.inner(999), range.inner(1009), range.inner(1010)), (None, Some(9), None));
        let of = |first, count| IdRange { first, count };
        assert!(
            range.meets(of(1009, 1)) && range.meets(of(0, 1001)) && range.meets(of(1, u32::MAX))
        );
        assert!(
            !range.meets(of(1010, 5)) && !range.meets(of(0, 1000)) && !range.meets(of(1001, 0))
        );
        assert!(range.is_usable() && of(u32::MAX - 1, 1).is_usable());
        assert!(!of(0, 5).is_usable() && !of(5, 0).is_usable() && !of(u32::MAX, 1).is_usable());
    }
}
