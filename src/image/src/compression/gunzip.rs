//! Reading gzip (RFC 1952), one or more members, in safe code: the members' frames here, the
//! DEFLATE streams by fdeflate.
//!
//! A layer's digest says more than a member's CRC-32, so that one is only computed where no digest
//! is known before. Memory: a window of [`WINDOW`] bytes and fdeflate's tables.
//!
//! fdeflate reads up to three bytes past the four that follow a stream (it takes the CRC for
//! zlib's checksum, and ignores it) and does not say how many. The length that follows the CRC, and
//! what may come after it, leave one answer: see [`Gunzip::trailer`].

use std::io::{self, BufRead, ErrorKind, Read};

use fdeflate::{DecompressionError, Decompressor};
use flate2::Crc;

/// How far DEFLATE looks back.
const HISTORY: usize = 32 << 10;
const WINDOW: usize = HISTORY + (128 << 10);
/// What fdeflate wants in front of a stream: a zlib header (RFC 1950).
const ZLIB: [u8; 2] = [0x78, 0x01];
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes that fdeflate may have read too far.
const OVERSHOOT: usize = 3;
/// The last bytes of a buffer, and so of the input, that fdeflate gets one by one: then it reads
/// none too far, and nothing can hide in front of the CRC of the last member.
const SINGLY: usize = 16;
/// A CRC and what may follow it in the bytes read too far.
const KEPT: usize = 4 + OVERSHOOT;

// Header flags.
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

enum State {
    Header,
    Body,
    Ended,
}

/// Plain bytes out of a gzip stream.
pub(crate) struct Gunzip<R> {
    source: Source<R>,
    inflate: Box<Decompressor>,
    window: Vec<u8>,
    /// What of the window is not given out yet.
    unread: std::ops::Range<usize>,
    state: State,
    /// Members begun.
    members: u64,
    /// Of this member, modulo 2^32.
    size: u32,
    crc: Option<Crc>,
    /// The last bytes that fdeflate has read, [`KEPT`] at most.
    last: Vec<u8>,
    /// How many of this member it was given one by one, since it was given more at once.
    singly: usize,
}

/// The input, with bytes put back in front of it.
struct Source<R> {
    input: R,
    back: Vec<u8>,
}

fn bad(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

fn cut() -> io::Error {
    ErrorKind::UnexpectedEof.into()
}

impl<R: BufRead> Source<R> {
    fn fill(&mut self) -> io::Result<&[u8]> {
        if !self.back.is_empty() {
            return Ok(&self.back);
        }
        // Twice, since a borrow that is returned cannot be tried again.
        while let Err(e) = self.input.fill_buf() {
            if e.kind() != ErrorKind::Interrupted {
                return Err(e);
            }
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if self.back.is_empty() {
            self.input.consume(count);
        } else {
            self.back.drain(..count);
        }
    }

    fn next(&mut self) -> io::Result<Option<u8>> {
        let first = self.fill()?.first().copied();
        if first.is_some() {
            self.consume(1);
        }
        Ok(first)
    }

    fn must(&mut self) -> io::Result<u8> {
        self.next()?.ok_or_else(cut)
    }
}

impl<R: BufRead> Gunzip<R> {
    /// `check`: whether each member's CRC-32 is compared.
    pub(crate) fn new(input: R, check: bool) -> Gunzip<R> {
        Gunzip {
            source: Source { input, back: Vec::new() },
            inflate: Box::new(Decompressor::new()),
            window: vec![0; WINDOW],
            unread: 0..0,
            state: State::Header,
            members: 0,
            size: 0,
            crc: check.then(Crc::new),
            last: Vec::with_capacity(KEPT),
            singly: KEPT,
        }
    }

    /// Reads a member's header; false at the end of the stream.
    fn header(&mut self) -> io::Result<bool> {
        let source = &mut self.source;
        let Some(first) = source.next()? else {
            return if self.members > 0 { Ok(false) } else { Err(cut()) };
        };
        if [first, source.must()?, source.must()?] != MAGIC {
            return Err(bad("no gzip member begins where one should"));
        }
        let flags = source.must()?;
        if flags & RESERVED != 0 {
            return Err(bad("a gzip header with unknown flags"));
        }
        for _ in 0..6 {
            source.must()?;
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes([source.must()?, source.must()?]);
            for _ in 0..length {
                source.must()?;
            }
        }
        for flag in [NAME, COMMENT] {
            while flags & flag != 0 && source.must()? != 0 {}
        }
        if flags & HEADER_CRC != 0 {
            source.must()?;
            source.must()?;
        }
        self.members += 1;
        self.size = 0;
        self.last.clear();
        self.singly = KEPT;
        if let Some(crc) = &mut self.crc {
            crc.reset();
        }
        *self.inflate = Decompressor::new();
        self.inflate.ignore_adler32();
        self.unread = 0..0;
        let fed = self.inflate.read(&ZLIB, &mut self.window, 0, false).map_err(explain)?;
        if fed == (ZLIB.len(), 0) { Ok(true) } else { Err(bad("the decompressor does not begin")) }
    }

    /// Decompresses a piece into the window, all of which has been given out.
    fn fill(&mut self) -> io::Result<()> {
        let mut end = self.unread.end;
        if end == WINDOW {
            self.window.copy_within(end - HISTORY.., 0);
            end = HISTORY;
        }
        let input = self.source.fill()?;
        let at_end = input.is_empty();
        let input = match input.len().checked_sub(SINGLY) {
            None | Some(0) => &input[..input.len().min(1)],
            Some(most) => &input[..most],
        };
        self.singly = if input.len() > 1 { 0 } else { self.singly.saturating_add(1) };
        let (used, made) =
            self.inflate.read(input, &mut self.window, end, at_end).map_err(explain)?;
        let fresh = &input[used.saturating_sub(KEPT)..used];
        let keep = KEPT - fresh.len();
        self.last.drain(..self.last.len().saturating_sub(keep));
        self.last.extend_from_slice(fresh);
        self.source.consume(used);
        self.unread = end..end + made;
        let plain = &self.window[self.unread.clone()];
        // At most a window at a time.
        self.size = self.size.wrapping_add(u32::try_from(made).unwrap_or(0));
        if let Some(crc) = &mut self.crc {
            crc.update(plain);
        }
        if self.inflate.is_done() {
            return self.trailer();
        }
        if (used, made) == (0, 0) {
            return Err(if at_end { cut() } else { bad("the decompressor stands still") });
        }
        Ok(())
    }

    /// Finds where the member ends. After its CRC come four bytes with its length, then either the
    /// stream's end or another member's [`MAGIC`], which cannot stand at two of the four places.
    fn trailer(&mut self) -> io::Result<()> {
        let known = self.last.len();
        let mut bytes = std::mem::take(&mut self.last);
        let mut ends = false;
        while bytes.len() < known + 4 + MAGIC.len() && !ends {
            match self.source.next()? {
                Some(byte) => bytes.push(byte),
                None => ends = true,
            }
        }
        let size = self.size.to_le_bytes();
        let crc = self.crc.as_ref().map(|crc| crc.sum().to_le_bytes());
        // A CRC that began in the stream would hide a byte that is missing.
        let most = if self.singly >= KEPT { 0 } else { OVERSHOOT.min(known) };
        for over in 0..=most {
            let at = known - over;
            let (before, after) = bytes.split_at(at);
            let Some((length, next)) = after.split_at_checked(4) else { continue };
            let follows = if ends && next.len() < MAGIC.len() {
                next.is_empty()
            } else {
                next.starts_with(&MAGIC)
            };
            let right = crc.is_none_or(|crc| before.ends_with(&crc));
            if length == size && follows && right {
                let next = next.to_vec();
                self.source.back.splice(..0, next);
                self.state = State::Header;
                return Ok(());
            }
        }
        // Not even the shortest reading of the trailer is whole.
        if ends && bytes.len() < known + 4 - OVERSHOOT {
            return Err(cut());
        }
        Err(bad("a gzip member's checksum or length is wrong, or something follows it"))
    }
}

fn explain(error: DecompressionError) -> io::Error {
    match error {
        DecompressionError::InsufficientInput => cut(),
        other => bad(&format!("{other:?}")),
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.unread.is_empty() {
                let count = self.unread.len().min(buffer.len());
                let from = self.unread.start;
                buffer[..count].copy_from_slice(&self.window[from..from + count]);
                self.unread.start += count;
                return Ok(count);
            }
            match self.state {
                State::Header => {
                    self.state = if self.header()? { State::Body } else { State::Ended };
                }
                State::Body => self.fill()?,
                State::Ended => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests;
