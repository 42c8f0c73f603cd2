//! A blob's bytes for a reader: first those that are kept, then those that come, which are kept and
//! hashed on the way.
//!
//! What goes wrong below is kept whole in [`Stream::failure`]; the reader only sees an I/O error.

use std::fs::File;
use std::io::{self, Read, Write};

use crate::digest::{Digest, Hasher};
use crate::error::Error;
use crate::fault::Fault;

const TELL: u64 = 1 << 20;

/// See the module.
pub(super) struct Stream<'a> {
    /// Read from its start up to `kept`, then written to.
    pub(super) file: &'a File,
    pub(super) path: &'a std::path::Path,
    pub(super) kept: u64,
    /// From `kept` on; none when all is kept.
    pub(super) blob: Option<Box<dyn Read + Send + 'a>>,
    pub(super) at: u64,
    pub(super) hasher: Hasher,
    pub(super) failure: Option<Error>,
    pub(super) told: u64,
    /// Is told how many bytes are here; false ends the stream.
    pub(super) tell: &'a (dyn Fn(u64) -> bool + Sync),
}

impl Stream<'_> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.at < self.kept {
            let most = usize::try_from(self.kept - self.at).unwrap_or(usize::MAX);
            let most = most.min(buffer.len());
            let count = self
                .file
                .read(&mut buffer[..most])
                .map_err(|e| Error::io("reading", self.path, e))?;
            if count == 0 {
                let gone = io::ErrorKind::UnexpectedEof.into();
                return Err(Error::io("reading", self.path, gone));
            }
            return Ok(count);
        }
        let Some(blob) = &mut self.blob else { return Ok(0) };
        let count = blob.read(buffer).map_err(|e| match e.downcast::<registry::Error>() {
            Ok(error) => Error::Registry(error),
            Err(e) => Error::io("downloading to", self.path, e),
        })?;
        let written = self.file.write_all(&buffer[..count]);
        written.map_err(|e| Error::io("writing", self.path, e))?;
        Ok(count)
    }

    /// Reads what is left, and gives the digest of all.
    pub(super) fn drain(mut self) -> Result<Digest, Error> {
        let mut buffer = vec![0; 64 << 10];
        while self.failure.is_none() {
            match self.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if self.failure.is_none() => {
                    self.failure = Some(Error::io("reading", self.path, e));
                }
                Err(_) => {}
            }
        }
        (self.tell)(self.at);
        match self.failure {
            Some(error) => Err(error),
            None => Ok(self.hasher.finish()),
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other(Fault::Stopped));
        }
        match self.next(buffer) {
            Ok(count) => {
                self.hasher.update(&buffer[..count]);
                self.at += count as u64;
                if self.at >= self.told + TELL {
                    self.told = self.at;
                    if !(self.tell)(self.at) {
                        return Err(io::Error::other(Fault::Stopped));
                    }
                }
                Ok(count)
            }
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other(Fault::Stopped))
            }
        }
    }
}
