//! Starting a program again and again without allocating: everything is prepared once.
//!
//! For PID 1, which has to restart its supervisor also when no memory is left to allocate. The new
//! program gets a session of its own, no blocked and no ignored signals, the caller's environment
//! and descriptors 0 to 2.

use std::ffi::{CString, OsString};
use std::io::{Error, Result};
use std::os::unix::ffi::OsStringExt;

use libc::{c_char, posix_spawnattr_t, sigset_t};

/// A program with its arguments, ready to be started.
pub struct Prepared {
    /// Keeps alive what the pointers below point to.
    strings: Vec<CString>,
    /// Arguments and environment, each NULL-terminated.
    argv: Vec<*mut c_char>,
    envp: Vec<*mut c_char>,
    attributes: posix_spawnattr_t,
}

impl Prepared {
    /// Prepares `argv[0]` (a path) with its arguments and the present environment.
    ///
    /// # Errors
    /// `InvalidInput` for an empty list or a string with a NUL.
    pub fn new(argv: Vec<OsString>) -> Result<Prepared> {
        if argv.is_empty() {
            return Err(Error::from(std::io::ErrorKind::InvalidInput));
        }
        let count = argv.len();
        let environment = std::env::vars_os().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        });
        let strings = argv
            .into_iter()
            .chain(environment)
            .map(|text| CString::new(text.into_vec()))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let pointers = |part: &[CString]| {
            let all = part.iter().map(|text| text.as_ptr().cast_mut());
            all.chain([std::ptr::null_mut()]).collect::<Vec<_>>()
        };
        let (argv, envp) = (pointers(&strings[..count]), pointers(&strings[count..]));
        Ok(Prepared { argv, envp, attributes: attributes()?, strings })
    }

    /// Starts it; the pid of the new child.
    ///
    /// # Errors
    /// ENOENT, EACCES and the like of exec, EAGAIN or ENOMEM of clone.
    pub fn start(&self) -> Result<i32> {
        let mut pid = 0;
        // SAFETY: `argv` and `envp` are NULL-terminated and point into `strings`, which `self`
        // keeps; the attributes are initialised; there are no file actions.
        let failed = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                self.strings[0].as_ptr(),
                std::ptr::null(),
                &raw const self.attributes,
                self.argv.as_ptr(),
                self.envp.as_ptr(),
            )
        };
        if failed == 0 { Ok(pid) } else { Err(Error::from_raw_os_error(failed)) }
    }
}

fn attributes() -> Result<posix_spawnattr_t> {
    // SAFETY: both are plain data for which all zeroes is valid; they are initialised below.
    let mut attributes: posix_spawnattr_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let (mut none, mut all): (sigset_t, sigset_t) = unsafe { std::mem::zeroed() };
    // SAFETY: a whole set to fill.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: a whole set to fill.
    unsafe { libc::sigfillset(&raw mut all) };
    let flags = i32::from(libc::POSIX_SPAWN_SETSIGMASK as i16)
        | i32::from(libc::POSIX_SPAWN_SETSIGDEF as i16)
        | i32::from(SPAWN_SETSID);
    let flags = i16::try_from(flags).map_err(Error::other)?;
    // SAFETY: the attributes are ours alone.
    check(unsafe { libc::posix_spawnattr_init(&raw mut attributes) })?;
    // SAFETY: initialised attributes, an initialised set.
    check(unsafe { libc::posix_spawnattr_setsigmask(&raw mut attributes, &raw const none) })?;
    // SAFETY: initialised attributes, an initialised set.
    check(unsafe { libc::posix_spawnattr_setsigdefault(&raw mut attributes, &raw const all) })?;
    // SAFETY: initialised attributes.
    check(unsafe { libc::posix_spawnattr_setflags(&raw mut attributes, flags) })?;
    Ok(attributes)
}

/// POSIX_SPAWN_SETSID of spawn.h, which the libc crate does not have.
const SPAWN_SETSID: i16 = 0x80;

fn check(failed: i32) -> Result<()> {
    if failed == 0 { Ok(()) } else { Err(Error::from_raw_os_error(failed)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_program_starts_twice_and_a_missing_one_is_told() {
        let prepared = Prepared::new(vec!["/bin/sh".into(), "-c".into(), "exit 7".into()]).unwrap();
        for _ in 0..2 {
            let pid = prepared.start().unwrap();
            let mut status = 0;
            // SAFETY: a whole int to fill; the child is ours.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert_eq!(libc::WEXITSTATUS(status), 7);
        }
        let missing = Prepared::new(vec!["/nowhere/x".into()]).unwrap();
        assert_eq!(missing.start().unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
