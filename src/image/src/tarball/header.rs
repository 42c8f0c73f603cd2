//! One 512-byte header block: checksum, text fields, octal and base-256 numbers.

use sys::dir::Stamp;

use super::{BLOCK, Extent, Kind, sparse};
use crate::fault::Fault;

const CHECKSUM: std::ops::Range<usize> = 148..156;
/// ids one below `(uid_t)-1`, which chown(2) takes for "leave it".
pub(super) const ID_MAX: u64 = u32::MAX as u64 - 1;

pub(super) struct Header([u8; BLOCK]);

impl Header {
    pub(super) fn parse(block: [u8; BLOCK]) -> Result<Header, Fault> {
        let told = octal(&block[CHECKSUM]).ok_or_else(|| Fault::bad("bad header checksum"))?;
        let counted = |i: usize, b: u8| if CHECKSUM.contains(&i) { b' ' } else { b };
        let unsigned: u64 = block.iter().enumerate().map(|(i, b)| u64::from(counted(i, *b))).sum();
        // Some old writers sum signed bytes.
        let signed: i64 = block
            .iter()
            .enumerate()
            .map(|(i, b)| i64::from(i8::from_ne_bytes([counted(i, *b)])))
            .sum();
        if told == unsigned || i64::try_from(told) == Ok(signed) {
            Ok(Header(block))
        } else {
            Err(Fault::bad("bad header checksum"))
        }
    }

    pub(super) fn flag(&self) -> u8 {
        self.0[156]
    }

    fn is_posix(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[0..100]);
        let prefix = if self.is_posix() { text(&self.0[345..500]) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(super) fn kind(&self, path: &[u8]) -> Result<Kind, Fault> {
        let number = |range: std::ops::Range<usize>| {
            u32::try_from(self.unsigned(range, "device number")?)
                .map_err(|_| Fault::bad("a device number is too large"))
        };
        Ok(match self.flag() {
            // Before ustar a folder was told by its name's end.
            b'0' | 0 if path.ends_with(b"/") => Kind::Folder,
            // In any other header GNU tar takes it for a plain file.
            b'S' if &self.0[257..265] != b"ustar  \0" => {
                return Err(Fault::bad("a sparse file whose header is not GNU tar's"));
            }
            // GNU tar reads no numbers of it there.
            b'3' | b'4' if &self.0[257..262] != b"ustar" || !matches!(self.0[262], 0 | b' ') => {
                return Err(Fault::bad("a device whose header is no ustar"));
            }
            b'0' | b'7' | b'S' | 0 => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Link,
            b'3' => Kind::Char { major: number(329..337)?, minor: number(337..345)? },
            b'4' => Kind::Block { major: number(329..337)?, minor: number(337..345)? },
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => {
                let flag = char::from(other).escape_default();
                return Err(Fault::bad(format!("unknown type of entry '{flag}'")));
            }
        })
    }

    pub(super) fn size(&self) -> Result<u64, Fault> {
        self.unsigned(124..136, "size")
    }

    pub(super) fn mode(&self) -> Result<u32, Fault> {
        let mode = self.unsigned(100..108, "mode")?;
        // Some writers put the file type in front.
        Ok(u32::try_from(mode & u64::from(sys::dir::MODE_MASK)).unwrap_or(0))
    }

    pub(super) fn uid(&self) -> Result<u32, Fault> {
        self.id(108..116, "uid")
    }

    pub(super) fn gid(&self) -> Result<u32, Fault> {
        self.id(116..124, "gid")
    }

    pub(super) fn modified(&self) -> Result<Stamp, Fault> {
        let seconds = self.signed(136..148, "mtime")?;
        Ok(Stamp { seconds, nanos: 0 })
    }

    /// Old GNU sparse: the file's length with holes.
    pub(super) fn real_size(&self) -> Result<u64, Fault> {
        self.unsigned(483..495, "real size")
    }

    /// Old GNU sparse: the four extents of the header; whether blocks with more follow.
    pub(super) fn first_extents(&self, extents: &mut Vec<Extent>) -> Result<bool, Fault> {
        sparse::old_gnu_fields(&self.0[386..482], extents)?;
        Ok(self.0[482] != 0)
    }

    fn id(&self, range: std::ops::Range<usize>, what: &str) -> Result<u32, Fault> {
        id(self.unsigned(range, what)?, what)
    }

    fn unsigned(&self, range: std::ops::Range<usize>, what: &str) -> Result<u64, Fault> {
        let value = self.signed(range, what)?;
        u64::try_from(value).map_err(|_| Fault::bad(format!("the {what} is negative")))
    }

    fn signed(&self, range: std::ops::Range<usize>, what: &str) -> Result<i64, Fault> {
        number(&self.0[range]).ok_or_else(|| Fault::bad(format!("the {what} is no number")))
    }
}

/// A user or group id that the kernel takes.
pub(super) fn id(value: u64, what: &str) -> Result<u32, Fault> {
    let fits = value <= ID_MAX;
    let narrow = u32::try_from(value).ok().filter(|_| fits);
    narrow.ok_or_else(|| Fault::bad(format!("the {what} {value} is beyond {ID_MAX}")))
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

fn octal(field: &[u8]) -> Option<u64> {
    // No number to us, but others read what is behind one NUL (GNU tar) or many (Go).
    if field.first() == Some(&0) && field.iter().any(|b| !matches!(b, 0 | b' ')) {
        return None;
    }
    let field = text(field).trim_ascii();
    field.iter().try_fold(0u64, |sum, b| match b {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// Octal text, or GNU's base-256: the first bit set, then a two's complement number.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return i64::try_from(octal(field)?).ok();
    }
    // 0x80: positive, the bit is a mark. 0xff: negative, the bit is part of the number.
    let negative = first & 0x40 != 0;
    let start = i128::from(if negative { first } else { first & 0x3f });
    let mut value = if negative { start - 256 } else { start };
    for byte in &field[1..] {
        value = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
    }
    i64::try_from(value).ok()
}
