//! One container's log file: appends lines, rotates at a size, survives a full disk.
//!
//! Invariants: every line is written whole by this process alone, in order, and a rotation happens
//! between two lines, so no line is lost or doubled by it. `<path>` is the current file, `<path>.1`
//! the newest old one, up to `<path>.<max_files - 1>`. When a write fails (ENOSPC, EROFS, EIO) the
//! container goes on: what cannot be written is counted and told by one line once writing works
//! again. It never syncs: after a power cut the tail may be missing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Piece, Stream, append, pieces, rfc3339_nano};

/// Formatted lines are handed to the kernel in blocks of about this many bytes.
const BLOCK_BYTES: usize = 32 * 1024;

/// Bytes that a line has besides its content: time, stream, tag and newline.
const OVERHEAD_BYTES: u64 = 42;

/// An open log.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    max_bytes: u64,
    max_files: u32,
    /// Per stream: the last line written for it was partial.
    mid_line: [bool; 2],
    lost_bytes: u64,
    error: Option<String>,
}

impl LogFile {
    /// Opens `path` for appending; makes its folder. A failure is kept and tried again at each
    /// write: a container is not refused for its log.
    #[must_use]
    pub fn open(path: &Path, max_bytes: u64, max_files: u32) -> LogFile {
        let mut log = LogFile {
            path: path.to_path_buf(),
            file: None,
            size: 0,
            max_bytes,
            max_files: max_files.max(1),
            mid_line: [false; 2],
            lost_bytes: 0,
            error: None,
        };
        if let Err(error) = log.reopen() {
            log.error = Some(error.to_string());
        }
        log
    }

    /// Why lines were dropped last; `None` when the last write worked.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Writes output that arrived at `unix_ns`. `block` is a scratch buffer.
    pub fn write(&mut self, stream: Stream, data: &[u8], unix_ns: u64, block: &mut Vec<u8>) {
        let stamp = rfc3339_nano(unix_ns);
        block.clear();
        for piece in pieces(data) {
            if self.is_due(block.len(), piece) {
                self.flush(block);
                self.rotate();
            }
            append(block, &stamp, stream, piece);
            self.mid_line[stream as usize] = !piece.full;
            if block.len() >= BLOCK_BYTES {
                self.flush(block);
            }
        }
        self.flush(block);
    }

    /// Ends a line that the container left unfinished.
    pub fn finish(&mut self, stream: Stream, unix_ns: u64, block: &mut Vec<u8>) {
        if std::mem::take(&mut self.mid_line[stream as usize]) {
            block.clear();
            append(block, &rfc3339_nano(unix_ns), stream, Piece { full: true, bytes: b"" });
            self.flush(block);
        }
    }

    /// A rotation belongs before `piece`. Not in the middle of a line, unless one never ends.
    fn is_due(&self, unwritten: usize, piece: Piece<'_>) -> bool {
        let size = self.size + unwritten as u64;
        let mid_line = self.mid_line.contains(&true);
        let limit = if mid_line { self.max_bytes.saturating_mul(2) } else { self.max_bytes };
        self.max_bytes > 0 && size > 0 && size + piece.bytes.len() as u64 + OVERHEAD_BYTES > limit
    }

    fn flush(&mut self, block: &mut Vec<u8>) {
        if block.is_empty() {
            return;
        }
        match self.append_block(block) {
            Ok(()) => self.error = None,
            Err(error) => {
                self.lost_bytes += block.len() as u64;
                self.error = Some(error.to_string());
            }
        }
        block.clear();
    }

    fn append_block(&mut self, block: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.reopen()?;
        }
        if self.lost_bytes > 0 {
            self.tell_loss(block)?;
        }
        self.put(block)
    }

    /// Says how much is missing, with the time of the line that follows.
    fn tell_loss(&mut self, next: &[u8]) -> io::Result<()> {
        let stamp = next.split(|&byte| byte == b' ').next().unwrap_or_default();
        let mut line = stamp.to_vec();
        let lost = self.lost_bytes;
        line.extend_from_slice(
            format!(" stderr F podvisor: {lost} bytes of log could not be written\n").as_bytes(),
        );
        self.put(&line)?;
        self.lost_bytes = 0;
        Ok(())
    }

    /// Appends whole lines, or takes back what a failed write left of them.
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        let result = file.write_all(lines);
        match &result {
            Ok(()) => self.size += lines.len() as u64,
            Err(_) => {
                // If even this fails the next line continues a broken one; nothing better is left.
                let _ = file.set_len(self.size);
            }
        }
        result
    }

    fn rotate(&mut self) {
        if let Err(error) = self.shift_files().and_then(|()| self.reopen()) {
            self.error = Some(error.to_string());
        }
    }

    fn shift_files(&mut self) -> io::Result<()> {
        for old in (1..self.max_files).rev() {
            let from = if old == 1 { self.path.clone() } else { self.numbered(old - 1) };
            ignore_missing(fs::rename(from, self.numbered(old)))?;
        }
        if self.max_files == 1 {
            ignore_missing(fs::remove_file(&self.path))?;
        }
        self.file = None;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = sys::stdio::open_append(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
