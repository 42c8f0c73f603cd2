//! The size of a terminal, set from the side that holds its master.
//!
//! What else a person's terminal needs (raw mode, reading its size) is in `foreground`.

use std::io::Result;
use std::os::fd::{AsRawFd, BorrowedFd};

use request::set_window;

mod request {
    //! One request of ioctl_tty(2).
    nix::ioctl_write_ptr_bad!(set_window, nix::libc::TIOCSWINSZ, nix::libc::winsize);
}

/// Sets rows and columns of a terminal; its foreground processes get SIGWINCH.
///
/// # Errors
/// ENOTTY when it is none.
pub fn set_size(terminal: BorrowedFd<'_>, (rows, cols): (u16, u16)) -> Result<()> {
    let window = nix::libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, which `window` is (ioctl_tty(2)).
    unsafe { set_window(terminal.as_raw_fd(), &raw const window) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_size_arrives_on_the_other_side() {
        let pty = nix::pty::openpty(None, None).unwrap();
        set_size(pty.master.as_fd(), (33, 77)).unwrap();
        assert_eq!(crate::foreground::window_size(pty.slave.as_fd()), Some((33, 77)));
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = set_size(file.as_fd(), (1, 1)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTTY));
    }
}
