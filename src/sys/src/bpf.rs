//! Device programs on cgroups: load, attach, list, detach.
//!
//! Every call is one `bpf(2)`; a program is a slice of 8-byte instructions made elsewhere (see
//! `runtime::cgroup`). Not here: what a program says, and any other program type.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// The kernel's limit on programs attached to one cgroup (`BPF_CGROUP_MAX_PROGS`).
const ATTACHED_MAX: usize = 64;

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct IdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `bpf(2)`; the result is the call's own (0 or a new fd).
fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
    let pointer = std::ptr::from_mut(attr);
    // SAFETY: `pointer` is a live, exclusive `repr(C)` value of the size given; the private callers
    // pass the type that `command` reads and writes, and every pointer inside outlives the call.
    let got = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<T>()) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(got) }
}

fn owned(raw: libc::c_long) -> io::Result<OwnedFd> {
    let raw = RawFd::try_from(raw).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel has just made this fd for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Loads a cgroup device program; `instructions` are in the kernel's 8-byte form, native endian.
///
/// # Errors
/// The kernel's: EPERM without CAP_BPF or CAP_SYS_ADMIN, EINVAL when the verifier refuses it.
pub fn load_device_program(instructions: &[[u8; 8]]) -> io::Result<OwnedFd> {
    let count =
        u32::try_from(instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let mut attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: count,
        insns: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        prog_name: *b"podvisor_dev\0\0\0\0",
        ..LoadAttr::default()
    };
    owned(bpf(BPF_PROG_LOAD, &mut attr)?)
}

/// Attaches `program` to the v2 cgroup folder `cgroup`, beside other programs (all must allow), or
/// in one step in the place of `replace`.
///
/// # Errors
/// The kernel's, with EPERM when a parent's program forbids programs below it.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replace: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut attr = AttachAttr {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | replace.map_or(0, |_| BPF_F_REPLACE),
        replace_bpf_fd: replace.map_or(0, number),
    };
    bpf(BPF_PROG_ATTACH, &mut attr).map(drop)
}

/// Detaches `program` from `cgroup`.
///
/// # Errors
/// The kernel's: ENOENT when it was not attached.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = AttachAttr {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        ..AttachAttr::default()
    };
    bpf(BPF_PROG_DETACH, &mut attr).map(drop)
}

/// The device programs attached to `cgroup` itself (not those of its parents).
///
/// # Errors
/// The kernel's.
pub fn attached_device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; ATTACHED_MAX];
    let mut attr = QueryAttr {
        target_fd: number(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: 64,
        ..QueryAttr::default()
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    let count = usize::try_from(attr.prog_cnt).unwrap_or(0).min(ATTACHED_MAX);
    ids[..count]
        .iter()
        .map(|id| {
            let mut attr = IdAttr { prog_id: *id, ..IdAttr::default() };
            owned(bpf(BPF_PROG_GET_FD_BY_ID, &mut attr)?)
        })
        .collect()
}
