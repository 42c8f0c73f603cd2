//! Stdio that outlives a process: FIFOs, and non-blocking use of descriptors that are shared.
//!
//! A FIFO opened read-write by a container is never without a reader, so the death of whoever
//! copies its output cannot kill the container by SIGPIPE; the copier opens it read-only and sees
//! the end when the last such holder is gone (fifo(7)). O_NONBLOCK belongs to the open file
//! description, which a client shares with its shell: [`reopen`] makes an own one.

use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};
use nix::unistd::mkfifo;

/// How [`open_fifo`] opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Read-only, non-blocking; does not wait for a writer.
    Read,
    /// Write-only, non-blocking; fails with ENXIO when nobody reads.
    Write,
    /// Read-only, blocking once open: a container's stdin. Does not wait for a writer.
    BlockingRead,
    /// Read-write, blocking: a container's stdout or stderr.
    Both,
}

/// Makes a FIFO that any user may open through a descriptor it has been given (mode 0666; the
/// folder keeps others away): images whose user is not root open /dev/stdout by name. One that
/// stands there already is kept.
///
/// # Errors
/// Whatever mkfifo or chmod say; EEXIST when something else stands there.
pub fn make_fifo(path: &Path) -> Result<()> {
    match mkfifo(path, Mode::from_bits_truncate(0o600)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let fd = open_fifo(path, End::Read)?;
    Ok(fchmod(fd, Mode::from_bits_truncate(0o666))?)
}

/// Opens a FIFO; never follows a link and never blocks.
///
/// # Errors
/// EEXIST when `path` is something else than a FIFO.
pub fn open_fifo(path: &Path, end: End) -> Result<OwnedFd> {
    let access = match end {
        End::Read => OFlag::O_RDONLY | OFlag::O_NONBLOCK,
        End::Write => OFlag::O_WRONLY | OFlag::O_NONBLOCK,
        End::BlockingRead => OFlag::O_RDONLY | OFlag::O_NONBLOCK,
        End::Both => OFlag::O_RDWR,
    };
    let fd = open(path, access | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?;
    let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFIFO {
        return Err(Errno::EEXIST.into());
    }
    if end == End::BlockingRead {
        fcntl(&fd, FcntlArg::F_SETFL(OFlag::empty()))?;
    }
    Ok(fd)
}

/// Opens /dev/null for reading and writing.
///
/// # Errors
/// Whatever open says.
pub fn open_null() -> Result<OwnedFd> {
    Ok(open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Opens a regular file for appending, mode 0640 when it is made; never follows a link.
///
/// # Errors
/// EEXIST when something else than a regular file stands there.
pub fn open_append(path: &Path) -> Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT;
    let safe = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let fd = open(path, flags | safe, Mode::from_bits_truncate(0o640))?;
    let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFREG { Ok(File::from(fd)) } else { Err(Errno::EEXIST.into()) }
}

/// Whether a descriptor can be waited for, and how.
#[derive(Debug)]
pub enum Reopened {
    /// An own, non-blocking description of the same pipe, FIFO or terminal.
    Own(OwnedFd),
    /// A socket or a regular file: use the descriptor itself.
    Same,
}

/// Opens what `fd` refers to once more, non-blocking, for reading or for writing.
///
/// # Errors
/// EACCES when the caller may not; sockets (ENXIO) and regular files are [`Reopened::Same`].
pub fn reopen(fd: BorrowedFd<'_>, write: bool) -> Result<Reopened> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFIFO && kind != SFlag::S_IFCHR {
        return Ok(Reopened::Same);
    }
    let access = if write { OFlag::O_WRONLY } else { OFlag::O_RDONLY };
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    Ok(Reopened::Own(open(&path, flags, Mode::empty())?))
}

/// Makes the open file description of `fd` non-blocking; only for descriptions that are ours.
///
/// # Errors
/// Whatever fcntl says.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What a non-blocking read or write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes, at least 1.
    Bytes(usize),
    /// Nothing now; wait.
    NotNow,
    /// End of input, or nobody reads the output any more.
    Ended,
}

/// Reads once. EIO is a terminal whose other side has closed: the end.
///
/// # Errors
/// Any other failure of read.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Moved> {
    match nix::unistd::read(fd, buffer) {
        Ok(0) | Err(Errno::EIO) => Ok(Moved::Ended),
        Ok(len) => Ok(Moved::Bytes(len)),
        Err(errno) => not_now(errno),
    }
}

/// Writes once. EPIPE and EIO are the end; SIGPIPE is the caller's to ignore (Rust programs do).
///
/// # Errors
/// Any other failure of write.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<Moved> {
    match nix::unistd::write(fd, bytes) {
        Err(Errno::EPIPE | Errno::EIO | Errno::ECONNRESET) => Ok(Moved::Ended),
        Ok(len) => Ok(Moved::Bytes(len)),
        Err(errno) => not_now(errno),
    }
}

fn not_now(errno: Errno) -> Result<Moved> {
    let error = std::io::Error::from(errno);
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(Moved::NotNow),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_fifo_outlives_its_reader_and_ends_with_its_last_writer() {
        let path = std::env::temp_dir().join(format!("podvisor-fifo-{}", std::process::id()));
        make_fifo(&path).unwrap();
        make_fifo(&path).unwrap();
        let reader = open_fifo(&path, End::Read).unwrap();
        let writer = open_fifo(&path, End::Both).unwrap();
        let mut buffer = [0u8; 16];
        assert_eq!(read(reader.as_fd(), &mut buffer).unwrap(), Moved::NotNow);
        drop(reader);
        assert_eq!(write(writer.as_fd(), b"kept").unwrap(), Moved::Bytes(4));
        let reader = open_fifo(&path, End::Read).unwrap();
        assert_eq!(read(reader.as_fd(), &mut buffer).unwrap(), Moved::Bytes(4));
        drop(writer);
        assert_eq!(read(reader.as_fd(), &mut buffer).unwrap(), Moved::Ended);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"").unwrap();
        assert!(open_fifo(&path, End::Read).is_err());
        assert!(open_append(&path).is_ok());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn reopening_a_pipe_leaves_the_first_description_alone() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let Reopened::Own(own) = reopen(reader.as_fd(), false).unwrap() else { panic!("a pipe") };
        let mut buffer = [0u8; 4];
        assert_eq!(read(own.as_fd(), &mut buffer).unwrap(), Moved::NotNow);
        let flags = OFlag::from_bits_retain(fcntl(&reader, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
        drop(writer);
        assert_eq!(read(own.as_fd(), &mut buffer).unwrap(), Moved::Ended);
    }
}
