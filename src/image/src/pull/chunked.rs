//! zstd:chunked layers: what local layers have of them is not downloaded.
//!
//! Such a layer is compressed piece by piece, and a table of contents at its end says which bytes
//! of the blob are which piece of which file. Pieces with the same contents, and what lies between
//! two files with the same headers, have the same compressed bytes when the same program made
//! them: so the blob is put together from local blobs and ranges of the remote one. Nothing of the
//! table is believed: the blob's digest and the layer's diff_id are verified as for any other
//! download, and a blob that does not come out right is downloaded whole. Pure, but for reading
//! local blobs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::digest::{Digest, Hasher};
use crate::document::Descriptor;

const PREFIXES: [&str; 2] =
    ["io.github.containers.zstd-chunked.manifest-", "io.containers.zstd-chunked.manifest-"];
/// Bounds of a table: packed, unpacked, and pieces of all local tables.
const PACKED_MAX: u64 = 4 << 20;
const UNPACKED_MAX: u64 = 32 << 20;
const PIECES_MAX: usize = 300_000;
/// A run of local bytes that is shorter is downloaded with its neighbours: a request costs more.
const RUN_MIN: u64 = 64 << 10;

/// Where the table of a blob lies, by its descriptor's annotations.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) offset: u64,
    pub(super) packed: u64,
    unpacked: u64,
    checksum: Digest,
}

/// What some bytes of a blob are: the digest of a piece, or of the headers in a gap.
type Key = (Digest, u64);

/// A run of a blob whose contents are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    key: Key,
    offset: u64,
    length: u64,
}

/// Where the next bytes of a blob are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Local { path: PathBuf, offset: u64, length: u64 },
    Remote { offset: u64, length: u64 },
}

/// The pieces that local blobs have.
#[derive(Debug, Default)]
pub(super) struct Local {
    blobs: Vec<PathBuf>,
    pieces: BTreeMap<Key, (usize, u64, u64)>,
}

impl Table {
    pub(super) fn of(layer: &Descriptor) -> Option<Table> {
        let get = |name: &str| {
            PREFIXES.iter().find_map(|prefix| layer.annotation(&format!("{prefix}{name}")))
        };
        let checksum = get("checksum")?.parse().ok()?;
        let mut numbers = get("position")?.split(':').map(|n| n.parse::<u64>().ok());
        let (offset, packed, unpacked) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let fits = numbers.next()?? == 1
            && packed <= PACKED_MAX
            && unpacked <= UNPACKED_MAX
            && offset.checked_add(packed)? <= layer.size;
        fits.then_some(Table { offset, packed, unpacked, checksum })
    }

    /// The pieces that the packed table tells of; none when it is not what it should be.
    pub(super) fn read(&self, packed: &[u8]) -> Vec<Piece> {
        let mut plain = Vec::new();
        let whole = Digest::of(packed) == self.checksum
            && zstd::stream::read::Decoder::new(packed)
                .is_ok_and(|d| d.take(self.unpacked + 1).read_to_end(&mut plain).is_ok())
            && plain.len() as u64 == self.unpacked;
        if whole { pieces(&plain, self.offset).unwrap_or_default() } else { Vec::new() }
    }
}

/// Reads a table. Files come in the order of their bytes.
fn pieces(plain: &[u8], end: u64) -> Option<Vec<Piece>> {
    #[derive(serde::Deserialize)]
    struct Contents {
        entries: Vec<Map<String, Value>>,
    }
    let contents: Contents = serde_json::from_slice(plain).ok()?;
    let mut all: Vec<Piece> = Vec::new();
    // What lies before the next file's bytes: the size of the last one, and all headers since.
    let (mut before, mut at) = (Hasher::default(), 0u64);
    let mut entries = contents.entries.iter().peekable();
    while let Some(entry) = entries.next() {
        let number = |entry: &Map<String, Value>, name: &str| {
            entry.get(name).and_then(Value::as_u64).unwrap_or(0)
        };
        let mut header = entry.clone();
        header.retain(|name, _| name != "offset" && name != "endOffset");
        before.update(&serde_json::to_vec(&header).ok()?);
        let (start, stop) = (number(entry, "offset"), number(entry, "endOffset"));
        if stop == 0 {
            continue;
        }
        if start < at || stop < start || stop > end {
            return None;
        }
        let gap = std::mem::take(&mut before).finish();
        all.push(Piece { key: (gap, 0), offset: at, length: start - at });
        let mut parts = vec![entry];
        while let Some(part) = entries.next_if(|e| e.get("type") == Some(&"chunk".into())) {
            parts.push(part);
        }
        for (i, part) in parts.iter().enumerate() {
            let from = number(part, "offset");
            let to = parts.get(i + 1).map_or(stop, |next| number(next, "offset"));
            let whole = parts.len() == 1;
            let digest = part.get("chunkDigest").or(if whole { entry.get("digest") } else { None });
            let size = number(part, if whole { "size" } else { "chunkSize" });
            if from > to || to > stop {
                return None;
            }
            let digest = digest.and_then(Value::as_str).and_then(|d| d.parse::<Digest>().ok());
            if let Some(digest) = digest.filter(|_| from < to) {
                all.push(Piece { key: (digest, size.max(1)), offset: from, length: to - from });
            }
        }
        before.update(&number(entry, "size").to_le_bytes());
        at = stop;
    }
    Some(all)
}

impl Local {
    /// Adds the pieces of a blob of the store.
    pub(super) fn add(&mut self, layer: &Descriptor, path: &Path) {
        let Some(table) = Table::of(layer) else { return };
        let mut packed = vec![0; usize::try_from(table.packed).unwrap_or(0)];
        let read = File::open(path).and_then(|f| f.read_exact_at(&mut packed, table.offset));
        if read.is_err() {
            return;
        }
        let number = self.blobs.len();
        self.blobs.push(path.to_owned());
        for piece in table.read(&packed) {
            if self.pieces.len() < PIECES_MAX {
                self.pieces.entry(piece.key).or_insert((number, piece.offset, piece.length));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Where to take all bytes of a blob of `size` from; neighbours are joined.
    pub(super) fn plan(&self, pieces: &[Piece], size: u64) -> Vec<From> {
        let mut runs: Vec<From> = Vec::new();
        let mut at = 0;
        for piece in pieces {
            let Some((blob, offset, length)) = self.pieces.get(&piece.key) else { continue };
            if piece.offset < at || *length != piece.length || *length == 0 {
                continue;
            }
            remote(&mut runs, at, piece.offset);
            let path = &self.blobs[*blob];
            match runs.last_mut() {
                Some(From::Local { path: last, offset: begun, length: so_far })
                    if last == path && *begun + *so_far == *offset =>
                {
                    *so_far += length;
                }
                _ => {
                    let (path, offset, length) = (path.clone(), *offset, *length);
                    runs.push(From::Local { path, offset, length });
                }
            }
            at = piece.offset + piece.length;
        }
        remote(&mut runs, at, size);
        coarser(&runs)
    }
}

fn remote(runs: &mut Vec<From>, from: u64, to: u64) {
    if from < to {
        runs.push(From::Remote { offset: from, length: to - from });
    }
}

impl From {
    pub(super) fn length(&self) -> u64 {
        match self {
            From::Local { length, .. } | From::Remote { length, .. } => *length,
        }
    }
}

/// Downloads short local runs with what lies beside them.
fn coarser(runs: &[From]) -> Vec<From> {
    let mut out: Vec<From> = Vec::new();
    let mut at = 0;
    let mut i = 0;
    while i < runs.len() {
        let mut end = i;
        let mut here = 0;
        while let Some(From::Local { length, .. }) = runs.get(end) {
            here += length;
            end += 1;
        }
        if here >= RUN_MIN {
            out.extend_from_slice(&runs[i..end]);
            at += here;
            i = end;
            continue;
        }
        let end = if end == i { i + 1 } else { end };
        let length: u64 = runs[i..end].iter().map(From::length).sum();
        match out.last_mut() {
            Some(From::Remote { length: before, .. }) => *before += length,
            _ => out.push(From::Remote { offset: at, length }),
        }
        at += length;
        i = end;
    }
    out
}

#[cfg(test)]
mod tests;
