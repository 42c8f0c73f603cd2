//! The program's own file, out of the reach of what it starts.
//!
//! A process in a container gets hold of the program that makes it (`/proc/PID/exe` of one that has
//! just joined, or `#!/proc/self/exe`) and, when it is root, could write to it once nobody executes
//! it (CVE-2019-5736). [`own_program`] goes on in a clone of the program's mount that is read-only
//! and attached nowhere, so that nobody can change it, whatever privileges a container has. Nothing
//! is copied, but where no mount may be cloned: then into a sealed file in memory.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Error, ErrorKind, Result, copy};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access, geteuid};

const OWN: &str = "/proc/self/exe";

/// Returns when the program's own file cannot be written to through this process; begins the
/// program anew, with the same arguments, where it could be. For a process that has done nothing
/// yet that an execve(2) would lose.
///
/// # Errors
/// The kernel's when neither a mount nor a file in memory can be had.
pub fn own_program() -> Result<()> {
    if is_sealed()? {
        return Ok(());
    }
    let mounted = crate::tree::clone(Path::new(OWN), false).and_then(|tree| {
        let set = libc::MOUNT_ATTR_RDONLY;
        let attributes =
            libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
        crate::tree::set_attributes(tree.as_fd(), &attributes, libc::AT_EMPTY_PATH)?;
        execute(tree)
    });
    // Without the right to mount there is the copy, for whom it is the only thing between a
    // container and the file: root in there has no more rights to it than the caller.
    let Err(error) = mounted;
    let ours = std::fs::metadata(OWN)?.uid() == geteuid().as_raw();
    if error.kind() == ErrorKind::PermissionDenied
        && !ours
        && access(OWN, AccessFlags::W_OK).is_err()
    {
        return Ok(());
    }
    let Err(error) = execute(in_memory()?);
    Err(error)
}

fn is_sealed() -> Result<bool> {
    // The mount's flags and the file system's together.
    if statvfs(OWN)?.flags().contains(FsFlags::ST_RDONLY) {
        return Ok(true);
    }
    // Only files in memory have any.
    let seals = fcntl(File::open(OWN)?, FcntlArg::F_GET_SEALS).unwrap_or(0);
    Ok(SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE))
}

fn in_memory() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("podvisor-oci", flags)?);
    copy(&mut File::open(OWN)?, &mut file)?;
    let all = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    fcntl(&file, FcntlArg::F_ADD_SEALS(all | SealFlag::F_SEAL_SEAL))?;
    // What is open for writing cannot be executed.
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(again.into())
}

/// The same arguments and environment to the program that `program` is of.
fn execute(program: OwnedFd) -> Result<Infallible> {
    let words = |all: Vec<OsString>| -> Result<Vec<CString>> {
        all.into_iter().map(|word| CString::new(word.into_vec()).map_err(Error::other)).collect()
    };
    let args = words(std::env::args_os().collect())?;
    let variables = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let variables = words(variables.collect())?;
    let pointers = |all: &[CString]| -> Vec<*const libc::c_char> {
        all.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(&args), pointers(&variables));
    let (number, fd, empty) = (libc::SYS_execveat, program.as_raw_fd(), c"".as_ptr());
    // SAFETY: NUL-terminated strings in NULL-terminated lists, all of which outlive the call.
    let _ = unsafe {
        libc::syscall(number, fd, empty, argv.as_ptr(), envp.as_ptr(), libc::AT_EMPTY_PATH)
    };
    Err(Error::last_os_error())
}
