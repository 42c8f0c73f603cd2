//! Device nodes, fifos, links and plain folders.
//!
//! An existing name is taken as it is when it is the very device asked for, and is an error
//! otherwise: a link or a file in its place is never followed or written to (CVE-2026-41579).

use core::ffi::{CStr, c_int};

use crate::mount::{attach, clone_tree};
use crate::op::Op;
use crate::raw::{Done, close, syscall, unit};
use crate::run::Child;
use crate::target::{Made, make_file, stat};

/// A node to be made.
#[derive(Clone, Copy)]
struct Node {
    mode: u32,
    device: u64,
    uid: u32,
    gid: u32,
}

impl Child<'_> {
    pub(crate) fn device(&self, op: &Op) -> Done {
        match *op {
            Op::Node { target, mode, device, uid, gid } => {
                let (folder, name) = self.parent(target)?;
                let node = Node { mode, device, uid, gid };
                let done = make_or_bind((folder, self.text(name)?), node, self.text(target)?);
                close(folder);
                done
            }
            Op::NodeHere { name, host, mode, device, uid, gid } => {
                let node = Node { mode, device, uid, gid };
                make_or_bind((libc::AT_FDCWD, self.text(name)?), node, self.text(host)?)
            }
            Op::NodeBind { target, source, made, mode, device } => {
                let made = self.text(made)?;
                let tree = match made.is_empty() {
                    true => Err(libc::ENOENT),
                    false => clone_tree(libc::AT_FDCWD, made, false),
                };
                let tree = match tree {
                    Err(libc::ENOENT) => clone_node(self.text(source)?, mode, device)?,
                    other => other?,
                };
                let (folder, name) = self.parent(target)?;
                let done = put(tree, folder, self.text(name)?);
                close(folder);
                done
            }
            Op::NodesBegin { slot } => {
                let tree = self.slot(slot)?;
                attach(tree, self.root)?;
                unit(syscall!(libc::SYS_fchdir, tree))
            }
            Op::NodesEnd => {
                syscall!(libc::SYS_umount2, c".", libc::MNT_DETACH)?;
                unit(syscall!(libc::SYS_chdir, c"/"))
            }
            Op::LinkHere { name, to, replace } => {
                let (name, to) = (self.text(name)?, self.text(to)?);
                let link = || unit(syscall!(libc::SYS_symlinkat, to, libc::AT_FDCWD, name));
                match link() {
                    Err(libc::EEXIST) if replace => {
                        syscall!(libc::SYS_unlinkat, libc::AT_FDCWD, name, 0)?;
                        link()
                    }
                    Err(libc::EEXIST) => Ok(()),
                    other => other,
                }
            }
            Op::Folder { target } => {
                close(self.target_or_make(target, Made::Folder)?);
                Ok(())
            }
            _ => Err(libc::ENOSYS),
        }
    }
}

/// Makes the node, or binds the host's where the kernel does not let it be made: who calls may be
/// in a user namespace of somebody else's.
fn make_or_bind((folder, name): (c_int, &CStr), node: Node, host: &CStr) -> Done {
    match make_node(folder, name, node) {
        Err(libc::EPERM) if node.mode & libc::S_IFMT != libc::S_IFIFO => {
            put(clone_node(host, node.mode, node.device)?, folder, name)
        }
        other => other,
    }
}

/// The host's device at a path; ENODEV when it is another than was asked for.
fn clone_node(host: &CStr, mode: u32, device: u64) -> Done<c_int> {
    let tree = clone_tree(libc::AT_FDCWD, host, false)?;
    let found = stat(tree)?;
    let same = found.st_mode & libc::S_IFMT == mode & libc::S_IFMT && found.st_rdev == device;
    if same { Ok(tree) } else { Err(libc::ENODEV) }
}

/// Mounts a tree onto a file, which is made if it is missing.
fn put(tree: c_int, folder: c_int, name: &CStr) -> Done {
    let place = make_file(folder, name)?;
    let done = attach(tree, place);
    close(place);
    close(tree);
    done
}

fn make_node(folder: c_int, name: &CStr, node: Node) -> Done {
    match unit(syscall!(libc::SYS_mknodat, folder, name, node.mode, node.device)) {
        Err(libc::EEXIST) => return same_node(folder, name, node),
        other => other?,
    }
    if node.uid == 0 && node.gid == 0 {
        return Ok(());
    }
    // By handle: the name may be another's by now.
    let found = open_node(folder, name, node)?;
    let flags = libc::AT_EMPTY_PATH;
    let done = unit(syscall!(libc::SYS_fchownat, found, c"", node.uid, node.gid, flags));
    close(found);
    done
}

fn same_node(folder: c_int, name: &CStr, node: Node) -> Done {
    open_node(folder, name, node).map(close)
}

/// A handle of the node `name`, which must be the very one; EEXIST when it is another thing.
fn open_node(folder: c_int, name: &CStr, node: Node) -> Done<c_int> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let found = crate::raw::fd(syscall!(libc::SYS_openat, folder, name, flags))?;
    let kind = node.mode & libc::S_IFMT;
    match stat(found) {
        Ok(is) if is.st_mode & libc::S_IFMT == kind && is.st_rdev == node.device => Ok(found),
        other => {
            close(found);
            Err(other.err().unwrap_or(libc::EEXIST))
        }
    }
}
