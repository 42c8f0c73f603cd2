//! When and where the process runs: scheduler, CPUs, memory nodes.
//!
//! Masks are bytes of the program's text: the kernel reads them from any address.

use core::ffi::c_int;

use crate::op::{Op, Scheduling, Text};
use crate::raw::{Done, syscall, unit};
use crate::run::Child;

/// The kernel's struct sched_attr, first version.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl Child<'_> {
    pub(crate) fn scheduling(&self, op: &Op) -> Done {
        match *op {
            Op::Scheduler(to) => schedule(to),
            Op::Cores { of } => share_cores(of),
            Op::Affinity { mask, length } => {
                let mask = self.bytes(mask, length)?;
                let (start, length) = (mask.as_ptr(), mask.len());
                unit(syscall!(libc::SYS_sched_setaffinity, 0, length, start))
            }
            Op::MemoryPolicy { mode, nodes, length } => {
                let nodes = self.bytes(nodes, length)?;
                // The kernel takes one off the number and refuses the 0 that wraps.
                let bits = nodes.len() * 8 + 1;
                unit(syscall!(libc::SYS_set_mempolicy, mode, nodes.as_ptr(), bits))
            }
            _ => Err(libc::ENOSYS),
        }
    }

    /// `length` bytes of the text; EFAULT when it has fewer.
    fn bytes(&self, at: Text, length: u32) -> Done<&[u8]> {
        let rest = self.program.text.get(at as usize..).ok_or(libc::EFAULT)?;
        rest.get(..length as usize).ok_or(libc::EFAULT)
    }
}

/// Sources: core-scheduling.rst of the kernel, linux/prctl.h.
fn share_cores(of: u32) -> Done {
    const PR_SCHED_CORE: c_int = 62;
    const CREATE: c_int = 1;
    const SHARE_FROM: c_int = 3;
    const THREAD: c_int = 0;
    let what = if of == 0 { CREATE } else { SHARE_FROM };
    match unit(syscall!(libc::SYS_prctl, PR_SCHED_CORE, what, of, THREAD, 0)) {
        Err(libc::ENODEV) => Ok(()),
        other => other,
    }
}

fn schedule(to: Scheduling) -> Done {
    let Scheduling { policy, flags, nice, priority, runtime, deadline, period } = to;
    let size = size_of::<Attributes>() as u32;
    let all = Attributes { size, policy, flags, nice, priority, runtime, deadline, period };
    unit(syscall!(libc::SYS_sched_setattr, 0, &raw const all, 0))
}
