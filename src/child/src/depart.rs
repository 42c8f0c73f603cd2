//! From the parent's memory into a program of the child's own: clone3, execve, nothing between.
//!
//! Whoever looks at the child from within a container finds neither the caller's program nor its
//! memory (CVE-2019-5736). Not here: whether the clone shares the caller's memory until then, the
//! file that is executed, which `sys::program_file` makes, and the wait for the execve.

use core::ffi::{CStr, c_char, c_int};
use core::ptr::null;

use crate::raw::{Done, exit, syscall, unit};

/// Bytes of stack for the few calls before the execve.
pub const STACK_BYTES: usize = 8192;

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// What the clone takes with it.
#[repr(C)]
pub struct Departure {
    /// The program, open for reading.
    pub file: c_int,
    /// Its name, for ps.
    pub name: &'static CStr,
    /// Descriptors that stay open.
    pub keep: *const c_int,
    /// How many.
    pub count: usize,
    /// Keeps its capabilities although it is not root, or not yet: as ambient ones.
    pub ambient: bool,
    /// A pipe that closes at the execve; why that failed is written there, a native-endian errno.
    pub tell: c_int,
}

/// clone3(2) with these arguments and [`STACK_BYTES`] of the caller's as stack, in its memory
/// (CLONE_VM) or in a copy of it; the clone executes what `departure` says. The child's pid, or an
/// errno.
///
/// # Safety
/// `args` is whole; its stack, `departure` and what that points to is left alone until the clone
/// has executed its program or ended.
pub unsafe fn clone(args: &mut libc::clone_args, departure: &Departure) -> Result<i32, c_int> {
    // SAFETY: the caller's promise.
    unsafe { clone_into(args, leave, departure) }
}

/// The same with another beginning, which never comes back.
///
/// # Safety
/// As of [`clone`], with `data` in the place of `departure`.
pub(crate) unsafe fn clone_into<T>(
    args: &mut libc::clone_args,
    begin: unsafe extern "C" fn(*const T) -> !,
    data: *const T,
) -> Result<i32, c_int> {
    let number = libc::SYS_clone3 as isize;
    let size = size_of::<libc::clone_args>();
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the clone runs on its own stack and never comes back; the caller goes on only then,
    // with its own registers, of which the kernel changes rax, rcx and r11.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") number => result,
            in("rdi") core::ptr::from_mut(args), in("rsi") size,
            in("r12") data, in("r13") begin as *const (),
            lateout("rcx") _, lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; the kernel changes x0.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            inlateout("x0") core::ptr::from_mut(args) => result, in("x1") size, in("x8") number,
            in("x20") data, in("x21") begin as *const (),
        );
    }
    if result < 0 { Err(-result as c_int) } else { Ok(result as i32) }
}

/// # Safety
/// Only for a clone, on its own stack, whose parent leaves `departure` alone.
unsafe extern "C" fn leave(departure: *const Departure) -> ! {
    // SAFETY: the caller's promise.
    let departure = unsafe { &*departure };
    if let Err(errno) = execute(departure) {
        // Should nobody listen any more, nobody needs to know.
        let _ = syscall!(libc::SYS_write, departure.tell, &raw const errno, size_of::<c_int>());
    }
    exit(127)
}

fn execute(departure: &Departure) -> Done {
    // SAFETY: so many descriptors are there, says who made it.
    let keep = unsafe { core::slice::from_raw_parts(departure.keep, departure.count) };
    for fd in keep {
        // In the clone's own table: the caller's stay as they are.
        syscall!(libc::SYS_fcntl, *fd, libc::F_SETFD, 0)?;
    }
    if departure.ambient {
        keep_capabilities()?;
    }
    let argv: [*const c_char; 2] = [departure.name.as_ptr(), null()];
    let envp: [*const c_char; 1] = [null()];
    let (file, flags) = (departure.file, libc::AT_EMPTY_PATH);
    unit(syscall!(libc::SYS_execveat, file, c"", argv.as_ptr(), envp.as_ptr(), flags))
}

/// An execve takes the capabilities from whoever is not root, as nobody is in a user namespace
/// that has no map yet, but for the ambient ones.
fn keep_capabilities() -> Done {
    let header = [CAPABILITY_VERSION_3, 0];
    // Effective, permitted, inheritable, of the lower and of the upper half.
    let mut sets = [0u32; 6];
    syscall!(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr())?;
    let [_, low, _, _, high, _] = sets;
    let sets = [low, low, low, high, high, high];
    syscall!(libc::SYS_capset, header.as_ptr(), sets.as_ptr())?;
    let held = u64::from(high) << 32 | u64::from(low);
    for capability in (0..u64::BITS).filter(|number| held >> number & 1 == 1) {
        let (option, raise) = (libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE);
        syscall!(libc::SYS_prctl, option, raise, capability, 0, 0)?;
    }
    Ok(())
}
