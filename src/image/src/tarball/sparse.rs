//! Maps of sparse files: GNU's old header form and the text form of PAX 1.0.

use super::BLOCK;
use super::header::number;
use crate::fault::Fault;

/// Most extents of one file (4 MiB of memory).
const EXTENTS_MAX: usize = 1 << 18;
/// An offset and a length field, 12 bytes each.
const FIELD: usize = 24;
/// Extents of a continuation block, and where its "more" mark stands.
const BLOCK_FIELDS: usize = 21 * FIELD;

/// A piece of a sparse file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where in the file, bytes.
    pub(crate) offset: u64,
    /// How much, bytes.
    pub(crate) length: u64,
}

pub(super) fn push(extents: &mut Vec<Extent>, extent: Extent) -> Result<(), Fault> {
    if extents.len() >= EXTENTS_MAX {
        return Err(Fault::bad(format!("a sparse file with more than {EXTENTS_MAX} extents")));
    }
    extents.push(extent);
    Ok(())
}

/// In order, within the file, and as much data as there is.
pub(super) fn check(extents: &[Extent], length: u64, data: u64) -> Result<(), Fault> {
    let mut end = 0u64;
    let mut sum = 0u64;
    for extent in extents {
        let ordered = extent.offset >= end;
        let next = extent.offset.checked_add(extent.length).filter(|n| ordered && *n <= length);
        end = next.ok_or_else(|| Fault::bad("extents of a sparse file overlap or pass its end"))?;
        sum += extent.length;
    }
    if sum == data { Ok(()) } else { Err(Fault::bad("a sparse map that does not fit its data")) }
}

pub(super) fn old_gnu_fields(fields: &[u8], extents: &mut Vec<Extent>) -> Result<(), Fault> {
    for field in fields.chunks_exact(FIELD) {
        if field[0] == 0 && field[12] == 0 {
            break;
        }
        let value = |part: &[u8]| number(part).and_then(|n| u64::try_from(n).ok());
        match (value(&field[..12]), value(&field[12..])) {
            (Some(offset), Some(length)) => push(extents, Extent { offset, length })?,
            _ => return Err(Fault::bad("an extent of a sparse file is no number")),
        }
    }
    Ok(())
}

pub(super) fn old_gnu_block(block: &[u8; BLOCK], extents: &mut Vec<Extent>) -> Result<bool, Fault> {
    old_gnu_fields(&block[..BLOCK_FIELDS], extents)?;
    Ok(block[BLOCK_FIELDS] != 0)
}

/// The PAX 1.0 form: a count, then offsets and lengths, one decimal number a line.
#[derive(Default)]
pub(super) struct TextMap {
    digits: Vec<u8>,
    count: Option<u64>,
    offset: Option<u64>,
    extents: Vec<Extent>,
}

impl TextMap {
    pub(super) fn is_complete(&self) -> bool {
        self.count == Some(self.extents.len() as u64) && self.offset.is_none()
    }

    pub(super) fn feed(&mut self, block: &[u8]) -> Result<(), Fault> {
        for byte in block {
            match byte {
                _ if self.is_complete() => break,
                b'0'..=b'9' if self.digits.len() < 20 => self.digits.push(*byte),
                b'\n' => self.line()?,
                _ => return Err(Fault::bad("the map of a sparse file is no list of numbers")),
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<(), Fault> {
        let digits = std::mem::take(&mut self.digits);
        let text = std::str::from_utf8(&digits).ok().and_then(|t| t.parse::<u64>().ok());
        let value = text.ok_or_else(|| Fault::bad("a number of a sparse map is too large"))?;
        match (self.count, self.offset.take()) {
            (None, _) if value > EXTENTS_MAX as u64 => {
                Err(Fault::bad(format!("a sparse file with {value} extents, over {EXTENTS_MAX}")))
            }
            (None, _) => {
                self.count = Some(value);
                Ok(())
            }
            (Some(_), None) => {
                self.offset = Some(value);
                Ok(())
            }
            (Some(_), Some(offset)) => push(&mut self.extents, Extent { offset, length: value }),
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Extent>, Fault> {
        Ok(self.extents)
    }
}
