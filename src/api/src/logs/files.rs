//! The files of one log: `0.log` is written, `0.log.1` is the newest old one.
//!
//! Files are known by inode, because a rotation renames them under the reader: it reads the file it
//! holds to its end, then goes on with the ones that are newer. A line is handed out whole.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::line;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Old files that are looked for.
const OLD_FILES_MAX: usize = 32;

/// Reads a log from a point on.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    newer: VecDeque<File>,
    pending: Vec<u8>,
}

impl Reader {
    /// Opens the log at its beginning, or at its last `tail` lines. Blocks.
    pub(super) fn open(path: &Path, tail: Option<u64>) -> io::Result<Reader> {
        let mut files = newest_first(path)?;
        let keep = match tail {
            None => files.len(),
            Some(lines) => seek_to_tail(&mut files, lines)?,
        };
        files.truncate(keep);
        files.reverse();
        let mut newer = VecDeque::from(files);
        let file = newer.pop_front().ok_or(io::ErrorKind::NotFound)?;
        Ok(Reader { path: path.to_path_buf(), file, newer, pending: Vec::new() })
    }

    /// The next whole lines, `None` when there are none now.
    pub(super) fn next_lines(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut moved_on = false;
        loop {
            let mut chunk = vec![0u8; CHUNK_BYTES];
            let len = self.file.read(&mut chunk)?;
            if len > 0 {
                self.pending.extend_from_slice(&chunk[..len]);
                moved_on = false;
                let Some(end) = self.pending.iter().rposition(|&b| b == b'\n') else { continue };
                let rest = self.pending.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.pending, rest)));
            }
            if self.newer.is_empty() {
                self.newer = self.written_since()?;
                if self.newer.is_empty() {
                    return Ok(None);
                }
                // The rotation may have come after the read: once more, then on.
                moved_on = false;
            }
            if moved_on || !self.is_growing() {
                if let Some(next) = self.newer.pop_front() {
                    self.file = next;
                    // Half a line at the end of a file that is no longer written.
                    self.pending.clear();
                }
                moved_on = false;
            } else {
                moved_on = true;
            }
        }
    }

    /// Whether bytes have come since the last read.
    fn is_growing(&mut self) -> bool {
        let at = self.file.stream_position().unwrap_or(0);
        self.file.metadata().is_ok_and(|m| m.len() > at)
    }

    /// The files that are newer than the one held, oldest first.
    fn written_since(&self) -> io::Result<VecDeque<File>> {
        let held = self.file.metadata()?.ino();
        match std::fs::metadata(&self.path) {
            Ok(now) if now.ino() == held => return Ok(VecDeque::new()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(VecDeque::new()),
            _ => {}
        }
        let mut newer = VecDeque::new();
        for file in newest_first(&self.path)? {
            if file.metadata()?.ino() == held {
                break;
            }
            newer.push_front(file);
        }
        Ok(newer)
    }
}

/// Opens the current file, then older ones. Rotated meanwhile, a file shows up twice: once counts.
fn newest_first(path: &Path) -> io::Result<Vec<File>> {
    let mut files = vec![File::open(path)?];
    let mut inodes = vec![files[0].metadata()?.ino()];
    for number in 1..=OLD_FILES_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        match File::open(&name) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                if !inodes.contains(&inode) {
                    inodes.push(inode);
                    files.push(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Moves into the newest files so that `lines` full lines follow; how many files are needed.
fn seek_to_tail(files: &mut [File], lines: u64) -> io::Result<usize> {
    let mut wanted = usize::try_from(lines).unwrap_or(usize::MAX);
    for (index, file) in files.iter_mut().enumerate() {
        let starts = line_starts(file, wanted)?;
        if starts.len() >= wanted {
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(starts.front().copied().unwrap_or(end)))?;
            return Ok(index + 1);
        }
        file.seek(SeekFrom::Start(0))?;
        wanted -= starts.len();
    }
    Ok(files.len())
}

/// Where the last `keep` output lines of a file begin.
fn line_starts(file: &mut File, keep: usize) -> io::Result<VecDeque<u64>> {
    let mut starts = VecDeque::new();
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
    let (mut at, mut begun, mut text) = (0u64, None, Vec::new());
    loop {
        text.clear();
        let len = reader.read_until(b'\n', &mut text)?;
        if len == 0 {
            break;
        }
        let start = *begun.get_or_insert(at);
        at += len as u64;
        let full = line::parse(text.strip_suffix(b"\n").unwrap_or(&text));
        if full.is_none_or(|l| l.is_full) {
            starts.push_back(start);
            begun = None;
        }
        if starts.len() > keep {
            starts.pop_front();
        }
    }
    // An output line that has not ended yet counts as one.
    if let Some(start) = begun {
        starts.push_back(start);
        if starts.len() > keep {
            starts.pop_front();
        }
    }
    Ok(starts)
}
