//! The loopback link of the caller's network namespace.

use std::io::Result;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

mod raw {
    nix::ioctl_read_bad!(
        /// Fills the flags of the link named.
        get_flags,
        libc::SIOCGIFFLAGS,
        libc::ifreq
    );
    nix::ioctl_write_ptr_bad!(
        /// Sets the flags of the link named.
        set_flags,
        libc::SIOCSIFFLAGS,
        libc::ifreq
    );
}

/// Sets link `lo` up; the kernel then gives it 127.0.0.1 and ::1. Idempotent (netdevice(7)).
///
/// # Errors
/// EPERM without CAP_NET_ADMIN in the namespace.
pub fn up() -> Result<()> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut name = [0; libc::IFNAMSIZ];
    name[0] = b'l'.cast_signed();
    name[1] = b'o'.cast_signed();
    let mut request =
        libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 } };
    // SAFETY: `request` is a whole ifreq with a NUL-terminated name; the kernel fills its flags.
    unsafe { raw::get_flags(fd.as_raw_fd(), &raw mut request) }?;
    // SAFETY: SIOCGIFFLAGS has just filled this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    // IFF_UP is 1 and fits the field, which is a short by history.
    request.ifr_ifru.ifru_flags = flags | 1;
    // SAFETY: `request` is a whole ifreq that the kernel only reads.
    unsafe { raw::set_flags(fd.as_raw_fd(), &raw const request) }?;
    Ok(())
}
