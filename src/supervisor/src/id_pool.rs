//! Which ids of the host a pod with `hostUsers: false` gets: 65,536 that no other pod has. Pure but
//! for [`Pool::read`].
//!
//! They come from the ranges that /etc/subuid and /etc/subgid give to the user `podvisor`, the same
//! in both (subuid(5); the kubelet does so with the user `kubelet`). Without such an entry they are
//! 1,024 ranges from 1,879,048,192 on, which systemd's list of ids leaves unused, but for those
//! that the two files give to somebody else.

use std::io::ErrorKind;

use oci::IdRange;

/// Ids of a pod; as many as Kubernetes gives.
pub(crate) const IDS_OF_POD: u32 = 1 << 16;

const USER: &str = "podvisor";
const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];
const DEFAULT: IdRange = IdRange { first: 0x7000_0000, count: 1024 * IDS_OF_POD };

/// Why a pod gets no ids.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NoIds {
    /// The files cannot be read.
    #[error("read {path}: {problem}")]
    Unreadable {
        /// Which.
        path: &'static str,
        /// Why.
        problem: String,
    },
    /// The files do not give the same.
    #[error("/etc/subuid and /etc/subgid give the user podvisor different ranges")]
    Differ,
    /// All are in use.
    #[error("no ids are left for a pod with hostUsers: false: all {pods} ranges are in use")]
    Exhausted {
        /// How many pods there is room for.
        pods: usize,
    },
}

impl NoIds {
    /// What to try next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            NoIds::Unreadable { .. } => None,
            NoIds::Differ => Some("make the lines of podvisor in both files the same".to_owned()),
            NoIds::Exhausted { .. } => Some(
                "delete pods, or give podvisor more ids: a line podvisor:FIRST:COUNT in \
                 /etc/subuid and in /etc/subgid, 65536 a pod"
                    .to_owned(),
            ),
        }
    }
}

/// All ranges that pods may get.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pool(Vec<IdRange>);

impl Pool {
    /// As the host's files say now.
    ///
    /// # Errors
    /// [`NoIds::Unreadable`], [`NoIds::Differ`].
    pub(crate) fn read() -> Result<Pool, NoIds> {
        let read = |path: &'static str| match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            other => other.map_err(|e| NoIds::Unreadable { path, problem: e.to_string() }),
        };
        Pool::of(&read(FILES[0])?, &read(FILES[1])?)
    }

    fn of(subuid: &str, subgid: &str) -> Result<Pool, NoIds> {
        let (uids, gids) = (entries(subuid), entries(subgid));
        let own = |all: &[(&str, IdRange)]| -> Vec<IdRange> {
            all.iter().filter(|(user, _)| *user == USER).map(|(_, range)| *range).collect()
        };
        let given = own(&uids);
        if given != own(&gids) {
            return Err(NoIds::Differ);
        }
        if !given.is_empty() {
            return Ok(Pool(given.into_iter().flat_map(cut).collect()));
        }
        let taken =
            |range: &IdRange| uids.iter().chain(&gids).any(|(_, other)| range.meets(*other));
        Ok(Pool(cut(DEFAULT).filter(|range| !taken(range)).collect()))
    }

    /// The first range that shares no id with those in use.
    ///
    /// # Errors
    /// [`NoIds::Exhausted`].
    pub(crate) fn take(&self, used: &[IdRange]) -> Result<IdRange, NoIds> {
        let is_free = |range: &&IdRange| !used.iter().any(|other| range.meets(*other));
        let free = self.0.iter().find(is_free).copied();
        free.ok_or(NoIds::Exhausted { pods: self.0.len() })
    }
}

/// Users and their ranges; a line that is none is left to those it is for.
fn entries(text: &str) -> Vec<(&str, IdRange)> {
    let entry = |line| {
        let mut words = str::split(line, ':');
        let (user, first, count) = (words.next()?, words.next()?, words.next()?);
        let range = IdRange { first: first.parse().ok()?, count: count.trim().parse().ok()? };
        Some((user, range))
    };
    text.lines().filter_map(entry).collect()
}

/// A pod's share each, as many as there are.
fn cut(range: IdRange) -> impl Iterator<Item = IdRange> {
    let share = move |number| {
        let first = range.first.checked_add(number * IDS_OF_POD)?;
        Some(IdRange { first, count: IDS_OF_POD })
    };
    (0..range.count / IDS_OF_POD).filter_map(share).filter(|share| share.is_usable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(pool: &Pool, used: &[IdRange]) -> Option<u32> {
        pool.take(used).ok().map(|range| range.first)
    }

    #[test]
    fn no_two_pods_share_an_id() {
        let lines = "root:1:5\npodvisor:100000:196607\n#podvisor:7:7\npodvisor:0:65536\nbroken\n";
        let pool = Pool::of(lines, lines).unwrap();
        assert_eq!(pool.0.len(), 2, "neither half a share nor the host's root: {pool:?}");
        let one = pool.take(&[]).unwrap();
        assert_eq!(one, IdRange { first: 100_000, count: 65_536 });
        let two = pool.take(&[one]).unwrap();
        assert_eq!(two.first, 165_536);
        assert_eq!(pool.take(&[two]).unwrap(), one, "a range is used again");
        assert_eq!(pool.take(&[one, two]), Err(NoIds::Exhausted { pods: 2 }));
        // Of a pool that has been moved meanwhile.
        let moved = IdRange { first: 99_999, count: 2 };
        assert_eq!(first(&pool, &[moved]), Some(165_536));
    }

    #[test]
    fn what_others_have_is_not_given_to_a_pod() {
        let nobody = Pool::of("", "").unwrap();
        assert_eq!((nobody.0.len(), first(&nobody, &[])), (1024, Some(1_879_048_192)));
        let others = "ann:100000:65536\n1001:1879048191:2\n";
        assert_eq!(first(&Pool::of(others, "").unwrap(), &[]), Some(1_879_113_728));
        assert_eq!(first(&Pool::of("", others).unwrap(), &[]), Some(1_879_113_728));
        let all = "ann:1879048192:2000000000\n";
        assert_eq!(Pool::of(all, "").unwrap().take(&[]), Err(NoIds::Exhausted { pods: 0 }));
    }

    #[test]
    fn uids_and_gids_are_the_same() {
        let one = "podvisor:100000:65536\n";
        assert_eq!(Pool::of(one, ""), Err(NoIds::Differ));
        assert_eq!(Pool::of(one, "podvisor:200000:65536\n"), Err(NoIds::Differ));
        assert!(NoIds::Differ.hint().is_some() && NoIds::Exhausted { pods: 0 }.hint().is_some());
        let none = Pool::of("podvisor:5:100\n", "podvisor:5:100\n").unwrap();
        assert_eq!(none.take(&[]), Err(NoIds::Exhausted { pods: 0 }));
    }
}
