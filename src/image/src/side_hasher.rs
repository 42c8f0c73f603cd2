//! A digest over bytes that are also written: much of it is computed in a thread of its own.
//!
//! What is short is hashed at once. From [`HERE_MAX`] bytes on, copies go to a thread in a few
//! buffers that circulate. Not here: what the digest is compared with.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::digest::{Digest, Hasher};

/// Hashed by the caller's thread.
const HERE_MAX: usize = 1 << 20;
const BUFFERS: usize = 4;
const BUFFER_BYTES: usize = 256 << 10;

/// Computes a digest piece by piece.
pub(crate) enum SideHasher {
    /// So far, and how many bytes that were.
    Here(Hasher, usize),
    /// In a thread.
    There(Side),
}

/// The thread and the buffers.
pub(crate) struct Side {
    filled: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    current: Vec<u8>,
    thread: JoinHandle<Hasher>,
}

impl Default for SideHasher {
    fn default() -> SideHasher {
        SideHasher::Here(Hasher::default(), 0)
    }
}

impl SideHasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            SideHasher::Here(hasher, count) => {
                hasher.update(bytes);
                *count += bytes.len();
                if *count > HERE_MAX {
                    let hasher = std::mem::take(hasher);
                    *self = SideHasher::There(Side::new(hasher));
                }
            }
            SideHasher::There(side) => side.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            SideHasher::Here(hasher, _) => hasher.finish(),
            SideHasher::There(side) => side.finish(),
        }
    }
}

impl Side {
    fn new(mut hasher: Hasher) -> Side {
        let (filled, to_hash) = sync_channel::<Vec<u8>>(BUFFERS);
        let (used, empty) = channel();
        for _ in 1..BUFFERS {
            // Cannot fail: the receiver is in this function.
            let _ = used.send(Vec::with_capacity(BUFFER_BYTES));
        }
        let thread = std::thread::spawn(move || {
            for mut buffer in to_hash {
                hasher.update(&buffer);
                buffer.clear();
                // Nobody needs it any more at the end.
                let _ = used.send(buffer);
            }
            hasher
        });
        Side { filled, empty, current: Vec::with_capacity(BUFFER_BYTES), thread }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let take = bytes.len().min(BUFFER_BYTES - self.current.len());
            self.current.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.current.len() == BUFFER_BYTES {
                // The thread ends before this only by a panic, which `finish` passes on.
                let next = self.empty.recv().unwrap_or_default();
                let _ = self.filled.send(std::mem::replace(&mut self.current, next));
            }
        }
    }

    fn finish(self) -> Digest {
        let _ = self.filled.send(self.current);
        drop(self.filled);
        match self.thread.join() {
            Ok(hasher) => hasher.finish(),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn here_and_there_give_the_same_digest() {
        let text: Vec<u8> = (0..5_000_000u32).map(|n| (n % 253) as u8).collect();
        for length in [0, 1, HERE_MAX, HERE_MAX + 1, text.len()] {
            let mut hasher = SideHasher::default();
            text[..length].chunks(70_001).for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.finish(), Digest::of(&text[..length]), "{length}");
        }
    }
}
