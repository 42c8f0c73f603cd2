//! Reading files of procfs, sysfs and cgroups, whose size is not known before.
//!
//! One open, two reads, one close; the standard library asks for the size first and then reads in
//! steps of 32 bytes.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// What most of these files fit into, in bytes.
const USUAL_BYTES: usize = 4096;

/// The whole text of such a file.
///
/// # Errors
/// open(2)'s and read(2)'s; `InvalidData` when it is not UTF-8.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; USUAL_BYTES];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_files_are_read_whole() {
        for path in ["/proc/self/stat", "/proc/kallsyms", "/proc/self/mountinfo"] {
            let expected = || std::fs::read_to_string(path).unwrap().lines().count();
            // Modules and mounts come and go meanwhile.
            let steady = std::iter::repeat_with(|| {
                let before = expected();
                let found = read(path).unwrap().lines().count();
                (expected() == before).then_some((found, before))
            });
            let (found, expected) = steady.take(50).flatten().next().expect("never the same twice");
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(read("/proc/nothing").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
