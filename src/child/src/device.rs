//! Device nodes, fifos, links and plain folders.
//!
//! An existing name is taken as it is when it is the very device asked for, and is an error
//! otherwise: a link or a file in its place is never followed or written to (CVE-2026-41579).

use core::ffi::{CStr, c_int};

use crate::mount::{attach, clone_tree};
use crate::op::Op;
use crate::raw::{Done, close, syscall, unit};
use crate::run::Child;
use crate::target::{Made, is_folder, make_file, stat};

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
                let done = make_node(folder, self.text(name)?, Node { mode, device, uid, gid });
                close(folder);
                done
            }
            Op::NodeHere { name, mode, device, uid, gid } => {
                let node = Node { mode, device, uid, gid };
                make_node(libc::AT_FDCWD, self.text(name)?, node)
            }
            Op::NodeBind { target, source } => {
                let tree = clone_tree(libc::AT_FDCWD, self.text(source)?, false)?;
                if is_folder(&stat(tree)?) {
                    return Err(libc::EISDIR);
                }
                let (folder, name) = self.parent(target)?;
                let place = make_file(folder, self.text(name)?)?;
                let done = attach(tree, place);
                close(place);
                close(folder);
                close(tree);
                done
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
