//! The child's own address space: what its parent lays out, where, and how it is read.
//!
//! The file that a child executes holds two things: the program of this crate, always the same, and
//! behind it one [`Image`] with all that it points to, which the kernel maps at [`IMAGE_AT`]. The
//! two sides are compiled apart, so everything here has C's layout. Nothing is parsed: the parent
//! is trusted, and the file is its own.

use core::ffi::c_int;

use crate::op::Op;
use crate::run::{Program, Strings};

/// Where the image is mapped, far above the program.
pub const IMAGE_AT: usize = 0x1000_0000;

/// Items of one type, one behind the other.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Span {
    /// Address of the first in the child.
    pub at: usize,
    /// How many.
    pub count: usize,
}

impl Span {
    /// As the items that they are.
    ///
    /// # Safety
    /// So many valid `T` lie there, for the life of the process, and nobody changes them.
    unsafe fn items<T>(self) -> &'static [T] {
        let first = core::ptr::with_exposed_provenance(self.at);
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts(first, self.count) }
    }

    /// As room for items.
    ///
    /// # Safety
    /// So many valid `T` lie there, for the life of the process, and nobody else has them.
    unsafe fn room<T>(self) -> &'static mut [T] {
        let first = core::ptr::with_exposed_provenance_mut(self.at);
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(first, self.count) }
    }
}

/// What the process is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Role {
    /// It works through its program.
    #[default]
    Program = 0,
    /// It is the PID 1 of a pod.
    Pid1 = 1,
}

/// What is mapped at [`IMAGE_AT`].
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Image {
    /// What the process is for; the spans are a program's, empty otherwise.
    pub role: Role,
    /// The socket, or for a PID 1 the pipe, to the parent.
    pub report: c_int,
    /// [`Op`]s.
    pub ops: Span,
    /// Bytes: NUL-terminated strings.
    pub text: Span,
    /// Descriptors (int) by slot.
    pub slots: Span,
    /// Supplementary groups (u32).
    pub groups: Span,
    /// Room for the `argv` and `envp` pointers (usize): their counts and three more.
    pub words: Span,
    /// Room for the parent's last word (bytes).
    pub inbox: Span,
    /// The command's arguments.
    pub argv: Strings,
    /// Its environment.
    pub envp: Strings,
    /// Paths to try for it.
    pub candidates: Strings,
}

/// What the process was made for; never returns.
///
/// # Safety
/// Only once, as the first thing of a process whose parent mapped a whole image at [`IMAGE_AT`].
pub unsafe fn begin() -> ! {
    let mapped: *const Image = core::ptr::with_exposed_provenance(IMAGE_AT);
    // SAFETY: the caller's promise.
    let image = unsafe { *mapped };
    match image.role {
        Role::Pid1 => crate::pid1::run(image.report),
        // SAFETY: the caller's promise.
        Role::Program => crate::run::run(unsafe { program(&image) }),
    }
}

/// # Safety
/// As of [`begin`].
#[allow(clippy::multiple_unsafe_ops_per_block, reason = "one promise, made once, of six spans")]
unsafe fn program(image: &Image) -> Program<'static> {
    // SAFETY: the caller's promise; the parent laid the spans out apart from one another.
    unsafe {
        Program {
            ops: image.ops.items::<Op>(),
            text: image.text.items(),
            slots: image.slots.items(),
            groups: image.groups.items(),
            argv: image.argv,
            envp: image.envp,
            candidates: image.candidates,
            words: image.words.room(),
            inbox: image.inbox.room(),
            report: image.report,
        }
    }
}
