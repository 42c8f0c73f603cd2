//! Mounts: onto a handle of the target, never onto its name.
//!
//! A file system goes onto the folder that the target's look-up opened (fchdir, then `.`), or is
//! made apart and kept (`fresh`); a bind is a detached clone moved onto the opened target. So
//! nothing that changes between look-up and mount can lead elsewhere.

use core::ffi::{CStr, c_int};

use crate::op::{Attributes, Keep, Kind, Links, NO_SLOT, Op, Text};
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::Child;
use crate::target::{Made, is_folder, is_link, stat};

const OPEN_TREE_CLONE: c_int = 1;
pub(crate) const AT_RECURSIVE: c_int = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: c_int = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: c_int = 0x40;
/// Most bytes of mount(2)'s options: a page.
const OPTIONS_MAX: usize = 4096;

/// Most bytes of what a link says, and a NUL.
const LINK_MAX: usize = libc::PATH_MAX as usize + 1;

/// What the kernel locks in a mount namespace of fewer rights, but for atime: ro, nosuid, nodev,
/// noexec.
const LOCKED: u64 = libc::MOUNT_ATTR_RDONLY
    | libc::MOUNT_ATTR_NOSUID
    | libc::MOUNT_ATTR_NODEV
    | libc::MOUNT_ATTR_NOEXEC;

/// The kernel's struct mount_attr.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A detached clone of the mount at `path`.
pub(crate) fn clone_tree(folder: c_int, path: &CStr, recursive: bool) -> Done<c_int> {
    let empty = if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    clone_by(folder, path, recursive, empty)
}

/// The same of what is at `path` itself, be it a link.
pub(crate) fn clone_itself(path: &CStr, recursive: bool) -> Done<c_int> {
    clone_by(libc::AT_FDCWD, path, recursive, libc::AT_SYMLINK_NOFOLLOW)
}

fn clone_by(folder: c_int, path: &CStr, recursive: bool, how: c_int) -> Done<c_int> {
    let recursive = if recursive { AT_RECURSIVE } else { 0 };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC | how | recursive;
    fd(syscall!(libc::SYS_open_tree, folder, path, flags))
}

/// Attaches a detached tree onto what `target` is a handle of. A file and a folder do not go
/// together, which is ENOTDIR here as with mount(2): engines look for its words.
pub(crate) fn attach(tree: c_int, target: c_int) -> Done {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    match syscall!(libc::SYS_move_mount, tree, c"", target, c"", flags) {
        Err(libc::EINVAL) if is_folder(&stat(tree)?) != is_folder(&stat(target)?) => {
            Err(libc::ENOTDIR)
        }
        other => unit(other),
    }
}

/// mount_setattr(2) on a handle.
pub(crate) fn set_attributes(
    mount: c_int,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
) -> Done {
    let attributes = MountAttr { set, clear, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    let size = size_of::<MountAttr>();
    unit(syscall!(libc::SYS_mount_setattr, mount, c"", flags, &raw const attributes, size))
}

fn read_link<'a>(folder: c_int, name: &CStr, room: &'a mut [u8; LINK_MAX]) -> Done<&'a CStr> {
    let (at, size) = (room.as_mut_ptr(), LINK_MAX - 1);
    syscall!(libc::SYS_readlinkat, folder, name, at, size)?;
    crate::raw::text_of(room)
}

fn change(mount: c_int, to: Attributes, recursive: bool) -> Done {
    if to.is_empty() {
        return Ok(());
    }
    set_attributes(mount, recursive, to.set, to.clear, to.propagation)
}

/// The attributes of a bind mount: `implied` ones go, unless the kernel has locked them.
fn restrict(tree: c_int, own: Attributes, implied: u64) -> Done {
    let all = Attributes { clear: own.clear | implied, ..own };
    match change(tree, all, false) {
        Err(libc::EPERM) if implied & LOCKED != 0 => {}
        other => return other,
    }
    change(tree, Attributes { clear: own.clear | implied & !LOCKED, ..own }, false)
}

/// `mode=` of a folder, and `options` behind it.
fn with_mode<'a>(room: &'a mut [u8], folder: c_int, options: &CStr) -> Done<&'a CStr> {
    let mode = stat(folder)?.st_mode;
    let digit = |at: u32| b'0'.wrapping_add((mode >> (3 * at) & 7) as u8);
    let digits = [digit(3), digit(2), digit(1), digit(0)];
    let comma: &[u8] = if options.is_empty() { b"" } else { b"," };
    let parts = [b"mode=", &digits[..], comma, options.to_bytes_with_nul()];
    let mut to = room.iter_mut();
    for byte in parts.into_iter().flatten() {
        *to.next().ok_or(libc::E2BIG)? = *byte;
    }
    crate::raw::text_of(room)
}

impl Child<'_> {
    pub(crate) fn mounting(&mut self, op: &Op) -> Done {
        match *op {
            Op::Propagate { path, flags } => {
                unit(syscall!(libc::SYS_mount, 0, self.text(path)?, 0, flags, 0))
            }
            Op::Mount { .. } => self.mount(op),
            Op::Bind { .. } => self.bind(op),
            Op::Change { target, attributes, recursive } => {
                let mount = self.target(target)?;
                let done = change(mount, attributes, recursive);
                close(mount);
                done
            }
            Op::Label { target, label, length } => {
                let flags = libc::O_RDONLY | libc::O_DIRECTORY;
                let folder = self.look(self.text(target)?, flags, false)?;
                let (name, label) = (c"security.selinux", self.text(label)?);
                let done = syscall!(libc::SYS_fsetxattr, folder, name, label, length, 0);
                close(folder);
                unit(done)
            }
            Op::Enter { target } => {
                let folder = self.target_or_make(target, Made::Folder)?;
                let done = unit(syscall!(libc::SYS_fchdir, folder));
                close(folder);
                done
            }
            Op::MountHere { name, source, kind, flags, options } => {
                let name = self.text(name)?;
                syscall!(libc::SYS_mkdirat, libc::AT_FDCWD, name, 0o755)?;
                let (source, kind) = (self.text(source)?, self.text(kind)?);
                let options = self.options(options)?;
                unit(syscall!(libc::SYS_mount, source, name, kind, flags, options))
            }
            Op::BindHere { name, source, set } => {
                let name = self.text(name)?;
                syscall!(libc::SYS_mkdirat, libc::AT_FDCWD, name, 0o755)?;
                let tree = clone_tree(libc::AT_FDCWD, self.text(source)?, true)?;
                set_attributes(tree, true, set, 0, 0)?;
                let flags = MOVE_MOUNT_F_EMPTY_PATH;
                unit(syscall!(libc::SYS_move_mount, tree, c"", libc::AT_FDCWD, name, flags))?;
                close(tree);
                Ok(())
            }
            _ => Err(libc::ENOSYS),
        }
    }

    /// Mount options; an empty string is none.
    pub(crate) fn options(&self, options: Text) -> Done<Option<&CStr>> {
        Ok(Some(self.text(options)?).filter(|text| !text.is_empty()))
    }

    /// Apart, for the room that it takes on the stack.
    #[inline(never)]
    fn mount(&mut self, op: &Op) -> Done {
        let Op::Mount { target, source, kind, flags, options, firm, inherit, keep } = *op else {
            return Err(libc::ENOSYS);
        };
        let text = self.text(target)?;
        let (folder, found) = match self.look(text, libc::O_PATH | libc::O_DIRECTORY, firm) {
            Err(libc::ENOENT) => (self.target_or_make(target, Made::Folder)?, false),
            other => (other?, true),
        };
        let mut room = [0u8; OPTIONS_MAX];
        let options = match inherit && found {
            true => Some(with_mode(&mut room, folder, self.text(options)?)?),
            false => self.options(options)?,
        };
        if keep != Keep::No || self.is_root(target) && flags & libc::MS_REMOUNT == 0 {
            let (source, kind) = (self.text(source)?, self.text(kind)?);
            let mount = crate::fresh::make(kind, source, flags, options)?;
            let done = attach(mount, folder);
            close(folder);
            self.keep(target, mount, keep);
            return done;
        }
        let entered = unit(syscall!(libc::SYS_fchdir, folder));
        close(folder);
        entered?;
        let (source, kind) = (self.text(source)?, self.text(kind)?);
        unit(syscall!(libc::SYS_mount, source, c".", kind, flags, options))
    }

    fn bind(&mut self, op: &Op) -> Done {
        let Op::Bind { target, source, slot, recursive, mapped, firm, links, own, implied, deep } =
            *op
        else {
            return Err(libc::ENOSYS);
        };
        let tree = match slot {
            NO_SLOT if links.source => clone_itself(self.text(source)?, recursive)?,
            NO_SLOT => clone_tree(libc::AT_FDCWD, self.text(source)?, recursive)?,
            slot => self.slot(slot)?,
        };
        if links.copy && is_link(&stat(tree)?) {
            let done = self.copy_link(tree, target);
            close(tree);
            return done;
        }
        if mapped {
            self.tell(Kind::Tree, 0, tree)?;
            self.listen()?;
        }
        restrict(tree, own, implied)?;
        change(tree, deep, true)?;
        let made = if is_folder(&stat(tree)?) { Made::Folder } else { Made::File };
        let place = match links {
            Links { target: true, .. } => self.place_itself(target, made)?,
            _ => self.place(target, made, firm)?,
        };
        let done = attach(tree, place);
        close(place);
        match done {
            Ok(()) if self.is_root(target) => self.keep(target, tree, Keep::No),
            _ => close(tree),
        }
        done
    }

    /// Makes the link that `link` is a handle of at `target`, where the same one may be.
    #[inline(never)]
    fn copy_link(&self, link: c_int, target: Text) -> Done {
        let (mut says, mut there) = ([0u8; LINK_MAX], [0u8; LINK_MAX]);
        let says = read_link(link, c"", &mut says)?;
        let (folder, name) = self.parent(target)?;
        let name = self.text(name)?;
        let done = match unit(syscall!(libc::SYS_symlinkat, says, folder, name)) {
            Err(libc::EEXIST) if read_link(folder, name, &mut there) == Ok(says) => Ok(()),
            other => other,
        };
        close(folder);
        done
    }
}
