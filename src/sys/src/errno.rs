//! errno in the words that engines match and people read.

use nix::errno::Errno;

/// "no such file or directory": libc's words in lower case, as Go prints them.
#[must_use]
pub fn words(errno: i32) -> String {
    Errno::from_raw(errno).desc().to_lowercase()
}

/// "ENOENT"; "errno 4711" where there is no name.
#[must_use]
pub fn name(errno: i32) -> String {
    match Errno::from_raw(errno) {
        Errno::UnknownErrno => format!("errno {errno}"),
        known => format!("{known:?}"),
    }
}

/// "no such file or directory (ENOENT)".
#[must_use]
pub fn full(errno: i32) -> String {
    format!("{} ({})", words(errno), name(errno))
}

/// ENOENT.
pub const NOT_FOUND: i32 = libc::ENOENT;
/// EACCES.
pub const FORBIDDEN: i32 = libc::EACCES;
/// ENOTDIR.
pub const NOT_A_FOLDER: i32 = libc::ENOTDIR;
/// ENOEXEC.
pub const EXEC_FORMAT: i32 = libc::ENOEXEC;
/// EINVAL.
pub const INVALID: i32 = libc::EINVAL;
/// EPERM.
pub const NOT_PERMITTED: i32 = libc::EPERM;
/// EXDEV.
pub const CROSSED: i32 = libc::EXDEV;
/// ENOSPC.
pub const NO_SPACE: i32 = libc::ENOSPC;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_engines_match() {
        assert_eq!(full(NOT_FOUND), "no such file or directory (ENOENT)");
        assert_eq!(words(FORBIDDEN), "permission denied");
        assert_eq!(words(EXEC_FORMAT), "exec format error");
        assert_eq!(name(4711), "errno 4711");
    }
}
