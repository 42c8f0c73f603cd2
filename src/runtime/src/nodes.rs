//! Devices for a container with a user namespace, where none can be made: in a file system of ours,
//! mounted nowhere yet, from which the child binds them.
//!
//! What may not be made here either is left out: the host's own is bound then. Whether a device may
//! be used is its cgroup's affair.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use sys::launch::above_stdio;

use crate::error::{Error, Result};

/// A device to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where the container is to have it, for words.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) node: sys::dir::Node,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner, as the host numbers them.
    pub(crate) uid: u32,
    /// Group, as the host numbers them.
    pub(crate) gid: u32,
}

/// A detached tmpfs with the nodes, named by their numbers.
///
/// # Errors
/// That of the node which fails otherwise than by EPERM.
pub(crate) fn make(nodes: &[Option<Node>]) -> Result<OwnedFd> {
    let failed = |source| Error::Clone { source };
    let folder = sys::tree::tmpfs().and_then(above_stdio).map_err(failed)?;
    for (number, node) in nodes.iter().enumerate() {
        let Some(node) = node else { continue };
        let name = number.to_string();
        let made = one(folder.as_fd(), name.as_bytes(), node);
        made.map_err(Error::io("make device", &node.path))?;
    }
    Ok(folder)
}

fn one(folder: BorrowedFd<'_>, name: &[u8], node: &Node) -> std::io::Result<()> {
    match sys::dir::make_node(folder, name, node.node, 0) {
        Err(error) if error.raw_os_error() == Some(sys::abi::EPERM) => return Ok(()),
        other => other?,
    }
    sys::dir::set_owner(folder, name, node.uid, node.gid)?;
    sys::dir::set_mode(folder, name, node.mode)
}
