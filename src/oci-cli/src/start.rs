//! Where libc starts the program: without Rust's runtime, which costs a tenth of a start.
//!
//! The arguments are read by [`std::env::args_os`], as ever; standard output is flushed by
//! [`std::process::exit`]. Not here: anything that a verb needs.

use std::ffi::{c_char, c_int};

use crate::report::{Failure, Log};

#[expect(unsafe_code, reason = "libc wants the name; nothing else in this program is called main")]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _words: *const *const c_char) -> c_int {
    let code = match sys::start::prepare() {
        Ok(()) => crate::program(),
        Err(error) => Log::default().fail(&Failure::new(format!("starting: {error}"))),
    };
    std::process::exit(code.into())
}
