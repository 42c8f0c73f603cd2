//! The terminal a person sits at: its size, and raw mode for as long as a guard lives.
//!
//! Invariant: the mode found is the mode left, also after a panic that unwinds. What a container's
//! side of a terminal needs is elsewhere.

use std::io::Result;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use request::{get_window, set_window};

mod request {
    //! The two requests of ioctl_tty(2).
    nix::ioctl_read_bad!(get_window, nix::libc::TIOCGWINSZ, nix::libc::winsize);
    nix::ioctl_write_ptr_bad!(set_window, nix::libc::TIOCSWINSZ, nix::libc::winsize);
}

/// Rows and columns of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// The size of a terminal.
///
/// # Errors
/// ENOTTY when it is none.
pub fn size(terminal: BorrowedFd<'_>) -> Result<Size> {
    let mut window = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, which `window` is (ioctl_tty(2)).
    unsafe { get_window(terminal.as_raw_fd(), &raw mut window) }?;
    Ok(Size { rows: window.ws_row, cols: window.ws_col })
}

/// Sets the size of a terminal; its foreground processes get SIGWINCH.
///
/// # Errors
/// ENOTTY when it is none.
pub fn set_size(terminal: BorrowedFd<'_>, size: Size) -> Result<()> {
    let window =
        nix::libc::winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, which `window` is (ioctl_tty(2)).
    unsafe { set_window(terminal.as_raw_fd(), &raw const window) }?;
    Ok(())
}

/// A terminal in raw mode; dropping it puts the mode back.
#[derive(Debug)]
pub struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Makes a terminal raw.
    ///
    /// # Errors
    /// ENOTTY when it is none.
    pub fn enter(terminal: BorrowedFd<'_>) -> Result<Raw> {
        let terminal = terminal.try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&terminal, SetArg::TCSANOW, &raw)?;
        Ok(Raw { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs no mode.
        let _ = tcsetattr(self.terminal.as_fd(), SetArg::TCSANOW, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::termios::LocalFlags;

    #[test]
    fn raw_mode_ends_with_its_guard_and_sizes_are_kept() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let echo = || tcgetattr(&pty.slave).unwrap().local_flags.contains(LocalFlags::ECHO);
        assert!(echo());
        let raw = Raw::enter(pty.slave.as_fd()).unwrap();
        assert!(!echo());
        drop(raw);
        assert!(echo());
        let wanted = Size { rows: 33, cols: 77 };
        set_size(pty.master.as_fd(), wanted).unwrap();
        assert_eq!(size(pty.slave.as_fd()).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_terminal_says_so() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = size(file.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTTY));
        assert!(Raw::enter(file.as_fd()).is_err());
    }
}
