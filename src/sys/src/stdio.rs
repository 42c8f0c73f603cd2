//! Stdio that outlives a process: FIFOs, and non-blocking use of descriptors that are shared.
//!
//! A FIFO opened read-write by a container is never without a reader, so the death of whoever
//! copies its output cannot kill the container by SIGPIPE; the copier opens it read-only and sees
//! the end when the last such holder is gone (fifo(7)). O_NONBLOCK belongs to the open file
//! description, which a client shares with its shell: [`Shared`] makes an own one.

use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::socket::{MsgFlags, recv, send};
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

/// A descriptor that somebody else uses too, read or written here without ever blocking and without
/// a change that the other side could see.
#[derive(Debug)]
pub struct Shared {
    fd: OwnedFd,
    is_socket: bool,
}

impl Shared {
    /// Takes a descriptor for reading, or for writing. Pipes, FIFOs and character devices are
    /// opened once more as an own description; sockets take a flag at each call; a regular file
    /// never blocks for long.
    ///
    /// # Errors
    /// EBADF when it is not open that way, EISDIR for a folder, ENXIO when a pipe has no reader.
    pub fn open(fd: OwnedFd, write: bool) -> Result<Shared> {
        let mode = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?) & OFlag::O_ACCMODE;
        let (access, other) = match write {
            true => (OFlag::O_WRONLY, OFlag::O_RDONLY),
            false => (OFlag::O_RDONLY, OFlag::O_WRONLY),
        };
        if mode == other {
            return Err(Errno::EBADF.into());
        }
        let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFSOCK || kind == SFlag::S_IFREG {
            return Ok(Shared { fd, is_socket: kind == SFlag::S_IFSOCK });
        }
        if kind != SFlag::S_IFIFO && kind != SFlag::S_IFCHR {
            return Err(Errno::EISDIR.into());
        }
        let flags = access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        Ok(Shared { fd: open(&path, flags, Mode::empty())?, is_socket: false })
    }

    /// Reads once.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self, buffer: &mut [u8]) -> Result<Moved> {
        if !self.is_socket {
            return read(self.fd.as_fd(), buffer);
        }
        match recv(self.fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(Moved::Ended),
            Ok(len) => Ok(Moved::Bytes(len)),
            Err(errno) => not_now(errno),
        }
    }

    /// Writes once.
    ///
    /// # Errors
    /// As [`write`].
    pub fn write(&self, bytes: &[u8]) -> Result<Moved> {
        if !self.is_socket {
            return write(self.fd.as_fd(), bytes);
        }
        match send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(Moved::Ended),
            Ok(len) => Ok(Moved::Bytes(len)),
            Err(errno) => not_now(errno),
        }
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
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

/// Takes over a descriptor that this process inherited by number: a close-on-exec duplicate. The
/// number itself is closed unless it is stdio.
///
/// # Errors
/// EBADF when nothing is open under that number.
pub fn claim(number: i32) -> Result<File> {
    if number < 0 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: only borrowed for the two calls below; fcntl finds out whether it is open.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    // SAFETY: fcntl made the duplicate just now.
    let own = unsafe { OwnedFd::from_raw_fd(fcntl(inherited, FcntlArg::F_DUPFD_CLOEXEC(3))?) };
    if number > 2 {
        nix::unistd::close(number)?;
    }
    Ok(File::from(own))
}

/// Leaves the inherited stdio: input from /dev/null, both outputs to `log`.
///
/// # Errors
/// Whatever open or dup2 say.
pub fn redirect_all(log: &File) -> Result<()> {
    nix::unistd::dup2_stdin(open_null()?)?;
    nix::unistd::dup2_stdout(log)?;
    nix::unistd::dup2_stderr(log)?;
    Ok(())
}

nix::ioctl_write_ptr_bad!(
    /// TIOCSWINSZ of ioctl_tty(2).
    set_winsize,
    libc::TIOCSWINSZ,
    libc::winsize
);

/// Sets a terminal's window size in characters, through its master; its foreground processes get
/// SIGWINCH.
///
/// # Errors
/// ENOTTY.
pub fn set_window_size(master: BorrowedFd<'_>, rows: u16, cols: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: a whole winsize that the kernel only reads.
    unsafe { set_winsize(master.as_raw_fd(), &raw const size) }?;
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

    #[test]
    fn a_fifo_outlives_its_reader_and_ends_with_its_last_writer() {
        let folder = scope::Folder::new("fifo");
        let path = folder.join("fifo");
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
    }

    #[test]
    fn sharing_a_pipe_leaves_the_first_description_alone() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let shared = Shared::open(reader.try_clone().unwrap(), false).unwrap();
        let mut buffer = [0u8; 4];
        assert_eq!(shared.read(&mut buffer).unwrap(), Moved::NotNow);
        let flags = OFlag::from_bits_retain(fcntl(&reader, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
        assert!(Shared::open(reader.try_clone().unwrap(), true).is_err());
        drop(writer);
        assert_eq!(shared.read(&mut buffer).unwrap(), Moved::Ended);
    }

    #[test]
    fn a_full_socket_does_not_block() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let shared = Shared::open(ours.into(), true).unwrap();
        let block = [0u8; 65536];
        let mut rounds = 0;
        while shared.write(&block).unwrap() != Moved::NotNow {
            rounds += 1;
            assert!(rounds < 1000);
        }
        drop(theirs);
        assert_eq!(shared.write(&block).unwrap(), Moved::Ended);
    }
}
