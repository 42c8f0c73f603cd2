//! A hook's time and words: how long it may take, what it says, how it ends.
//!
//! Its time begins before it does, so that nobody who stops it on its way holds up the runtime. Its
//! stdout and stderr are pipes of its own, never the caller's: those are the container's, whose log
//! would have a hook's words among the command's. They are read while it runs, and are part of the
//! error when it fails. A process that it has left behind with them is not waited for.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use oci::State;
use oci::runtime::Hook;
use sys::stdio::Moved;
use sys::watch::{BATCH, Interest, Ready, Watch};

use super::Told1;
use crate::spawn::EXEC_SILENT_MAX_MS;

/// Longest run of a hook that names no timeout: a wait without a bound is never right.
const TIMEOUT_MAX_S: u64 = 3600;

/// Bytes that are kept of each stream: the last ones, where the reason stands.
const KEPT_BYTES: usize = 64 * 1024;

/// Reads after the end, for what is still in a pipe; somebody else may go on writing into it.
const LAST_READS: usize = 64;

/// The token of the hook's process; those of the streams are their numbers.
const END: u64 = 2;

/// A hook from before its start to its end.
pub(super) struct Session {
    seconds: u64,
    deadline: Instant,
    streams: [Stream; 2],
}

/// One of its streams.
struct Stream {
    pipe: OwnedFd,
    kept: Vec<u8>,
}

impl Session {
    /// Its time begins; its descriptors 0 to 2: the state to read, and what it says.
    pub(super) fn begin(hook: &Hook, state: &State) -> Told1<(Session, [OwnedFd; 3])> {
        let words = |error: io::Error| error.to_string();
        let text = serde_json::to_vec(state).map_err(|error| error.to_string())?;
        let input = OwnedFd::from(sys::tree::memory_file(&text).map_err(words)?);
        let (out, first) = Stream::open().map_err(words)?;
        let (err, second) = Stream::open().map_err(words)?;
        let seconds = hook.timeout().and_then(|s| u64::try_from(s).ok()).unwrap_or(TIMEOUT_MAX_S);
        // More than a clock can tell is as good as a century.
        let within = Duration::from_secs(seconds.min(u64::from(u32::MAX)));
        let deadline = Instant::now() + within;
        Ok((Session { seconds, deadline, streams: [out, err] }, [input, first, second]))
    }

    /// Longest silence on the way to its execve from now on, in ms; at least 1.
    pub(super) fn silence_max_ms(&self) -> u64 {
        let left = self.deadline.saturating_duration_since(Instant::now()).as_millis();
        u64::try_from(left).unwrap_or(u64::MAX).clamp(1, EXEC_SILENT_MAX_MS)
    }

    /// Waits for its end, once it has begun. What has not ended in time is killed.
    pub(super) fn finish(mut self, process: &OwnedFd) -> Told1<()> {
        let ended = match self.listen(process) {
            Ok(true) => code(process),
            Ok(false) => Err(format!("did not end within {} s and was killed", self.seconds)),
            Err(error) => Err(error.to_string()),
        };
        ended.map_err(|problem| {
            sys::launch::end(process.as_fd());
            self.with_words(problem)
        })
    }

    /// Reads until the process has ended; whether it has before the deadline.
    fn listen(&mut self, process: &OwnedFd) -> io::Result<bool> {
        let watch = Watch::new()?;
        watch.add(process.as_fd(), END, Interest::Read)?;
        for (token, stream) in (0..).zip(&self.streams) {
            watch.add(stream.pipe.as_fd(), token, Interest::Read)?;
        }
        let mut ready = [Ready::default(); BATCH];
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // Rounded up: a wait of a part of a millisecond must not become a spin.
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            let count = watch.wait(&mut ready, Some(left_ms))?;
            for Ready { token } in ready.into_iter().take(count) {
                if token == END {
                    return Ok(true);
                }
                let stream = self.streams.iter_mut().zip(0..).find(|(_, number)| *number == token);
                let Some((stream, _)) = stream else { continue };
                if stream.read()? == Moved::Ended {
                    watch.remove(stream.pipe.as_fd());
                }
            }
        }
    }

    /// A failure together with what the hook has said.
    fn with_words(&mut self, mut problem: String) -> String {
        for (name, stream) in ["stdout", "stderr"].into_iter().zip(&mut self.streams) {
            for _ in 0..LAST_READS {
                if !matches!(stream.read(), Ok(Moved::Bytes(_))) {
                    break;
                }
            }
            let said = String::from_utf8_lossy(&stream.kept);
            if !said.trim().is_empty() {
                problem.push_str(&format!(", {name}: {}", said.trim()));
            }
        }
        problem
    }
}

impl Stream {
    /// A stream and the end that the hook writes into.
    fn open() -> io::Result<(Stream, OwnedFd)> {
        let (reader, writer) = io::pipe()?;
        let pipe = OwnedFd::from(reader);
        sys::stdio::set_nonblocking(pipe.as_fd())?;
        let writer = File::from(OwnedFd::from(writer));
        // It may be somebody else by the time that it opens /dev/stderr by name.
        writer.set_permissions(Permissions::from_mode(0o666))?;
        Ok((Stream { pipe, kept: Vec::new() }, OwnedFd::from(writer)))
    }

    /// Reads once.
    fn read(&mut self) -> io::Result<Moved> {
        let mut buffer = [0; 16 * 1024];
        let moved = sys::stdio::read(self.pipe.as_fd(), &mut buffer)?;
        if let Moved::Bytes(count) = moved {
            self.kept.extend(buffer.iter().take(count));
            self.kept.drain(..self.kept.len().saturating_sub(KEPT_BYTES));
        }
        Ok(moved)
    }
}

/// How a process that has ended did, in words unless well.
fn code(process: &OwnedFd) -> Told1<()> {
    match sys::foreground::reap(process.as_fd()).map_err(|error| error.to_string())? {
        0 => Ok(()),
        // SIGSYS: what a filter ends by.
        159 => Err("was ended by signal 31: bad system call".to_owned()),
        code @ 129..=192 => Err(format!("was ended by signal {}", code - 128)),
        code => Err(format!("ended with exit code {code}")),
    }
}
