//! Reading tar streams that nobody vouches for: ustar, V7, PAX, GNU long names and sparse files.
//!
//! Yields entries one after the other with bounded memory; makes no file. Own code and not the tar
//! crate's reader, which takes PAX records of any length and knows no PAX sparse files. The rules:
//! PAX beats ustar; where two sources of one fact could be read differently by another tar program
//! (path by PAX and by GNU, sizes on entries without data, two extended headers in a row, global
//! headers that name files), the archive is refused (RUSTSEC-2026-0068, CVE-2025-62518).
//!
//! Sources: POSIX.1-2024 pax, "ustar Interchange Format"; GNU tar manual, "Tar Internals".

mod header;
mod pax;
mod sparse;

use std::io::BufRead;

use sys::dir::Stamp;

use crate::fault::Fault;
use header::Header;
pub(crate) use sparse::Extent;

/// Bytes of one block.
pub(crate) const BLOCK: usize = 512;
/// Longest file name or link text, as the kernel's PATH_MAX.
const NAME_MAX: u64 = 4096;
/// Longest body of an extended header. Linux holds 64 KiB of attributes a name at most.
const PAX_MAX: u64 = 1 << 20;
/// Most bytes that may follow the end marker.
const TRAILER_MAX: u64 = 64 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Link,
    Folder,
    Fifo,
    Char { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
}

/// One file of the archive; its data follows in the reader.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// As written: may be absolute, have `..`, or be no UTF-8.
    pub(crate) path: Vec<u8>,
    /// Text of a symbolic link, or path of a hard link's other name.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Stamp,
    /// Bytes of data in the archive.
    pub(crate) size: u64,
    /// Where the data goes in a sparse file; `None` for a plain one.
    pub(crate) sparse: Option<Sparse>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The map of a sparse file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// In order, not overlapping, all within `length`.
    pub(crate) extents: Vec<Extent>,
    /// The file's length with its holes, bytes.
    pub(crate) length: u64,
}

/// Reads entries from a stream.
pub(crate) struct Reader<R> {
    input: R,
    /// Data of the current entry not read yet.
    data_left: u64,
    /// Filler after it.
    padding_left: u64,
    ended: bool,
    saw_end_marker: bool,
}

/// Extended facts gathered in front of an entry.
#[derive(Default)]
struct Pending {
    pax: Option<pax::Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(input: R) -> Reader<R> {
        Reader { input, data_left: 0, padding_left: 0, ended: false, saw_end_marker: false }
    }

    /// Whether the stream had its two empty blocks (some writers leave them out).
    pub(crate) fn saw_end_marker(&self) -> bool {
        self.saw_end_marker
    }

    /// The next entry, or `None` at the end. What was not read of the last one is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        self.skip_data()?;
        let mut pending = Pending::default();
        while !self.ended {
            let Some(header) = self.header()? else {
                let dangling = pending.pax.is_some()
                    || pending.long_name.is_some()
                    || pending.long_link.is_some();
                return if dangling { Err(Fault::Truncated) } else { Ok(None) };
            };
            match header.flag() {
                b'x' => {
                    let body = self.body(&header, PAX_MAX, "an extended header")?;
                    if pending.pax.replace(pax::Records::parse(&body)?).is_some() {
                        return Err(Fault::bad("two extended headers before one file"));
                    }
                }
                b'g' => {
                    let body = self.body(&header, PAX_MAX, "a global header")?;
                    pax::Records::parse(&body)?.refuse_as_global()?;
                }
                b'L' => {
                    let name = self.long(&header, "a long name")?;
                    pending.name_once(name)?;
                }
                b'K' => {
                    let link = self.long(&header, "a long link")?;
                    if pending.long_link.replace(link).is_some() {
                        return Err(Fault::bad("two long links before one file"));
                    }
                }
                b'V' => {
                    self.begin(header.size()?);
                    self.skip_data()?;
                }
                _ => return self.entry(&header, pending).map(Some),
            }
        }
        Ok(None)
    }

    /// More data of the current entry; empty at its end. Call [`Reader::consume`] after use.
    pub(crate) fn chunk(&mut self) -> Result<&[u8], Fault> {
        if self.data_left == 0 {
            return Ok(&[]);
        }
        let got = self.input.fill_buf().map_err(Fault::reading)?;
        if got.is_empty() {
            return Err(Fault::Truncated);
        }
        let take = usize::try_from(self.data_left).unwrap_or(usize::MAX).min(got.len());
        Ok(&got[..take])
    }

    /// Marks `count` bytes of the last chunk as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.data_left -= count as u64;
    }

    /// The whole data of the current entry, refusing more than `max` bytes.
    pub(crate) fn read_all(&mut self, max: u64) -> Result<Vec<u8>, Fault> {
        if self.data_left > max {
            return Err(Fault::bad(format!("is {} bytes long, over {max}", self.data_left)));
        }
        let mut all = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(chunk);
            let used = chunk.len();
            self.consume(used);
        }
    }

    /// Reads to the end of the stream, so that a digest over it is complete.
    pub(crate) fn drain(mut self) -> Result<R, Fault> {
        self.skip_data()?;
        let mut left = TRAILER_MAX;
        loop {
            let got = self.input.fill_buf().map_err(Fault::reading)?.len();
            if got == 0 {
                return Ok(self.input);
            }
            left = left.checked_sub(got as u64).ok_or_else(|| {
                Fault::bad(format!("more than {TRAILER_MAX} bytes after the end of the archive"))
            })?;
            self.input.consume(got);
        }
    }

    fn begin(&mut self, size: u64) {
        self.data_left = size;
        self.padding_left = padding(size);
    }

    fn skip_data(&mut self) -> Result<(), Fault> {
        while self.data_left > 0 {
            let used = self.chunk()?.len();
            self.consume(used);
        }
        self.data_left = std::mem::take(&mut self.padding_left);
        while self.data_left > 0 {
            let used = match self.chunk() {
                // Some writers (umoci) end right after the last file's data.
                Err(Fault::Truncated) => 0,
                chunk => chunk?.len(),
            };
            if used == 0 {
                self.ended = true;
                self.data_left = 0;
            }
            self.consume(used);
        }
        Ok(())
    }

    /// A block; `None` at the end of the stream, an error when it ends within the block.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        let mut block = [0u8; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            let got = self.input.fill_buf().map_err(Fault::reading)?;
            if got.is_empty() {
                return if have == 0 { Ok(None) } else { Err(Fault::Truncated) };
            }
            let take = got.len().min(BLOCK - have);
            block[have..have + take].copy_from_slice(&got[..take]);
            self.input.consume(take);
            have += take;
        }
        Ok(Some(block))
    }

    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let Some(block) = self.block()? else {
            self.ended = true;
            return Ok(None);
        };
        if block.iter().any(|b| *b != 0) {
            return Header::parse(block).map(Some);
        }
        self.ended = true;
        self.saw_end_marker = true;
        match self.block()? {
            Some(second) if second.iter().any(|b| *b != 0) => {
                Err(Fault::bad("a lone empty block is followed by more"))
            }
            _ => Ok(None),
        }
    }

    fn body(&mut self, header: &Header, max: u64, what: &str) -> Result<Vec<u8>, Fault> {
        let size = header.size()?;
        if size > max {
            return Err(Fault::bad(format!("{what} of {size} bytes, over {max}")));
        }
        self.begin(size);
        let body = self.read_all(max)?;
        self.skip_data()?;
        Ok(body)
    }

    fn long(&mut self, header: &Header, what: &str) -> Result<Vec<u8>, Fault> {
        let mut name = self.body(header, NAME_MAX + 1, what)?;
        if let Some(end) = name.iter().position(|b| *b == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    fn entry(&mut self, header: &Header, pending: Pending) -> Result<Entry, Fault> {
        let mut pax = pending.pax.unwrap_or_default();
        let by_pax = pax.sparse_name.take().or_else(|| pax.path.take());
        let path = one_of("path", by_pax, pending.long_name)?.unwrap_or_else(|| header.path());
        let link = one_of("link", pax.link.take(), pending.long_link)?;
        let link = link.unwrap_or_else(|| header.link());
        check_name(&path, "name")?;
        if !link.is_empty() {
            check_name(&link, "link")?;
        }
        let kind = header.kind(&path)?;
        let stored = match pax.size {
            Some(size) => size,
            None => header.size()?,
        };
        let size = match kind {
            Kind::File => stored,
            Kind::HardLink => 0,
            _ if stored != 0 => {
                return Err(Fault::bad(format!("{stored} bytes of data on what is no file")));
            }
            _ => 0,
        };
        self.begin(size);
        let sparse = self.sparse(header, &pax, kind)?;
        Ok(Entry {
            path,
            link,
            kind,
            mode: header.mode()?,
            uid: match pax.uid {
                Some(uid) => uid,
                None => header.uid()?,
            },
            gid: match pax.gid {
                Some(gid) => gid,
                None => header.gid()?,
            },
            modified: match pax.modified {
                Some(stamp) => stamp,
                None => header.modified()?,
            },
            size: self.data_left,
            sparse,
            xattrs: pax.xattrs,
        })
    }

    fn sparse(
        &mut self,
        header: &Header,
        pax: &pax::Records,
        kind: Kind,
    ) -> Result<Option<Sparse>, Fault> {
        let (extents, length) = if header.flag() == b'S' {
            (self.old_gnu_map(header)?, header.real_size()?)
        } else if kind == Kind::File && pax.is_sparse() {
            let length = pax.sparse_length()?;
            let inside = pax.sparse_version() == Some((1, 0));
            let extents = if inside { self.map_in_data()? } else { pax.extents()? };
            (extents, length)
        } else {
            return Ok(None);
        };
        sparse::check(&extents, length, self.data_left)?;
        Ok(Some(Sparse { extents, length }))
    }

    /// Old GNU maps continue in blocks between header and data.
    fn old_gnu_map(&mut self, header: &Header) -> Result<Vec<Extent>, Fault> {
        let mut extents = Vec::new();
        let mut more = header.first_extents(&mut extents)?;
        while more {
            let block = self.block()?.ok_or(Fault::Truncated)?;
            more = sparse::old_gnu_block(&block, &mut extents)?;
        }
        Ok(extents)
    }

    /// PAX 1.0 maps are text at the beginning of the data, filled up to whole blocks.
    fn map_in_data(&mut self) -> Result<Vec<Extent>, Fault> {
        let mut text = sparse::TextMap::default();
        while !text.is_complete() {
            if self.data_left < BLOCK as u64 {
                return Err(Fault::bad("the map of a sparse file does not end"));
            }
            let block = self.block()?.ok_or(Fault::Truncated)?;
            self.data_left -= BLOCK as u64;
            text.feed(&block)?;
        }
        text.finish()
    }
}

impl Pending {
    fn name_once(&mut self, name: Vec<u8>) -> Result<(), Fault> {
        match self.long_name.replace(name) {
            Some(_) => Err(Fault::bad("two long names before one file")),
            None => Ok(()),
        }
    }
}

/// PAX and GNU may both name a thing only when they agree.
fn one_of(
    what: &str,
    pax: Option<Vec<u8>>,
    gnu: Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Fault> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => {
            Err(Fault::bad(format!("two different {what}s, one by PAX and one by GNU")))
        }
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}

fn check_name(name: &[u8], what: &str) -> Result<(), Fault> {
    if name.is_empty() {
        Err(Fault::bad(format!("the {what} is empty")))
    } else if name.len() as u64 >= NAME_MAX {
        Err(Fault::bad(format!("the {what} is {} bytes long, over {}", name.len(), NAME_MAX - 1)))
    } else if name.contains(&0) {
        Err(Fault::bad(format!("the {what} has a NUL byte")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
