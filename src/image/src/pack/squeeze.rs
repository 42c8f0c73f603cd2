//! Compressing a stream by pieces, several at a time, into a blob; both digests on the way.
//!
//! Each piece becomes a gzip member or a zstd frame of its own, which every decompressor joins. A
//! piece's length is fixed, so the bytes do not depend on the number of threads. Memory: as many
//! pieces as are under way, at most [`UNDER_WAY`] and what the threads hold.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use flate2::write::GzEncoder;

use super::Packed;
use crate::blobs::{Blobs, NewBlob};
use crate::compression::Compression;
use crate::digest::Hasher;
use crate::document::Descriptor;
use crate::error::{Error, Result};
use crate::fault::Fault;

const PIECE_BYTES: usize = 1 << 20;
const UNDER_WAY: usize = 3;
const WORKERS: usize = 2;
/// What docker and buildah use.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

type Piece = (u64, Vec<u8>);

/// Takes the plain bytes, hashes them and hands full pieces on.
struct Cutter {
    hasher: Hasher,
    piece: Vec<u8>,
    number: u64,
    pieces: SyncSender<Piece>,
}

impl Cutter {
    fn hand_on(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.hasher.update(&piece);
        self.number += 1;
        // Whoever has gone has told why.
        self.pieces.send((self.number, piece)).map_err(|_| io::Error::other(Fault::Stopped))
    }
}

impl Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE_BYTES {
            self.hand_on()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.hand_on() }
    }
}

fn compressed(compression: Compression, plain: Vec<u8>) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(plain),
        Compression::Gzip => {
            let room = Vec::with_capacity(plain.len() / 2);
            let mut encoder = GzEncoder::new(room, flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(&plain)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(&plain, ZSTD_LEVEL),
    }
}

/// One compressing thread: until no piece comes or nobody takes one.
fn work(
    compression: Compression,
    pieces: &Mutex<Option<Receiver<Piece>>>,
    done: &SyncSender<(u64, io::Result<Vec<u8>>)>,
) {
    let taken = || pieces.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let next = taken().as_ref().and_then(|pieces| pieces.recv().ok());
        let Some((number, plain)) = next else { return };
        if done.send((number, compressed(compression, plain))).is_err() {
            // Without this end, whoever cuts would wait for ever.
            *taken() = None;
            return;
        }
    }
}

/// Writes what comes in the order of the numbers.
fn collect(mut blob: NewBlob, done: &Receiver<(u64, io::Result<Vec<u8>>)>) -> Result<NewBlob> {
    let mut waiting = BTreeMap::new();
    let mut next = 1;
    while let Ok((number, piece)) = done.recv() {
        let failed = |e| Error::io("compressing", std::path::Path::new("a layer"), e);
        waiting.insert(number, piece.map_err(failed)?);
        while let Some(piece) = waiting.remove(&next) {
            blob.write(&piece)?;
            next += 1;
        }
    }
    Ok(blob)
}

/// Runs `fill`, which writes the plain archive and says how many entries it has, and makes a blob.
pub(super) fn into_blob(
    blobs: &mut Blobs,
    compression: Compression,
    fill: impl FnOnce(&mut dyn Write) -> Result<u64>,
) -> Result<Packed> {
    let blob = blobs.begin(None)?;
    let (pieces_in, pieces_out) = sync_channel(UNDER_WAY);
    let (done_in, done_out) = sync_channel(UNDER_WAY);
    let pieces_out = Mutex::new(Some(pieces_out));
    let (filled, blob) = std::thread::scope(|threads| {
        for _ in 0..WORKERS {
            let (pieces, done) = (&pieces_out, done_in.clone());
            threads.spawn(move || work(compression, pieces, &done));
        }
        drop(done_in);
        let collector = threads.spawn(move || collect(blob, &done_out));
        let mut cutter = Cutter {
            hasher: Hasher::default(),
            piece: Vec::with_capacity(PIECE_BYTES),
            number: 0,
            pieces: pieces_in,
        };
        let filled = fill(&mut cutter);
        let diff_id = cutter.hasher.finish();
        drop(cutter.pieces);
        let blob = collector.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (filled.map(|entries| (entries, diff_id)), blob)
    });
    // A full disk is told by who writes; the walk has then only been stopped.
    let blob = blob?;
    let (entries, diff_id) = filled?;
    let (digest, size) = blobs.end(blob, None, "the new layer")?;
    let descriptor = Descriptor::new(compression.media_type(), digest, size);
    Ok(Packed { descriptor, diff_id, entries })
}
