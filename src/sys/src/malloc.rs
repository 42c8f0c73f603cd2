//! Keeping the heap of a long-lived, mostly idle process small.
//!
//! glibc only; elsewhere these calls do nothing.

/// Makes the allocator give memory back early: blocks of 64 KiB and more are mapped one by one, and
/// the top of the heap is trimmed once 64 KiB of it are free.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    {
        const LIMIT_BYTES: libc::c_int = 64 * 1024;
        // SAFETY: mallopt takes two integers and touches only the allocator's own settings.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LIMIT_BYTES) };
        // SAFETY: as above.
        unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, LIMIT_BYTES) };
        // SAFETY: as above.
        unsafe { libc::mallopt(libc::M_TOP_PAD, 0) };
    }
}

/// Makes threads share two heaps instead of having one each: for a process whose many threads
/// rarely allocate at the same time.
pub fn share_heaps() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers and touches only the allocator's own settings.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Gives every free page of the heap back to the kernel. Costs some microseconds.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim releases pages that no allocation uses.
    unsafe {
        libc::malloc_trim(0);
    }
}
