//! The first bytes of a redb file (format 3, see redb's design document), looked at before redb is.
//!
//! redb asserts what its header says and, after an orderly end, trusts pages that it has not
//! compared with their checksums: a truncated file or a flipped bit ends the process. So a header
//! that contradicts its file is refused here, and the file is marked as one that was not closed:
//! redb then verifies every page from the root down before it uses it.
//! Not here: anything behind the header.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];
const FLAGS_AT: usize = 9;
const PAGE_SIZE_AT: usize = 12;
const REGION_HEADER_AT: usize = 16;
const REGION_PAGES_AT: usize = 20;
const FULL_REGIONS_AT: usize = 24;
const LAST_PAGES_AT: usize = 28;
/// Two commit slots follow; each begins with the format's version.
const SLOTS_AT: [usize; 2] = [64, 192];
const LENGTH: usize = 320;

const PAGE_BYTES: u32 = 4096;
const FORMAT: u8 = 3;
const NOT_CLOSED: u8 = 2;
const TWO_PHASES: u8 = 4;

/// What may be done with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It is empty: redb makes a new database of it.
    Empty,
    /// redb may open it.
    Sound,
    /// redb would not survive it; why.
    Wrong(String),
}

/// Looks at a file and has redb verify it.
///
/// # Errors
/// The disk's.
pub(super) fn check(file: &File) -> io::Result<Header> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(Header::Empty);
    }
    let mut bytes = [0; LENGTH];
    if length < LENGTH as u64 {
        return Ok(Header::Wrong(format!("it ends after {length} bytes")));
    }
    file.read_exact_at(&mut bytes, 0)?;
    if let Err(problem) = contradiction(&bytes, length) {
        return Ok(Header::Wrong(problem));
    }
    let flags = (bytes[FLAGS_AT] | NOT_CLOSED) & !TWO_PHASES;
    if flags != bytes[FLAGS_AT] {
        file.write_all_at(&[flags], FLAGS_AT as u64)?;
    }
    Ok(Header::Sound)
}

fn contradiction(bytes: &[u8; LENGTH], length: u64) -> Result<(), String> {
    if !bytes.starts_with(&MAGIC) {
        return Err("it is no redb database".to_owned());
    }
    for at in SLOTS_AT {
        if bytes[at] != FORMAT {
            return Err(format!("its format is {}, not {FORMAT}", bytes[at]));
        }
    }
    if number(bytes, PAGE_SIZE_AT) != PAGE_BYTES {
        return Err(format!("its pages have {} bytes", number(bytes, PAGE_SIZE_AT)));
    }
    let (header, pages) = (number(bytes, REGION_HEADER_AT), number(bytes, REGION_PAGES_AT));
    let (full, last) = (number(bytes, FULL_REGIONS_AT), number(bytes, LAST_PAGES_AT));
    if header != 0 || !pages.is_power_of_two() || last >= pages || (full, last) == (0, 0) {
        return Err("its header contradicts itself".to_owned());
    }
    // At most 2^63 pages, which a file of 2^64 bytes does not have.
    let data_pages = u64::from(full) * u64::from(pages) + u64::from(last);
    let said = data_pages.saturating_add(1).saturating_mul(u64::from(PAGE_BYTES));
    if length < said {
        return Err(format!("it has {length} bytes of {said}"));
    }
    Ok(())
}

fn number(bytes: &[u8; LENGTH], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}
