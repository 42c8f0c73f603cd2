//! Messages between child and parent, with one descriptor beside them where there is one.

use core::ffi::c_int;

use crate::op::FRAME_BYTES;
use crate::raw::{Done, exit, syscall, unit};
use crate::run::NONE;

/// A control message with one descriptor.
#[repr(C, align(8))]
struct Control {
    header: libc::cmsghdr,
    fd: c_int,
    _padding: c_int,
}

impl Control {
    fn of(fd: c_int) -> Control {
        // SAFETY: cmsghdr is plain data for which all zeroes is valid.
        let mut header: libc::cmsghdr = unsafe { core::mem::zeroed() };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<c_int>()) as _;
        header.cmsg_level = libc::SOL_SOCKET;
        header.cmsg_type = libc::SCM_RIGHTS;
        Control { header, fd, _padding: 0 }
    }
}

/// A message of one part, without a control message.
fn around(part: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: msghdr is plain data for which all zeroes is valid.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message
}

/// Sends a frame, with a descriptor when `fd` is one.
pub(crate) fn send(socket: c_int, bytes: [u8; FRAME_BYTES], fd: c_int) -> Done {
    let control = Control::of(fd);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: FRAME_BYTES };
    let mut message = around(&mut part);
    if fd != NONE {
        message.msg_control = (&raw const control).cast_mut().cast();
        message.msg_controllen = size_of::<Control>() as _;
    }
    unit(syscall!(libc::SYS_sendmsg, socket, &raw const message, libc::MSG_NOSIGNAL))
}

/// The descriptor that the next message of the parent brings; without a parent there is nothing to
/// go on for.
pub(crate) fn take_fd(socket: c_int) -> Done<c_int> {
    let mut control = Control::of(NONE);
    control.header.cmsg_type = 0;
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut message = around(&mut part);
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    loop {
        match syscall!(libc::SYS_recvmsg, socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) {
            Err(libc::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(0) => exit(1),
            Ok(_) if message.msg_flags & libc::MSG_CTRUNC != 0 => return Err(libc::EMFILE),
            Ok(_) if control.header.cmsg_type == libc::SCM_RIGHTS => return Ok(control.fd),
            Ok(_) => return Err(libc::EPROTO),
        }
    }
}
