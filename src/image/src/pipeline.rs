//! Decompressing in one thread, hashing in a second one, while a third one unpacks.
//!
//! A few buffers circulate between the three: the producer fills, the hasher and then the consumer
//! read them in place. Memory is bounded by [`BUFFERS`] x [`BUFFER_BYTES`]. No knowledge of tar.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::blobs::read_some;
use crate::digest::{Digest, Hasher};
use crate::fault::Fault;

const BUFFERS: usize = 6;
const BUFFER_BYTES: usize = 256 << 10;

enum Message {
    Data(Vec<u8>, usize),
    Failed(io::Error),
    End,
}

/// The producer's end.
pub(crate) struct Writer {
    filled: SyncSender<Message>,
    empty: Receiver<Vec<u8>>,
}

/// What stands between the two.
pub(crate) struct Digester {
    filled: Receiver<Message>,
    onward: SyncSender<Message>,
}

/// The consumer's end: a stream of what was produced.
pub(crate) struct Output {
    filled: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    length: usize,
    at: usize,
    ended: bool,
}

/// The three parts of a new pipeline.
pub(crate) fn new() -> (Writer, Digester, Output) {
    let (filled_in, filled_out) = sync_channel(BUFFERS);
    let (hashed_in, hashed_out) = sync_channel(BUFFERS);
    let (empty_in, empty_out) = channel();
    for _ in 0..BUFFERS {
        // Cannot fail: the receiver is in this function.
        let _ = empty_in.send(vec![0; BUFFER_BYTES]);
    }
    let writer = Writer { filled: filled_in, empty: empty_out };
    let digester = Digester { filled: filled_out, onward: hashed_in };
    let output = Output {
        filled: hashed_out,
        empty: empty_in,
        current: Vec::new(),
        length: 0,
        at: 0,
        ended: false,
    };
    (writer, digester, output)
}

impl Writer {
    /// Sends all of `input` through. A failure of it goes to the consumer; ends early when that
    /// one went away.
    pub(crate) fn pump(self, mut input: impl Read) {
        while let Ok(mut buffer) = self.empty.recv() {
            let mut have = 0;
            let mut ended = false;
            while have < buffer.len() && !ended {
                match read_some(&mut input, &mut buffer[have..]) {
                    Ok(0) => ended = true,
                    Ok(count) => have += count,
                    Err(e) => {
                        // When the consumer is gone it has told its own error.
                        let _ = self.filled.send(Message::Failed(e));
                        return;
                    }
                }
            }
            let sent = self.filled.send(Message::Data(buffer, have));
            if sent.is_err() || ended {
                // The same.
                let _ = self.filled.send(Message::End);
                return;
            }
        }
    }
}

impl Digester {
    /// Hashes what comes by and sends it on; the digest and length of all, or `None` when the input
    /// failed or the consumer went away.
    pub(crate) fn digest(self) -> Option<(Digest, u64)> {
        let mut hasher = Hasher::default();
        let mut total = 0;
        loop {
            let message = self.filled.recv().ok()?;
            match &message {
                Message::Data(buffer, length) => {
                    hasher.update(&buffer[..*length]);
                    total += *length as u64;
                }
                Message::Failed(_) => {
                    // The consumer tells it, when it is still there.
                    let _ = self.onward.send(message);
                    return None;
                }
                Message::End => {
                    self.onward.send(message).ok()?;
                    return Some((hasher.finish(), total));
                }
            }
            self.onward.send(message).ok()?;
        }
    }
}

impl BufRead for Output {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.length && !self.ended {
            match self.filled.recv() {
                Ok(Message::Data(buffer, length)) => {
                    let used = std::mem::replace(&mut self.current, buffer);
                    (self.length, self.at) = (length, 0);
                    if !used.is_empty() {
                        // The producer may have ended already.
                        let _ = self.empty.send(used);
                    }
                }
                Ok(Message::Failed(error)) => return Err(error),
                Ok(Message::End) => self.ended = true,
                Err(_) => return Err(io::Error::other(Fault::Stopped)),
            }
        }
        Ok(&self.current[self.at..self.length])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?;
        let count = got.len().min(buffer.len());
        buffer[..count].copy_from_slice(&got[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_out_with_its_digest() {
        let text: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let (writer, digester, mut output) = new();
        std::thread::scope(|threads| {
            threads.spawn(|| writer.pump(text.as_slice()));
            let hashed = threads.spawn(|| digester.digest());
            let mut all = Vec::new();
            output.read_to_end(&mut all).unwrap();
            assert!(all == text);
            assert_eq!(hashed.join().unwrap(), Some((Digest::of(&text), text.len() as u64)));
        });
    }

    #[test]
    fn a_consumer_that_leaves_ends_the_others() {
        let (writer, digester, output) = new();
        drop(output);
        std::thread::scope(|threads| {
            threads.spawn(|| writer.pump(io::repeat(0)));
            assert_eq!(digester.digest(), None);
        });
    }
}
