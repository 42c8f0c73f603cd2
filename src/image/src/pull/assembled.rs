//! A blob put together from local blobs and ranges of the remote one, in the order of its bytes.
//!
//! It may come out wrong: whoever reads it compares the digest.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use registry::Remote;

use super::chunked::From;

/// See the module.
pub(super) struct Assembled<'a> {
    remote: &'a Remote,
    digest: String,
    size: u64,
    runs: VecDeque<From>,
    current: Option<Box<dyn Read + Send + 'a>>,
}

impl<'a> Assembled<'a> {
    /// The bytes from `kept` on.
    pub(super) fn new(
        remote: &'a Remote,
        (digest, size): (&str, u64),
        runs: &[From],
        kept: u64,
    ) -> Assembled<'a> {
        let mut left = kept;
        let runs = runs.iter().filter_map(|run| {
            let skip = left.min(run.length());
            left -= skip;
            let run = match run.clone() {
                From::Local { path, offset, length } => {
                    From::Local { path, offset: offset + skip, length: length - skip }
                }
                From::Remote { offset, length } => {
                    From::Remote { offset: offset + skip, length: length - skip }
                }
            };
            (run.length() > 0).then_some(run)
        });
        let runs = runs.collect();
        Assembled { remote, digest: digest.to_owned(), size, runs, current: None }
    }

    fn open(&self, run: From) -> io::Result<Box<dyn Read + Send + 'a>> {
        match run {
            From::Local { path, offset, length } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(file.take(length)))
            }
            From::Remote { offset, length } => {
                let part = (offset, offset + length);
                Ok(Box::new(self.remote.part(&self.digest, self.size, part)))
            }
        }
    }
}

impl Read for Assembled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read(buffer)? {
                    0 if !buffer.is_empty() => self.current = None,
                    count => return Ok(count),
                }
            }
            match self.runs.pop_front() {
                Some(run) => self.current = Some(self.open(run)?),
                None => return Ok(0),
            }
        }
    }
}
