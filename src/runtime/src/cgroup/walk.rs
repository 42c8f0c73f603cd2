//! Every cgroup below one, however deep: a container that may write to its cgroups nests them as it
//! likes, until no path is long enough for the inmost.
//!
//! Invariants: by descriptors, one name a step, two of them open at a time; no recursion; an end
//! for who makes cgroups faster than they are seen. What goes away meanwhile is passed over.
//! The way up is `..`: a cgroup cannot be moved to another parent.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::stats::gone;

type Name = Vec<u8>;

/// Most cgroups that are looked at.
const MOST: usize = 1 << 18;

/// Tells `visit` of each cgroup, `top` first, and `leave` of each below `top` by its parent and its
/// name, once all below it have been told of.
///
/// # Errors
/// Those of `visit`; of open(2) but for what is gone; [`ErrorKind::QuotaExceeded`] for too many.
pub(super) fn walk(
    top: &Path,
    mut visit: impl FnMut(BorrowedFd<'_>) -> io::Result<()>,
    mut leave: impl FnMut(BorrowedFd<'_>, &[u8]),
) -> io::Result<()> {
    let mut here = match sys::dir::open_root(top) {
        Err(error) if gone(&error) => return Ok(()),
        other => other?,
    };
    let (mut above, mut seen) = (Vec::<(Name, Vec<Name>)>::new(), 1);
    visit(here.as_fd())?;
    let mut left = below(here.as_fd())?;
    loop {
        let Some(name) = left.pop() else {
            let Some((name, others)) = above.pop() else { return Ok(()) };
            here = sys::dir::parent(&here)?;
            leave(here.as_fd(), &name);
            left = others;
            continue;
        };
        let child = match sys::dir::open_folder(&here, &name) {
            // One with something mounted over it is none.
            Err(e) if gone(&e) || e.kind() == ErrorKind::CrossesDevices => continue,
            other => other?,
        };
        seen += 1;
        if seen > MOST {
            let words = format!("has more than {MOST} cgroups below it");
            return Err(io::Error::new(ErrorKind::QuotaExceeded, words));
        }
        visit(child.as_fd())?;
        let inner = below(child.as_fd())?;
        above.push((name, std::mem::replace(&mut left, inner)));
        here = child;
    }
}

fn below(folder: BorrowedFd<'_>) -> io::Result<Vec<Name>> {
    match sys::dir::folders(folder) {
        Err(error) if gone(&error) => Ok(Vec::new()),
        other => other,
    }
}

/// The path of a file in an open folder.
pub(super) fn within(folder: BorrowedFd<'_>, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{file}", folder.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// On plain folders, with a depth that no path has.
    #[test]
    fn each_is_visited_once_and_left_when_all_below_it_are() {
        let top = std::env::temp_dir().join(format!("podvisor-walk-{}", std::process::id()));
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::create_dir_all(top.join("a/d")).unwrap();
        fs::create_dir_all(top.join("e")).unwrap();
        fs::write(top.join("e/file"), "").unwrap();
        let name = "n".repeat(200);
        let mut deep = sys::dir::open_root(&top).unwrap();
        for _ in 0..1200 {
            sys::dir::make_folder(&deep, name.as_bytes(), 0o700).unwrap();
            deep = sys::dir::open_folder(&deep, name.as_bytes()).unwrap();
        }
        let (mut visited, mut order) = (0, Vec::new());
        let count = |_: BorrowedFd<'_>| {
            visited += 1;
            Ok(())
        };
        walk(&top, count, |_, name| order.push(String::from_utf8_lossy(name).into_owned()))
            .unwrap();
        assert_eq!((visited, order.len()), (1206, 1205));
        let at = |name: &str| order.iter().position(|other| other == name).unwrap();
        assert!(at("c") < at("b") && at("b") < at("a") && at("d") < at("a"));
        fs::remove_file(top.join("e/file")).unwrap();
        walk(&top, |_| Ok(()), |parent, name| sys::dir::remove_folder(parent, name).unwrap())
            .unwrap();
        fs::remove_dir(&top).unwrap();
        walk(&top, |_| panic!("nothing is there"), |_, _| ()).unwrap();
    }
}
