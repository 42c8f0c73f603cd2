//! The root itself: where it comes from, what in it is hidden or frozen, and moving into it.
//!
//! Masks are clones of one /dev/null, verified to be the character device 1:3 (CVE-2025-31133), or
//! of one empty read-only tmpfs.

use core::ffi::{CStr, c_int};

use crate::fresh;
use crate::mount::{attach, clone_tree, set_attributes};
use crate::op::{NO_SLOT, Op, Text};
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::{Child, NONE};
use crate::target::{is_folder, stat};

const MOUNT_ATTR_RDONLY: u64 = 0x01;
/// makedev(1, 3).
const NULL_DEVICE: u64 = 0x103;

impl Child<'_> {
    pub(crate) fn rooting(&mut self, op: &Op) -> Done {
        match *op {
            Op::RootBind { source, slot, at } => {
                let (source, at) = (self.text(source)?, self.text(at)?);
                let tree = match slot {
                    NO_SLOT => clone_tree(libc::AT_FDCWD, source, true)?,
                    slot => self.slot(slot)?,
                };
                let place = open_at(at, libc::O_NOFOLLOW)?;
                // A link in the folder's place, there or gone by the second look-up, would have
                // another root (a container whose volume is the folder above could put it there).
                let done = match source != at || is_same(tree, place)? {
                    true => attach(tree, place),
                    false => Err(libc::ENOTDIR),
                };
                close(place);
                self.root = tree;
                done
            }
            Op::RootOverlay { folder, options, at, flags } => {
                syscall!(libc::SYS_chdir, self.text(folder)?)?;
                let (at, options) = (self.text(at)?, self.text(options)?);
                syscall!(libc::SYS_mount, c"overlay", at, c"overlay", flags, options)?;
                self.root = open_folder(at)?;
                Ok(())
            }
            Op::RootHere => {
                self.root = open_folder(c"/")?;
                Ok(())
            }
            Op::RootOf { slot } => take_root(self.slot(slot)?),
            Op::Leave { slot } => {
                // What is mounted nowhere has nothing above it that `..` could lead to.
                let tree = clone_tree(self.root, c"", true)?;
                syscall!(libc::SYS_setns, self.slot(slot)?, libc::CLONE_NEWNS)?;
                let done = take_root(tree);
                close(tree);
                done
            }
            Op::Mask { target, options } => self.mask(target, options),
            Op::ReadOnly { target } => self.freeze(target),
            Op::RootReadOnly => set_attributes(self.root, false, MOUNT_ATTR_RDONLY, 0, 0),
            Op::Pivot { detach } => self.pivot(detach),
            Op::Detach { path, cover } => detach(self.text(path)?, cover),
            Op::MoveRoot => {
                syscall!(libc::SYS_fchdir, self.root)?;
                syscall!(libc::SYS_mount, c".", c"/", 0, libc::MS_MOVE, 0)?;
                syscall!(libc::SYS_chroot, c".")?;
                unit(syscall!(libc::SYS_chdir, c"/"))
            }
            _ => Err(libc::ENOSYS),
        }
    }

    fn pivot(&self, detach: bool) -> Done {
        let old = if detach { open_folder(c"/")? } else { NONE };
        syscall!(libc::SYS_fchdir, self.root)?;
        syscall!(libc::SYS_pivot_root, c".", c".")?;
        if detach {
            syscall!(libc::SYS_fchdir, old)?;
            let private = libc::MS_SLAVE | libc::MS_REC;
            syscall!(libc::SYS_mount, 0, c".", 0, private, 0)?;
            close(old);
        }
        syscall!(libc::SYS_umount2, c".", libc::MNT_DETACH)?;
        unit(syscall!(libc::SYS_chdir, c"/"))
    }

    fn mask(&mut self, target: Text, options: Text) -> Done {
        let place = match self.target(target) {
            Err(libc::ENOENT | libc::ENOTDIR) => return Ok(()),
            other => other?,
        };
        let done = match stat(place).map(|found| is_folder(&found)) {
            Ok(true) => self.mask_folder(options, place),
            Ok(false) => self.mask_file(place),
            Err(errno) => Err(errno),
        };
        close(place);
        done
    }

    /// The first device is cloned from the host's and stays open; the next ones are clones of that.
    /// None is made before it has a place: to let go of one without costs a wait for RCU.
    fn mask_file(&mut self, place: c_int) -> Done {
        if self.null != NONE {
            let device = clone_tree(self.null, c"", false)?;
            let done = attach(device, place);
            close(device);
            return done;
        }
        self.null = clone_tree(libc::AT_FDCWD, c"/dev/null", false)?;
        let found = stat(self.null)?;
        if found.st_mode & libc::S_IFMT != libc::S_IFCHR || found.st_rdev != NULL_DEVICE {
            return Err(libc::ENODEV);
        }
        attach(self.null, place)
    }

    fn mask_folder(&mut self, options: Text, place: c_int) -> Done {
        if self.empty != NONE {
            let tree = clone_tree(self.empty, c"", false)?;
            let done = attach(tree, place);
            close(tree);
            return done;
        }
        let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        let empty = fresh::make(c"tmpfs", c"tmpfs", flags, self.options(options)?)?;
        self.empty = empty;
        attach(empty, place)
    }

    fn freeze(&self, target: Text) -> Done {
        let place = match self.target(target) {
            Err(libc::ENOENT | libc::ENOTDIR) => return Ok(()),
            other => other?,
        };
        let tree = clone_tree(place, c"", true)?;
        let done =
            set_attributes(tree, true, MOUNT_ATTR_RDONLY, 0, 0).and_then(|()| attach(tree, place));
        close(tree);
        close(place);
        done
    }
}

/// See [`Op::Detach`]. What is taken from a shared mount is taken from the host's, too.
fn detach(path: &CStr, cover: bool) -> Done {
    let done = match cover {
        true => unit(syscall!(libc::SYS_mount, 0, path, 0, libc::MS_SLAVE, 0)),
        false => unit(syscall!(libc::SYS_umount2, path, libc::MNT_DETACH)),
    };
    match (done, cover) {
        // Gone with one above it, or hidden: the cover would be in a mount of the host's.
        (Err(libc::ENOENT), _) | (Err(libc::EINVAL), true) => Ok(()),
        // Not to be taken, or of a more privileged owner.
        (Ok(()), true) | (Err(libc::EINVAL | libc::EPERM), false) => {
            let (tmpfs, flags) = (c"tmpfs", libc::MS_RDONLY);
            unit(syscall!(libc::SYS_mount, tmpfs, path, tmpfs, flags, 0))
        }
        (other, _) => other,
    }
}

fn take_root(folder: c_int) -> Done {
    syscall!(libc::SYS_fchdir, folder)?;
    syscall!(libc::SYS_chroot, c".")?;
    unit(syscall!(libc::SYS_chdir, c"/"))
}

fn open_folder(path: &CStr) -> Done<c_int> {
    open_at(path, 0)
}

fn open_at(path: &CStr, how: c_int) -> Done<c_int> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC | how;
    fd(syscall!(libc::SYS_openat, libc::AT_FDCWD, path, flags))
}

fn is_same(one: c_int, other: c_int) -> Done<bool> {
    let (one, other) = (stat(one)?, stat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
