//! A client joined to a container's stdio: its own descriptors, read and written without blocking.
//!
//! Each stream holds at most one block that could not be passed on yet. While it does, the stream's
//! source is not read: a slow client slows that stream of that container and nothing else.

use std::os::fd::{BorrowedFd, OwnedFd};

use sys::foreground::EndOfInput;
use sys::stdio::{Moved, Shared};

use crate::log::Stream;
use crate::requests::Failure;

/// A joined client.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) connection: u32,
    pub(crate) container: u32,
    pub(crate) input: Option<Source>,
    /// The end of the input, where the container's stdin is a terminal.
    end: EndOfInput,
    /// For the container's stdout and stderr.
    pub(crate) outputs: [Option<Sink>; 2],
}

impl Attachment {
    /// Takes a client's three descriptors.
    pub(crate) fn open(
        connection: u32,
        container: u32,
        fds: Vec<OwnedFd>,
    ) -> Result<Attachment, Failure> {
        let Ok([input, output, error]) = <[OwnedFd; 3]>::try_from(fds) else {
            let words = "attach needs three file descriptors: stdin, stdout, stderr";
            return Err(Failure::bad_request(words.to_owned()));
        };
        let bad = |name: &str, error: &std::io::Error| {
            Failure::bad_request(format!("{name} cannot be used: {error}"))
        };
        let sink = |fd, name| match Shared::open(fd, true) {
            Ok(fd) => Ok(Some(Sink { fd, pending: Vec::new(), closing: false })),
            Err(error) => Err(bad(name, &error)),
        };
        let input = Source {
            fd: Shared::open(input, false).map_err(|error| bad("stdin", &error))?,
            pending: Vec::new(),
            watched: false,
            always_ready: false,
            ended: false,
        };
        let outputs = [sink(output, "stdout")?, sink(error, "stderr")?];
        let (input, end) = (Some(input), EndOfInput::default());
        Ok(Attachment { connection, container, input, end, outputs })
    }

    /// Closes the client's stream now, or once it has taken what is pending.
    pub(crate) fn end_output(&mut self, stream: Stream) {
        match &mut self.outputs[stream as usize] {
            Some(sink) if !sink.pending.is_empty() => sink.closing = true,
            slot => *slot = None,
        }
    }

    /// Nothing waits to be taken by the client.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outputs.iter().flatten().all(|sink| sink.pending.is_empty())
    }
}

/// The client's stdin.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) fd: Shared,
    /// Read, not yet taken by the container.
    pub(crate) pending: Vec<u8>,
    /// The descriptor can be waited for and is in the watch.
    pub(crate) watched: bool,
    /// It is a regular file or the like: ready whenever the container has room.
    pub(crate) always_ready: bool,
    /// The client has closed it; what is pending still goes on.
    pub(crate) ended: bool,
}

impl Attachment {
    /// Tells a terminal's reader that the client's input has ended; `again`: if it has lost that.
    pub(crate) fn end_input(&mut self, stdin: BorrowedFd<'_>, again: bool) {
        let byte = if again { self.end.again(stdin) } else { Some(self.end.tell(stdin)) };
        if let Some(byte) = byte {
            // A terminal that is full has something to read first, and is asked at its next output.
            let _ = sys::stdio::write(stdin, &[byte]);
        }
    }
}

/// The client's stdout or stderr.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) fd: Shared,
    /// Not yet taken by the client.
    pub(crate) pending: Vec<u8>,
    /// The container's stream has ended: close once `pending` is empty.
    pub(crate) closing: bool,
}

/// What became of data given to a [`Sink`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it.
    All,
    /// The rest is pending.
    Some,
    /// The client is gone.
    Gone,
}

impl Sink {
    /// Passes `data` on, after what is pending.
    pub(crate) fn give(&mut self, data: &[u8]) -> Taken {
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(data);
            return Taken::Some;
        }
        let mut rest = data;
        while !rest.is_empty() {
            match self.fd.write(rest) {
                Ok(Moved::Bytes(len)) => rest = &rest[len..],
                Ok(Moved::NotNow) => {
                    self.pending.extend_from_slice(rest);
                    return Taken::Some;
                }
                // A client's full disk is the client's end, not the container's.
                Ok(Moved::Ended) | Err(_) => return Taken::Gone,
            }
        }
        Taken::All
    }

    /// Passes on what is pending.
    pub(crate) fn flush(&mut self) -> Taken {
        let pending = std::mem::take(&mut self.pending);
        self.give(&pending)
    }
}
