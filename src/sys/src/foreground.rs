//! A process in the foreground of a terminal on behalf of another: raw mode, window size, signals
//! to pass on, the wait for its end.
//!
//! Invariants: raw mode ends with its guard; signals are blocked only in the calling thread and
//! every child must reset its mask. Not here: moving bytes (`stdio`), making ptys.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{self, SetArg, Termios};

/// A terminal in raw mode; dropping the guard puts it back.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Sets `fd` raw when it is a terminal; `None` when it is none.
    ///
    /// # Errors
    /// Whatever tcsetattr says of a terminal.
    pub fn enter(fd: BorrowedFd<'_>) -> Result<Option<RawMode>> {
        RawMode::with(fd, termios::cfmakeraw)
    }

    /// As [`RawMode::enter`], but for the output: its lines still get their carriage returns here.
    ///
    /// # Errors
    /// As [`RawMode::enter`].
    pub fn enter_input(fd: BorrowedFd<'_>) -> Result<Option<RawMode>> {
        RawMode::with(fd, |raw| {
            let output = raw.output_flags;
            termios::cfmakeraw(raw);
            raw.output_flags = output;
        })
    }

    fn with(fd: BorrowedFd<'_>, change: impl Fn(&mut Termios)) -> Result<Option<RawMode>> {
        let Ok(before) = termios::tcgetattr(fd) else { return Ok(None) };
        let mut raw = before.clone();
        change(&mut raw);
        let terminal = fd.try_clone_to_owned()?;
        termios::tcsetattr(&terminal, SetArg::TCSADRAIN, &raw)?;
        Ok(Some(RawMode { terminal, before }))
    }
}

/// Has a terminal end its lines with a line feed alone; asked at either side.
///
/// # Errors
/// What tcsetattr(3) says.
pub fn end_lines_plainly(fd: BorrowedFd<'_>) -> Result<()> {
    let mut mode = termios::tcgetattr(fd)?;
    mode.output_flags.remove(termios::OutputFlags::ONLCR);
    Ok(termios::tcsetattr(fd, SetArg::TCSANOW, &mode)?)
}

/// Whether a terminal hands its reader whole lines (ICANON), asked at either side; `None` when `fd`
/// is no terminal.
#[must_use]
pub fn is_by_lines(fd: BorrowedFd<'_>) -> Option<bool> {
    let mode = termios::tcgetattr(fd).ok()?;
    Some(mode.local_flags.contains(termios::LocalFlags::ICANON))
}

/// The end of somebody's input, told to the reader of a terminal by the character for it (^D).
///
/// A reader that changes the terminal's mode meanwhile (a shell that edits lines itself does, just
/// before it prompts) has lost it: then it is told once more.
#[derive(Debug, Default)]
pub struct EndOfInput {
    told_by_lines: Option<bool>,
}

impl EndOfInput {
    /// The character, at the end of the input.
    pub fn tell(&mut self, master: BorrowedFd<'_>) -> u8 {
        self.told_by_lines = is_by_lines(master);
        END_OF_TRANSMISSION
    }

    /// The character once more, if it was told and the mode has changed since; to be asked when
    /// the reader has written something.
    pub fn again(&mut self, master: BorrowedFd<'_>) -> Option<u8> {
        let told = self.told_by_lines?;
        (is_by_lines(master)? != told).then(|| self.tell(master))
    }
}

/// VEOF of termios(3), as terminals have it.
const END_OF_TRANSMISSION: u8 = 4;

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no putting back.
        let _ = termios::tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

nix::ioctl_read_bad!(
    /// TIOCGWINSZ of ioctl_tty(2).
    get_winsize,
    libc::TIOCGWINSZ,
    libc::winsize
);

/// A terminal's size as (rows, columns); `None` when `fd` is no terminal.
#[must_use]
pub fn window_size(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: a whole winsize that the kernel fills.
    unsafe { get_winsize(fd.as_raw_fd(), &raw mut size) }.ok()?;
    Some((size.ws_row, size.ws_col))
}

/// Signals that are to be passed on, as a descriptor.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

/// What the process itself must get from the kernel: its own faults, its job control.
const OWN: [Signal; 9] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGSYS,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

impl Signals {
    /// Blocks every signal but the process's own faults.
    ///
    /// # Errors
    /// Whatever sigprocmask or signalfd say.
    pub fn block() -> Result<Signals> {
        let mut set = SigSet::all();
        OWN.iter().for_each(|signal| set.remove(*signal));
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { fd })
    }

    /// The next signal's number; `None` when there is none.
    ///
    /// # Errors
    /// Whatever read says.
    pub fn next(&self) -> Result<Option<i32>> {
        let info = self.fd.read_signal()?;
        Ok(info.and_then(|info| i32::try_from(info.ssi_signo).ok()))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// SIGCHLD: news about the process waited for, never passed on.
pub const CHILD: i32 = libc::SIGCHLD;
/// Whether the signal is one by which a person or a service manager ends a program.
#[must_use]
pub fn asks_to_end(signal: i32) -> bool {
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT].contains(&signal)
}

/// SIGWINCH: the terminal's size changed.
pub const WINDOW: i32 = libc::SIGWINCH;

/// What to wait for on a descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// Room to write rather than something to read.
    pub write: bool,
}

/// Waits until one is ready; says of each whether it is. A hang-up or an error counts as ready.
///
/// # Errors
/// Whatever poll says but EINTR.
pub fn any_ready(wanted: &[Wanted<'_>]) -> Result<Vec<bool>> {
    let flags = |w: &Wanted<'_>| if w.write { PollFlags::POLLOUT } else { PollFlags::POLLIN };
    let mut fds: Vec<PollFd<'_>> = wanted.iter().map(|w| PollFd::new(w.fd, flags(w))).collect();
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(fds.iter().map(|fd| fd.any().unwrap_or(true)).collect())
}

/// Waits for a child of this process to end and reaps it; 128+n for one killed by signal n.
///
/// # Errors
/// ECHILD when it is no child of this process.
pub fn reap(pidfd: BorrowedFd<'_>) -> Result<i32> {
    // SAFETY: an all-zero siginfo is a valid value, and the one waitid documents for "nothing".
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(|_| ErrorKind::InvalidInput)?;
    // A clone whose end sends no signal is a child, too.
    let flags = libc::WEXITED | libc::__WALL;
    loop {
        // SAFETY: `info` is a whole siginfo that the kernel fills; the rest are integers.
        let got = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, flags) };
        if got == 0 {
            break;
        }
        let error = Error::last_os_error();
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: waitid filled the SIGCHLD part of the union, of which this is one field.
    let status = unsafe { info.si_status() };
    Ok(if info.si_code == libc::CLD_EXITED { status } else { 128 + status })
}

/// The group of this process.
#[must_use]
pub fn own_gid() -> u32 {
    nix::unistd::getegid().as_raw()
}

/// The number of a signal by name (with or without "SIG", any case) or by number; 0 is allowed.
#[must_use]
pub fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (0..=libc::SIGRTMAX()).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let offset = |rest: &str| if rest.is_empty() { Some(0) } else { rest[1..].parse().ok() };
    let within = |n: i32| (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&n).then_some(n);
    if let Some(rest) = name.strip_prefix("RTMIN").filter(|r| r.is_empty() || r.starts_with('+')) {
        return within(libc::SIGRTMIN() + offset(rest)?);
    }
    if let Some(rest) = name.strip_prefix("RTMAX").filter(|r| r.is_empty() || r.starts_with('-')) {
        return within(libc::SIGRTMAX() - offset(rest)?);
    }
    match name {
        "IOT" => Some(libc::SIGABRT),
        "CLD" => Some(libc::SIGCHLD),
        "POLL" => Some(libc::SIGIO),
        _ => Signal::iterator().find(|s| &s.as_str()[3..] == name).map(|s| s as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("9", Some(9)),
            ("KILL", Some(9)),
            ("sigterm", Some(15)),
            ("SIGRTMIN+3", Some(libc::SIGRTMIN() + 3)),
            ("RTMAX-1", Some(libc::SIGRTMAX() - 1)),
            ("0", Some(0)),
            ("SIGCLD", Some(17)),
            ("FROB", None),
            ("-1", None),
            ("65", None),
            ("RTMIN+99", None),
            ("", None),
        ] {
            assert_eq!(signal_number(text), number, "{text}");
        }
    }
}
