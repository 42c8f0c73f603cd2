//! System calls by instruction: no libc wrapper, no errno in thread-local storage, no locks.
//!
//! A failed call is `Err(errno)`, always positive. Not here: what the calls mean.

use core::ffi::{CStr, c_int};

/// A call's result, or its errno.
pub(crate) type Done<T = ()> = Result<T, c_int>;

/// Up to six arguments.
type Args = [usize; 6];

#[cfg(target_arch = "x86_64")]
unsafe fn instruction(number: usize, a: Args) -> isize {
    let result: isize;
    // SAFETY: the kernel changes rax, rcx and r11 only; the caller answers for the arguments.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4],
            in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn instruction(number: usize, a: Args) -> isize {
    let result: isize;
    // SAFETY: the kernel changes x0 only; the caller answers for the arguments.
    unsafe {
        core::arch::asm!(
            "svc 0",
            inlateout("x0") a[0] => result, in("x1") a[1], in("x2") a[2], in("x3") a[3],
            in("x4") a[4], in("x5") a[5], in("x8") number, options(nostack),
        );
    }
    result
}

/// One system call.
///
/// # Safety
/// Pointers among the arguments must be what the call demands.
pub(crate) unsafe fn call(number: libc::c_long, args: Args) -> Done<usize> {
    // SAFETY: the caller's promise.
    let result = unsafe { instruction(number as usize, args) };
    if result < 0 { Err(-result as c_int) } else { Ok(result as usize) }
}

/// A call whose arguments are numbers, descriptors or pointers into the program's own buffers.
macro_rules! syscall {
    ($number:expr $(, $arg:expr)* $(,)?) => {{
        let mut args = [0usize; 6];
        let given: &[usize] = &[$($crate::raw::Word::word(&$arg)),*];
        for (slot, value) in args.iter_mut().zip(given) {
            *slot = *value;
        }
        // SAFETY: every pointer comes from a reference or a NUL-terminated string that outlives the
        // call, and the types of `Word` have the layout that the kernel reads or fills.
        unsafe { $crate::raw::call($number, args) }
    }};
}
pub(crate) use syscall;

/// What fits into a register.
pub(crate) trait Word {
    fn word(&self) -> usize;
}

macro_rules! words {
    ($($kind:ty),*) => { $(impl Word for $kind {
        fn word(&self) -> usize { *self as usize }
    })* };
}
words!(i32, u32, i64, u64, usize, isize);

impl<T> Word for *const T {
    fn word(&self) -> usize {
        self.addr()
    }
}

impl<T> Word for *mut T {
    fn word(&self) -> usize {
        self.addr()
    }
}

impl Word for &CStr {
    fn word(&self) -> usize {
        self.as_ptr().addr()
    }
}

impl Word for Option<&CStr> {
    fn word(&self) -> usize {
        self.map_or(0, |text| text.as_ptr().addr())
    }
}

/// Closes a descriptor of ours; there is nothing to do about a failure.
pub(crate) fn close(fd: c_int) {
    let _ = syscall!(libc::SYS_close, fd);
}

/// A new descriptor from a call.
pub(crate) fn fd(result: Done<usize>) -> Done<c_int> {
    result.map(|fd| fd as c_int)
}

/// Nothing from a call.
pub(crate) fn unit(result: Done<usize>) -> Done {
    result.map(|_| ())
}

/// Ends the process; where a filter forbids it by a trap, which nobody can refuse.
pub(crate) fn exit(code: c_int) -> ! {
    let _ = syscall!(libc::SYS_exit_group, code);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing comes after it.
    unsafe {
        core::arch::asm!("ud2", options(noreturn, nostack))
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: nothing comes after it.
    unsafe {
        core::arch::asm!("brk 1", options(noreturn, nostack))
    }
}

/// The string at the start of `bytes`; EFAULT when it has no end.
pub(crate) fn text_of(bytes: &[u8]) -> Done<&CStr> {
    let end = bytes.iter().position(|b| *b == 0).ok_or(libc::EFAULT)?;
    let whole = bytes.get(..=end).ok_or(libc::EFAULT)?;
    // SAFETY: the last byte is the first NUL.
    Ok(unsafe { CStr::from_bytes_with_nul_unchecked(whole) })
}
