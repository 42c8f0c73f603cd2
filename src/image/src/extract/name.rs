//! What an entry's name asks for: a file, a whiteout, an opaque folder. Pure.
//!
//! Source: OCI image-spec, layer.md, "Whiteouts" and "Opaque Whiteout".

use crate::fault::Fault;

const WHITEOUT: &[u8] = b".wh.";
/// aufs' own records; only `.wh..wh..opq` means something to others.
const AUFS: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Deepest nesting; removing a tree holds one fd a level open.
const DEPTH_MAX: usize = 256;

/// A parsed name. Folders are clean relative paths, empty for the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    Root,
    /// Folder and name within.
    Plain(Vec<u8>, Vec<u8>),
    /// Folder, and the name within that the layer deletes.
    Whiteout(Vec<u8>, Vec<u8>),
    /// Folder whose content in the layers below is hidden.
    Opaque(Vec<u8>),
    Ignored,
}

impl Name {
    /// A leading `/` is dropped, as every tar program does.
    pub(super) fn parse(path: &[u8]) -> Result<Name, Fault> {
        let parts: Vec<&[u8]> =
            path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
        if parts.contains(&b"..".as_slice()) {
            return Err(Fault::Escapes("its name has `..`".into()));
        }
        if parts.len() > DEPTH_MAX {
            let depth = parts.len();
            return Err(Fault::bad(format!("nested {depth} folders deep, over {DEPTH_MAX}")));
        }
        let Some((last, folders)) = parts.split_last() else {
            return Ok(Name::Root);
        };
        if folders.iter().any(|f| f.starts_with(AUFS)) {
            return Ok(Name::Ignored);
        }
        if folders.iter().any(|f| f.starts_with(WHITEOUT)) {
            return Err(Fault::bad("a file below a whiteout"));
        }
        let folder = folders.join(&b'/');
        if *last == OPAQUE {
            return Ok(Name::Opaque(folder));
        }
        if last.starts_with(AUFS) {
            return Ok(Name::Ignored);
        }
        match last.strip_prefix(WHITEOUT) {
            None => Ok(Name::Plain(folder, last.to_vec())),
            Some(b"" | b"." | b"..") => Err(Fault::bad("a whiteout of no name")),
            Some(hidden) => Ok(Name::Whiteout(folder, hidden.to_vec())),
        }
    }
}

pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') }
}

/// Folder and last name of a clean, non-empty path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_ask_for() {
        let plain = |f: &[u8], n: &[u8]| Name::Plain(f.to_vec(), n.to_vec());
        for (path, want) in [
            (b"./".as_slice(), Name::Root),
            (b"/", Name::Root),
            (b"a", plain(b"", b"a")),
            (b"//a/./b/", plain(b"a", b"b")),
            (b"...", plain(b"", b"...")),
            (b"a/.wh.b", Name::Whiteout(b"a".to_vec(), b"b".to_vec())),
            (b".wh..wh..opq", Name::Opaque(vec![])),
            (b"a/.wh..wh..opq", Name::Opaque(b"a".to_vec())),
            (b".wh..wh.plnk", Name::Ignored),
            (b".wh..wh.plnk/1.2", Name::Ignored),
        ] {
            assert_eq!(Name::parse(path).unwrap(), want, "{}", String::from_utf8_lossy(path));
        }
        for path in [b"..".as_slice(), b"a/../b", b"/..", b".wh.", b".wh..", b".wh...", b".wh.a/b"]
        {
            assert!(Name::parse(path).is_err(), "{}", String::from_utf8_lossy(path));
        }
        assert!(Name::parse(&b"a/".repeat(DEPTH_MAX + 1)).is_err());
    }
}
