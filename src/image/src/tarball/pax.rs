//! Records of a PAX extended header: `LENGTH KEY=VALUE\n`.
//!
//! Only the keys that an extractor needs are kept; each record is checked in full.

use sys::dir::Stamp;

use super::header::id;
use super::sparse::{self, Extent};
use crate::fault::Fault;

const XATTR: &[u8] = b"SCHILY.xattr.";

#[derive(Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) modified: Option<Stamp>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse_name: Option<Vec<u8>>,
    sparse: Sparse,
}

/// The GNU.sparse.* records of formats 0.0, 0.1 and 1.0.
#[derive(Default)]
struct Sparse {
    major: Option<u64>,
    minor: Option<u64>,
    length: Option<u64>,
    count: Option<u64>,
    pairs: Vec<Extent>,
    /// Format 0.0: an offset whose length has not come yet.
    offset: Option<u64>,
}

impl Records {
    pub(super) fn parse(mut body: &[u8]) -> Result<Records, Fault> {
        let mut records = Records::default();
        while !body.is_empty() {
            let (key, value, rest) =
                record(body).ok_or_else(|| Fault::bad("a malformed PAX record"))?;
            records.take(key, value)?;
            body = rest;
        }
        if records.sparse.offset.is_some() {
            return Err(Fault::bad("a sparse extent without a length"));
        }
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let some = (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = some,
            b"linkpath" => self.link = some,
            b"size" => self.size = Some(decimal(value, "size")?),
            b"uid" => self.uid = Some(id(decimal(value, "uid")?, "uid")?),
            b"gid" => self.gid = Some(id(decimal(value, "gid")?, "gid")?),
            b"mtime" => self.modified = Some(time(value)?),
            _ if key.starts_with(XATTR) => {
                let name = &key[XATTR.len()..];
                if name.is_empty() || name.len() > 255 {
                    return Err(Fault::bad("an extended attribute's name is empty or too long"));
                }
                self.xattrs.push((name.to_vec(), value.to_vec()));
            }
            _ if key.starts_with(b"GNU.sparse.") => self.take_sparse(&key[11..], value)?,
            _ => {}
        }
        Ok(())
    }

    fn take_sparse(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let sparse = &mut self.sparse;
        match key {
            b"major" => sparse.major = Some(decimal(value, "sparse version")?),
            b"minor" => sparse.minor = Some(decimal(value, "sparse version")?),
            b"size" | b"realsize" => sparse.length = Some(decimal(value, "sparse size")?),
            b"numblocks" => sparse.count = Some(decimal(value, "number of extents")?),
            b"name" => self.sparse_name = Some(value.to_vec()).filter(|n| !n.is_empty()),
            b"offset" => {
                let offset = decimal(value, "offset of an extent")?;
                if sparse.offset.replace(offset).is_some() {
                    return Err(Fault::bad("a sparse extent without a length"));
                }
            }
            b"numbytes" => {
                let length = decimal(value, "length of an extent")?;
                let offset = sparse.offset.take();
                let offset = offset.ok_or_else(|| Fault::bad("an extent without an offset"))?;
                sparse::push(&mut sparse.pairs, Extent { offset, length })?;
            }
            b"map" => {
                let mut numbers = value.split(|b| *b == b',');
                while let Some(offset) = numbers.next() {
                    let length =
                        numbers.next().ok_or_else(|| Fault::bad("half an extent in a map"))?;
                    let offset = decimal(offset, "offset of an extent")?;
                    let length = decimal(length, "length of an extent")?;
                    sparse::push(&mut sparse.pairs, Extent { offset, length })?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Global headers may carry remarks (git writes one), not facts about files.
    pub(super) fn refuse_as_global(&self) -> Result<(), Fault> {
        let facts = self.path.is_some()
            || self.link.is_some()
            || self.size.is_some()
            || self.uid.is_some()
            || self.gid.is_some()
            || !self.xattrs.is_empty()
            || self.is_sparse();
        if facts { Err(Fault::bad("a global header that names facts of files")) } else { Ok(()) }
    }

    pub(super) fn is_sparse(&self) -> bool {
        let sparse = &self.sparse;
        sparse.major.is_some() || sparse.count.is_some() || !sparse.pairs.is_empty()
    }

    pub(super) fn sparse_version(&self) -> Option<(u64, u64)> {
        Some((self.sparse.major?, self.sparse.minor.unwrap_or(0)))
    }

    pub(super) fn sparse_length(&self) -> Result<u64, Fault> {
        self.sparse.length.ok_or_else(|| Fault::bad("a sparse file without its size"))
    }

    /// The map of formats 0.0 and 0.1.
    pub(super) fn extents(&self) -> Result<Vec<Extent>, Fault> {
        if let Some((major, minor)) = self.sparse_version().filter(|v| v.0 != 0) {
            return Err(Fault::bad(format!("sparse format {major}.{minor} is unknown")));
        }
        if self.sparse.count.is_some_and(|c| c != self.sparse.pairs.len() as u64) {
            return Err(Fault::bad("a sparse map of another length than it says"));
        }
        Ok(self.sparse.pairs.clone())
    }
}

fn record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().take(20).position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&body[..space], "length").ok()?).ok()?;
    let record = body.get(space + 1..length)?;
    let (end, record) = record.split_last()?;
    let equals = record.iter().position(|b| *b == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (*end == b'\n' && !key.is_empty() && !key.contains(&0)).then(|| (key, value, &body[length..]))
}

fn decimal(text: &[u8], what: &str) -> Result<u64, Fault> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let value = digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten();
    value.ok_or_else(|| Fault::bad(format!("the {what} is no number")))
}

/// Seconds with an optional sign and fraction; out of range is brought to the nearest end.
fn time(text: &[u8]) -> Result<Stamp, Fault> {
    let wrong = || Fault::bad("the mtime is no number");
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let dot = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..dot], text.get(dot + 1..).unwrap_or(&[]));
    let digits = |t: &[u8]| t.iter().all(u8::is_ascii_digit);
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let whole = std::str::from_utf8(whole).map_err(|_| wrong())?;
    let seconds = whole.parse::<i64>().unwrap_or(i64::MAX / 2);
    let nanos =
        (0..9).fold(0u32, |n, i| n * 10 + fraction.get(i).map_or(0, |b| u32::from(b - b'0')));
    Ok(match (negative, nanos) {
        (false, nanos) => Stamp { seconds, nanos },
        (true, 0) => Stamp { seconds: -seconds, nanos: 0 },
        (true, nanos) => Stamp { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}
