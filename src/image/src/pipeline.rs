//! Decompressing and hashing in one thread while another one unpacks.
//!
//! A few buffers circulate between the two: the producer fills and hashes, the consumer reads them
//! in place. Memory is bounded by [`BUFFERS`] x [`BUFFER_BYTES`]. No knowledge of tar.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::digest::{Digest, Hasher};
use crate::fault::Fault;

const BUFFERS: usize = 4;
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

/// The consumer's end: a stream of what was produced.
pub(crate) struct Output {
    filled: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    length: usize,
    at: usize,
    ended: bool,
}

/// Both ends of a new pipeline.
pub(crate) fn new() -> (Writer, Output) {
    let (filled_in, filled_out) = sync_channel(BUFFERS);
    let (empty_in, empty_out) = channel();
    for _ in 0..BUFFERS {
        // Cannot fail: the receiver is in this function.
        let _ = empty_in.send(vec![0; BUFFER_BYTES]);
    }
    let writer = Writer { filled: filled_in, empty: empty_out };
    let output = Output {
        filled: filled_out,
        empty: empty_in,
        current: Vec::new(),
        length: 0,
        at: 0,
        ended: false,
    };
    (writer, output)
}

impl Writer {
    /// Sends all of `input` through; returns its digest and length, or `None` when the input
    /// failed (the consumer gets the error) or the consumer went away.
    pub(crate) fn pump(self, mut input: impl Read) -> Option<(Digest, u64)> {
        let mut hasher = Hasher::default();
        let mut total = 0;
        while let Ok(mut buffer) = self.empty.recv() {
            let mut have = 0;
            let mut ended = false;
            while have < buffer.len() && !ended {
                match input.read(&mut buffer[have..]) {
                    Ok(0) => ended = true,
                    Ok(count) => have += count,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => {
                        // When the consumer is gone it has told its own error.
                        let _ = self.filled.send(Message::Failed(e));
                        return None;
                    }
                }
            }
            hasher.update(&buffer[..have]);
            total += have as u64;
            self.filled.send(Message::Data(buffer, have)).ok()?;
            if ended {
                self.filled.send(Message::End).ok()?;
                return Some((hasher.finish(), total));
            }
        }
        None
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
        let (writer, mut output) = new();
        std::thread::scope(|threads| {
            let pumped = threads.spawn(|| writer.pump(text.as_slice()));
            let mut all = Vec::new();
            output.read_to_end(&mut all).unwrap();
            assert!(all == text);
            assert_eq!(pumped.join().unwrap(), Some((Digest::of(&text), text.len() as u64)));
        });
    }

    #[test]
    fn a_consumer_that_leaves_ends_the_producer() {
        let (writer, output) = new();
        drop(output);
        assert_eq!(writer.pump(io::repeat(0)), None);
    }
}
