//! The program's own mapped code, given back while a process is idle.
//!
//! A start touches much code that then waits in the process' page tables; the pages are the file's
//! and stay in the page cache. Unmapping them costs nothing but minor faults at the next use, and
//! halves what an idle process is charged for. Only mappings that are read-only, of the program's
//! own file and without a private page are touched: there is nothing in them to lose.

use std::ffi::c_void;
use std::fs;
use std::num::NonZeroUsize;

use libc::{MADV_DONTNEED, madvise};

/// Address ranges of code and constants.
#[derive(Debug, Default)]
pub struct Code {
    ranges: Vec<(usize, NonZeroUsize)>,
}

impl Code {
    /// Finds them in /proc/self/smaps; none when that cannot be read.
    #[must_use]
    pub fn find() -> Code {
        let program = fs::read_link("/proc/self/exe").unwrap_or_default();
        let text = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        Code { ranges: program.to_str().map(|path| parse(&text, path)).unwrap_or_default() }
    }

    /// Gives every page of them back.
    pub fn release(&self) {
        for (start, len) in &self.ranges {
            // SAFETY: the range is a mapping of this program's file for as long as it runs. It is
            // read-only and had no private page when it was found, so it can have none now: what is
            // dropped is read from the file again at the next touch.
            unsafe { madvise(*start as *mut c_void, len.get(), MADV_DONTNEED) };
        }
    }
}

/// Read-only mappings of `program` without a private copy of any page.
fn parse(smaps: &str, program: &str) -> Vec<(usize, NonZeroUsize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), second) = (words.next(), words.next().unwrap_or_default()) else {
            continue;
        };
        if let Some(range) = address_range(first) {
            let readable_only = second.starts_with('r') && !second.contains('w');
            let own = line.ends_with(program) && line.split(' ').any(|word| word == program);
            candidate = Some(range).filter(|_| readable_only && own);
        } else if first == "Anonymous:" && second == "0" {
            found.extend(candidate.take());
        }
    }
    found
}

fn address_range(word: &str) -> Option<(usize, NonZeroUsize)> {
    let (start, end) = word.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, NonZeroUsize::new(end.checked_sub(start)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_read_only_mappings_of_the_program_are_found() {
        let smaps = "00400000-00401000 r--p 00000000 fe:00 7 /bin/x\nRss: 4 kB\nAnonymous: 0 kB\n\
                     00401000-00403000 r-xp 00001000 fe:00 7 /bin/x\nAnonymous: 0 kB\n\
                     00403000-00404000 r--p 00003000 fe:00 7 /bin/x\nAnonymous: 4 kB\n\
                     00404000-00405000 rw-p 00004000 fe:00 7 /bin/x\nAnonymous: 0 kB\n\
                     00500000-00501000 r--p 00000000 fe:00 8 /lib/x\nAnonymous: 0 kB\n\
                     00600000-00601000 rw-p 00000000 00:00 0 [heap]\nAnonymous: 0 kB\n";
        let found: Vec<(usize, usize)> =
            parse(smaps, "/bin/x").into_iter().map(|(start, len)| (start, len.get())).collect();
        assert_eq!(found, [(0x40_0000, 0x1000), (0x40_1000, 0x2000)]);
    }

    #[test]
    fn the_program_goes_on_after_its_code_was_released() {
        let code = Code::find();
        assert!(!code.ranges.is_empty());
        for _ in 0..3 {
            code.release();
            assert_eq!("still here".len(), 10);
        }
    }
}
