//! The host's mounts that matter to a container's root.

use std::path::{Path, PathBuf};

use crate::cgroup::unescape;

/// Where procfs and sysfs are mounted but below `root`, the inmost first.
pub(crate) fn revealing(root: &Path) -> Vec<PathBuf> {
    let table = sys::kernel_file::read("/proc/self/mountinfo").unwrap_or_default();
    let place = |line: &str| {
        let (mount, of) = line.split_once(" - ")?;
        let kind = of.split(' ').next()?;
        let path = mount.split(' ').nth(4)?;
        matches!(kind, "proc" | "sysfs").then(|| PathBuf::from(unescape(path)))
    };
    table.lines().rev().filter_map(place).filter(|path| !path.starts_with(root)).collect()
}

/// The mount that a path is on.
pub(crate) fn mount_above(path: &Path) -> Option<PathBuf> {
    let is_root = |path: &&Path| sys::tree::is_mount_root(path).unwrap_or(false);
    path.ancestors().find(is_root).map(Path::to_path_buf)
}
