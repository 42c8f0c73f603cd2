//! The outer tar of a saved image: a few regular files, folders and links, as POSIX ustar.
//!
//! Owner, time and mode are always the same, so that the same files give the same bytes. Sizes over
//! 8 GiB are written in base 256, as GNU tar does. Not here: the tar of a layer.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::{At, Result};
use crate::tarball::BLOCK;

const OUT_BYTES: usize = 256 << 10;
/// Largest size of eleven octal digits.
const OCTAL_MAX: u64 = (1 << 33) - 1;

/// An archive that is being written.
pub(super) struct Archive<'a> {
    out: BufWriter<&'a File>,
    seekable: bool,
    /// Bytes written so far.
    at: u64,
}

/// Writes an entry's data and counts it.
pub(super) struct Data<'a, 'b> {
    archive: &'a mut Archive<'b>,
    size: u64,
}

impl Write for Data<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.archive.out.write(bytes)?;
        self.archive.at += count as u64;
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn target() -> &'static Path {
    Path::new("the output")
}

impl<'a> Archive<'a> {
    /// `seekable`: whether a header may be mended once the data is written.
    pub(super) fn new(file: &'a File, seekable: bool) -> Archive<'a> {
        Archive { out: BufWriter::with_capacity(OUT_BYTES, file), seekable, at: 0 }
    }

    /// Whether [`Archive::measured`] works.
    pub(super) fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).at("writing", target())
    }

    fn fill(&mut self, size: u64) -> Result<()> {
        let rest = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if rest > 0 { self.put(&[0; BLOCK][rest..]) } else { Ok(()) }
    }

    /// A file of bytes in memory.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.file(name, bytes.len() as u64, |out| out.write_all(bytes).at("writing", target()))
    }

    /// A file of a known size, of which `write` writes exactly so much.
    pub(super) fn file(
        &mut self,
        name: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        self.put(&header(name, b'0', size, ""))?;
        let mut data = Data { archive: self, size: 0 };
        write(&mut data)?;
        self.fill(size)
    }

    /// A file whose size is known only when it is written; needs a seekable output.
    pub(super) fn measured(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let begin = self.at;
        self.put(&header(name, b'0', 0, ""))?;
        let mut data = Data { archive: self, size: 0 };
        write(&mut data)?;
        let size = data.size;
        self.fill(size)?;
        self.out.seek(SeekFrom::Start(begin)).at("writing", target())?;
        self.out.write_all(&header(name, b'0', size, "")).at("writing", target())?;
        self.out.seek(SeekFrom::Start(self.at)).at("writing", target())?;
        Ok(())
    }

    pub(super) fn folder(&mut self, name: &str) -> Result<()> {
        self.put(&header(name, b'5', 0, ""))
    }

    pub(super) fn link(&mut self, name: &str, to: &str) -> Result<()> {
        self.put(&header(name, b'2', 0, to))
    }

    /// The end marker.
    pub(super) fn finish(mut self) -> Result<()> {
        self.put(&[0; 2 * BLOCK])?;
        self.out.flush().at("writing", target())
    }
}

/// Names here are made of digests and fixed words: none is over 100 bytes.
fn header(name: &str, flag: u8, size: u64, link: &str) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, if flag == b'5' { b"0000755\0" } else { b"0000644\0" });
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size <= OCTAL_MAX {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(156, &[flag]);
    put(157, &link.as_bytes()[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
