//! tmpcopyup: a tmpfs that starts with what it covers.
//!
//! Copies owners, modes, links, devices and the bytes of regular files; no extended attributes, no
//! times. Nothing is followed; a tree deeper than 64 folders is an error.

use core::ffi::{CStr, c_int};

use crate::fresh;
use crate::mount::attach;
use crate::op::{Keep, Text};
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::Child;
use crate::target::{Made, stat};

const DEPTH_MAX: u32 = 64;
/// Offset of the name in the kernel's struct linux_dirent64, and of its record length.
const NAME_AT: usize = 19;
const LENGTH_AT: usize = 16;
const OPEN_FOLDER: c_int = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;

impl Child<'_> {
    pub(crate) fn copy_up(
        &mut self,
        target: Text,
        options: Text,
        source: Text,
        flags: u64,
    ) -> Done {
        let covered = self.target_or_make(target, Made::Folder)?;
        let from = fd(syscall!(libc::SYS_openat, covered, c".", OPEN_FOLDER, 0))?;
        let (source, options) = (self.text(source)?, self.options(options)?);
        // Filled before it is anywhere: nobody sees it half full, or has a hand in it.
        let mount = fresh::make(c"tmpfs", source, flags, options)?;
        let to = fd(syscall!(libc::SYS_openat, mount, c".", OPEN_FOLDER, 0))?;
        let done = copy_folder(from, to, 0).and_then(|()| attach(mount, covered));
        close(from);
        close(to);
        close(covered);
        self.keep(target, mount, Keep::Next);
        done
    }
}

fn copy_folder(from: c_int, to: c_int, depth: u32) -> Done {
    if depth > DEPTH_MAX {
        return Err(libc::ELOOP);
    }
    let mut buffer = [0u8; 4096];
    loop {
        let (start, room) = (buffer.as_mut_ptr(), buffer.len());
        let length = syscall!(libc::SYS_getdents64, from, start, room)?;
        if length == 0 {
            return Ok(());
        }
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some((record, more)) = next_record(rest) {
            rest = more;
            let name = record.get(NAME_AT..).unwrap_or_default();
            let name = crate::raw::text_of(name)?;
            if name != c"." && name != c".." {
                copy_one(from, to, name, depth)?;
            }
        }
    }
}

fn next_record(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (low, high) = (rest.get(LENGTH_AT)?, rest.get(LENGTH_AT + 1)?);
    rest.split_at_checked(usize::from(u16::from_ne_bytes([*low, *high])))
}

fn copy_one(from: c_int, to: c_int, name: &CStr, depth: u32) -> Done {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let handle = fd(syscall!(libc::SYS_openat, from, name, flags, 0))?;
    let found = stat(handle);
    close(handle);
    let found = found?;
    match found.st_mode & libc::S_IFMT {
        libc::S_IFDIR => {
            syscall!(libc::SYS_mkdirat, to, name, 0o700)?;
            let below = fd(syscall!(libc::SYS_openat, from, name, OPEN_FOLDER, 0))?;
            let made = fd(syscall!(libc::SYS_openat, to, name, OPEN_FOLDER, 0))?;
            let done =
                copy_folder(below, made, depth.wrapping_add(1)).and_then(|()| own(made, &found));
            close(below);
            close(made);
            done
        }
        libc::S_IFREG => copy_file(from, to, name, &found),
        libc::S_IFLNK => {
            let mut text = [0u8; libc::PATH_MAX as usize];
            let room = text.len().saturating_sub(1);
            syscall!(libc::SYS_readlinkat, from, name, text.as_mut_ptr(), room)?;
            syscall!(libc::SYS_symlinkat, text.as_ptr(), to, name)?;
            chown(to, name, &found)
        }
        _ => {
            syscall!(libc::SYS_mknodat, to, name, found.st_mode, found.st_rdev)?;
            chown(to, name, &found)
        }
    }
}

fn copy_file(from: c_int, to: c_int, name: &CStr, found: &libc::stat) -> Done {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let input = fd(syscall!(libc::SYS_openat, from, name, flags, 0))?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let output = fd(syscall!(libc::SYS_openat, to, name, flags, 0o600))?;
    let mut done = Ok(());
    loop {
        match syscall!(libc::SYS_sendfile, output, input, 0, 1 << 20) {
            Ok(0) => break,
            Ok(_) => {}
            Err(errno) => {
                done = Err(errno);
                break;
            }
        }
    }
    let done = done.and_then(|()| own(output, found));
    close(input);
    close(output);
    done
}

fn own(fd: c_int, found: &libc::stat) -> Done {
    syscall!(libc::SYS_fchown, fd, found.st_uid, found.st_gid)?;
    unit(syscall!(libc::SYS_fchmod, fd, found.st_mode & 0o7777))
}

fn chown(folder: c_int, name: &CStr, found: &libc::stat) -> Done {
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    unit(syscall!(libc::SYS_fchownat, folder, name, found.st_uid, found.st_gid, flags))
}
