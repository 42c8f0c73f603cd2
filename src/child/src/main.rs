//! The child as a program of its own, without a library beneath: `sys` carries it in itself.
//!
//! Built by `sys`'s build script with the feature `program`; its entry, and what the compiler calls
//! without being asked. All else is in the library.
#![no_std]
#![no_main]

mod bare;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {begin}",
    "ud2",
    begin = sym begin,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "bl {begin}",
    "brk 1",
    begin = sym begin,
);

extern "C" fn begin() -> ! {
    // SAFETY: the first and only thing of a process that `sys` has laid out.
    unsafe { child::begin() }
}
