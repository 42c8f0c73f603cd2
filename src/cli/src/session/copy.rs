//! Bytes between a person's terminal and the pty of an exec'd process.
//!
//! The master is ours alone, so it may be non-blocking; stdin is shared with the shell that started
//! us and is opened once more for that ([`sys::stdio::Shared`]). What the process wrote before its
//! end is copied before the end is told.

use std::os::fd::{AsFd, OwnedFd};

use monitor::protocol::Request;
use sys::foreground::{EndOfInput, RawMode, window_size};
use sys::stdio::{self, Moved, Shared};
use tokio::io::unix::AsyncFd;

use super::{Caught, Line, Passed, code};
use crate::OWN_FAILURE;
use crate::failure::Failure;
use crate::print;
use crate::readiness::wait_on;

/// Bytes moved at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Where a person's words come from.
enum Input {
    /// Nothing comes, or nothing more.
    Ended,
    /// Something that can be waited for.
    Waited(Shared, AsyncFd<OwnedFd>),
    /// A file: always ready.
    File(Shared),
}

/// Copies until the process has ended; its exit code.
pub(super) async fn terminal(
    mut line: Line,
    master: OwnedFd,
    interactive: bool,
    mut signals: Passed,
) -> Result<u8, Failure> {
    let what = line.what.clone();
    let failed = |error: std::io::Error| Failure::of(what.clone(), &error).code(OWN_FAILURE);
    stdio::set_nonblocking(master.as_fd()).map_err(failed)?;
    set_size(&master);
    let stdin = std::io::stdin();
    let _raw = match interactive {
        true => RawMode::enter(stdin.as_fd()).map_err(failed)?,
        false => None,
    };
    let mut input = if interactive { open(&stdin).map_err(failed)? } else { Input::Ended };
    let master = wait_on(master).map_err(failed)?;
    let (mut typed, mut end) = (Vec::new(), EndOfInput::default());
    let mut record = None;
    let mut open = true;
    while open || record.is_none() {
        tokio::select! {
            ended = line.end(), if record.is_none() => record = Some(ended?),
            more = output(&master), if open => match more.map_err(failed)? {
                Some(bytes) => {
                    print::bytes(&bytes)?;
                    typed.extend(end.again(master.as_fd()));
                }
                None => open = false,
            },
            more = words(&input), if typed.is_empty() => match more.map_err(failed)? {
                Some(bytes) => typed = bytes,
                None => { input = Input::Ended; typed = vec![end.tell(master.as_fd())]; }
            },
            written = write(&master, &typed), if !typed.is_empty() => {
                let len = written.map_err(failed)?;
                typed.drain(..len);
            }
            caught = signals.next() => match caught {
                Caught::Number(signal) => line.tell(&Request::ExecSignal { signal }),
                Caught::Window => set_size(master.get_ref()),
            },
        }
        // A descendant may hold the terminal open: what was written by now is enough.
        if record.is_some() && open {
            while let Moved::Bytes(_) = drain(&master)? {}
            open = false;
        }
    }
    Ok(record.as_ref().map_or(OWN_FAILURE, code))
}

fn drain(master: &AsyncFd<OwnedFd>) -> Result<Moved, Failure> {
    let mut buffer = vec![0u8; CHUNK_BYTES];
    let moved = stdio::read(master.as_fd(), &mut buffer).unwrap_or(Moved::Ended);
    if let Moved::Bytes(len) = moved {
        print::bytes(&buffer[..len])?;
    }
    Ok(moved)
}

fn open(stdin: &std::io::Stdin) -> std::io::Result<Input> {
    let shared = Shared::open(stdin.as_fd().try_clone_to_owned()?, false)?;
    let is_file = std::fs::File::from(shared.as_fd().try_clone_to_owned()?).metadata()?.is_file();
    // What epoll refuses (a file, /dev/null) never blocks either.
    if is_file {
        return Ok(Input::File(shared));
    }
    match wait_on(shared.as_fd().try_clone_to_owned()?) {
        Ok(ready) => Ok(Input::Waited(shared, ready)),
        Err(_) => Ok(Input::File(shared)),
    }
}

/// The next piece of output, `None` at its end.
async fn output(master: &AsyncFd<OwnedFd>) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        let mut guard = master.readable().await?;
        let mut buffer = vec![0u8; CHUNK_BYTES];
        match stdio::read(master.as_fd(), &mut buffer)? {
            Moved::Bytes(len) => {
                buffer.truncate(len);
                return Ok(Some(buffer));
            }
            Moved::NotNow => guard.clear_ready(),
            Moved::Ended => return Ok(None),
        }
    }
}

/// The next piece of what is typed, `None` at its end.
async fn words(input: &Input) -> std::io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0u8; CHUNK_BYTES];
    match input {
        Input::Ended => std::future::pending().await,
        Input::File(shared) => match shared.read(&mut buffer)? {
            Moved::Bytes(len) => {
                buffer.truncate(len);
                Ok(Some(buffer))
            }
            Moved::NotNow | Moved::Ended => Ok(None),
        },
        Input::Waited(shared, ready) => loop {
            let mut guard = ready.readable().await?;
            match shared.read(&mut buffer)? {
                Moved::Bytes(len) => {
                    buffer.truncate(len);
                    return Ok(Some(buffer));
                }
                Moved::NotNow => guard.clear_ready(),
                Moved::Ended => return Ok(None),
            }
        },
    }
}

async fn write(master: &AsyncFd<OwnedFd>, bytes: &[u8]) -> std::io::Result<usize> {
    loop {
        let mut guard = master.writable().await?;
        match stdio::write(master.as_fd(), bytes)? {
            Moved::Bytes(len) => return Ok(len),
            Moved::NotNow => guard.clear_ready(),
            // The other side has gone: its end is told elsewhere.
            Moved::Ended => return Ok(bytes.len()),
        }
    }
}

fn set_size(master: &OwnedFd) {
    if let Some((rows, cols)) = window_size(std::io::stdout().as_fd()) {
        // A terminal without a size works, too.
        let _ = stdio::set_window_size(master.as_fd(), rows, cols);
    }
}
