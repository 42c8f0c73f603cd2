//! Files of procfs that are written: sysctls, labels, clocks; and what it says of groups.
//!
//! Invariant: what is written is the kernel's own file. `/proc` must be the root of a procfs, and
//! the way below it crosses no mount and leaves by no link: in a mount namespace that is joined
//! somebody may have put anything there (CVE-2019-16884, CVE-2025-52881).

use core::ffi::c_int;

use crate::op::Text;
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::Child;
use crate::target::{open_beneath, stat};

const PROCFS_MAGIC: i64 = 0x9fa0;
/// PROC_ROOT_INO.
const ROOT_INODE: u64 = 1;
const ROOT: &[u8] = b"/proc/";

impl Child<'_> {
    /// Writes `length` bytes of the text to a file whose path begins with `/proc/`.
    pub(crate) fn write_file(&self, path: Text, text: Text, length: u32) -> Done {
        if !self.text(path)?.to_bytes().starts_with(ROOT) {
            return Err(libc::EXDEV);
        }
        let below = self.text(path.wrapping_add(ROOT.len() as u32))?;
        let text = self.text(text)?;
        let procfs = open_root()?;
        let file = open_beneath(procfs, below, libc::O_WRONLY);
        close(procfs);
        let file = file?;
        let written = syscall!(libc::SYS_write, file, text, length);
        close(file);
        unit(written)
    }
}

/// Whether setgroups(2) is forbidden in the caller's user namespace.
pub(crate) fn denies_groups() -> Done<bool> {
    let procfs = open_root()?;
    let file = open_beneath(procfs, c"self/setgroups", libc::O_RDONLY);
    close(procfs);
    let (file, mut said) = (file?, [0u8; 4]);
    let got = syscall!(libc::SYS_read, file, said.as_mut_ptr(), said.len());
    close(file);
    Ok(got? == said.len() && said == *b"deny")
}

fn open_root() -> Done<c_int> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let root = fd(syscall!(libc::SYS_openat, libc::AT_FDCWD, c"/proc", flags, 0))?;
    match is_root(root) {
        Ok(true) => Ok(root),
        Ok(false) => {
            close(root);
            Err(libc::EXDEV)
        }
        Err(errno) => Err(errno),
    }
}

fn is_root(folder: c_int) -> Done<bool> {
    Ok(on_procfs(folder)? && stat(folder)?.st_ino == ROOT_INODE)
}

/// Whether what a handle is of is the kernel's.
pub(crate) fn on_procfs(handle: c_int) -> Done<bool> {
    // SAFETY: statfs is plain data for which all zeroes is valid.
    let mut system: libc::statfs = unsafe { core::mem::zeroed() };
    syscall!(libc::SYS_fstatfs, handle, &raw mut system)?;
    Ok(system.f_type as i64 == PROCFS_MAGIC)
}
