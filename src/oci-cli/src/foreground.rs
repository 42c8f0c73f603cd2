//! A container's process in the foreground: the terminal relayed, signals passed on, its end
//! waited for.
//!
//! The relay never blocks on one side while the other has something to say: both directions have a
//! buffer of their own, and reading stops while it is full. Not here: making the pty.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::readiness::Awaited;
use sys::foreground::{
    CHILD, EndOfInput, RawMode, Signals, WINDOW, Wanted, any_ready, reap, window_size,
};
use sys::stdio::{Moved, Shared, set_nonblocking, set_window_size};

/// Bytes under way in one direction.
const BUFFER: usize = 16 * 1024;

/// Waits for the process; `pass` gets each signal that came for it, and its service manager is told
/// when it is ready, if that is awaited. The result is its exit code,
/// 128+n when signal n killed it.
///
/// # Errors
/// The kernel's, of the waiting.
pub(crate) fn wait(
    signals: &Signals,
    pidfd: BorrowedFd<'_>,
    console: Option<OwnedFd>,
    mut awaited: Option<Awaited>,
    mut pass: impl FnMut(i32),
) -> io::Result<u8> {
    let mut relay = console.map(Relay::start).transpose()?;
    loop {
        let mut wanted =
            vec![Wanted { fd: pidfd, write: false }, Wanted { fd: signals.as_fd(), write: false }];
        wanted.extend(awaited.iter().map(|a| Wanted { fd: a.as_fd(), write: false }));
        let first = wanted.len();
        let relayed = relay.as_ref().map_or_else(Vec::new, Relay::wanted);
        wanted.extend(relayed.iter().map(|(_, w)| *w));
        let ready = any_ready(&wanted)?;
        let now: Vec<Side> = relayed
            .iter()
            .zip(&ready[first..])
            .filter(|(_, ready)| **ready)
            .map(|((side, _), _)| *side)
            .collect();
        let (ended, signalled) = (ready[0], ready[1]);
        if awaited.as_ref().map_or(Ok(false), |awaited| awaited.hear(None))? {
            awaited = None;
        }
        if let Some(relay) = &mut relay {
            for side in now {
                relay.step(side)?;
            }
        }
        while let Some(signal) = signals.next()?.filter(|_| signalled) {
            match (signal, &relay) {
                (CHILD, _) => {}
                (WINDOW, Some(relay)) => relay.resize(),
                (other, _) => pass(other),
            }
        }
        if ended {
            if let Some(relay) = &mut relay {
                relay.drain();
            }
            let code = reap(pidfd)?;
            return Ok(u8::try_from(code).unwrap_or(255));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    FromUser,
    ToUser,
    FromContainer,
    ToContainer,
}

/// Both directions between our stdio and the pty's master.
struct Relay {
    master: OwnedFd,
    input: Option<Shared>,
    output: Shared,
    to_container: Vec<u8>,
    to_user: Vec<u8>,
    container_open: bool,
    end: EndOfInput,
    _raw: Option<RawMode>,
}

impl Relay {
    fn start(master: OwnedFd) -> io::Result<Relay> {
        set_nonblocking(master.as_fd())?;
        let raw = RawMode::enter_input(io::stdin().as_fd())?;
        // Stdin may be closed or /dev/null: then there is nothing to relay from it.
        let input = io::stdin().as_fd().try_clone_to_owned().and_then(|f| Shared::open(f, false));
        let output = Shared::open(io::stdout().as_fd().try_clone_to_owned()?, true)?;
        let relay = Relay {
            master,
            input: input.ok(),
            output,
            to_container: Vec::new(),
            to_user: Vec::new(),
            container_open: true,
            end: EndOfInput::default(),
            _raw: raw,
        };
        relay.resize();
        Ok(relay)
    }

    fn resize(&self) {
        if let Some((rows, columns)) = window_size(io::stdin().as_fd()) {
            // The container's side may have closed just now; its end is seen elsewhere.
            let _ = set_window_size(self.master.as_fd(), rows, columns);
        }
    }

    fn wanted(&self) -> Vec<(Side, Wanted<'_>)> {
        let mut out = Vec::with_capacity(4);
        let mut want = |side, fd, write| out.push((side, Wanted { fd, write }));
        if let Some(input) = self.input.as_ref().filter(|_| self.to_container.is_empty()) {
            want(Side::FromUser, input.as_fd(), false);
        }
        if !self.to_container.is_empty() && self.container_open {
            want(Side::ToContainer, self.master.as_fd(), true);
        }
        if self.to_user.is_empty() && self.container_open {
            want(Side::FromContainer, self.master.as_fd(), false);
        }
        if !self.to_user.is_empty() {
            want(Side::ToUser, self.output.as_fd(), true);
        }
        out
    }

    fn step(&mut self, side: Side) -> io::Result<()> {
        let mut buffer = [0u8; BUFFER];
        match side {
            Side::FromUser => {
                let Some(input) = &self.input else { return Ok(()) };
                match input.read(&mut buffer)? {
                    Moved::Bytes(n) => self.to_container.extend_from_slice(&buffer[..n]),
                    Moved::NotNow => {}
                    Moved::Ended => {
                        self.input = None;
                        self.to_container.push(self.end.tell(self.master.as_fd()));
                    }
                }
            }
            Side::FromContainer => match sys::stdio::read(self.master.as_fd(), &mut buffer)? {
                Moved::Bytes(n) => {
                    self.to_user.extend_from_slice(&buffer[..n]);
                    self.to_container.extend(self.end.again(self.master.as_fd()));
                }
                Moved::NotNow => {}
                Moved::Ended => self.container_open = false,
            },
            Side::ToContainer => {
                match sys::stdio::write(self.master.as_fd(), &self.to_container)? {
                    Moved::Bytes(n) => drop(self.to_container.drain(..n)),
                    Moved::NotNow => {}
                    Moved::Ended => self.to_container.clear(),
                }
            }
            Side::ToUser => match self.output.write(&self.to_user)? {
                Moved::Bytes(n) => drop(self.to_user.drain(..n)),
                Moved::NotNow => {}
                // Nobody reads: what comes is thrown away, the container goes on.
                Moved::Ended => self.to_user.clear(),
            },
        }
        Ok(())
    }

    /// What the container wrote before its end still belongs to the user.
    fn drain(&mut self) {
        let mut buffer = [0u8; BUFFER];
        while let Ok(Moved::Bytes(n)) = sys::stdio::read(self.master.as_fd(), &mut buffer) {
            self.to_user.extend_from_slice(&buffer[..n]);
        }
        while !self.to_user.is_empty() {
            let wanted = [Wanted { fd: self.output.as_fd(), write: true }];
            if any_ready(&wanted).is_err() {
                return;
            }
            if self.step(Side::ToUser).is_err() {
                return;
            }
        }
    }
}
