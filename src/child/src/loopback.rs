//! The loopback link of a network namespace that has just been made: up, as runc and crun have it.

use core::ffi::c_int;

use crate::raw::{Done, close, fd, syscall, unit};

/// The kernel's struct ifreq as SIOCSIFFLAGS reads it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: u16,
    rest: [u8; 22],
}

/// Sets link `lo` up: the kernel then gives it 127.0.0.1 and ::1 (netdevice(7)). It has no other
/// flag of its own that could be lost. Any socket will do.
pub(crate) fn up() -> Done {
    let mut request = Request { name: [0; libc::IFNAMSIZ], flags: 0, rest: [0; 22] };
    [request.name[0], request.name[1]] = *b"lo";
    request.flags = libc::IFF_UP as u16;
    let socket: c_int =
        fd(syscall!(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
    let done = syscall!(libc::SYS_ioctl, socket, libc::SIOCSIFFLAGS as usize, &raw const request);
    close(socket);
    unit(done)
}
