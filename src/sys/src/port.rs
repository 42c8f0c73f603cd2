//! Holding a port of the host: a bound socket that takes nothing in.

use std::io::Result;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};

/// Binds a socket that does not listen: no other program can take the port, and whoever connects
/// past the redirection is refused instead of left waiting (tcp(7), udp(7)).
///
/// With `past_lingering` the rests of closed connections (TIME_WAIT) do not count; a live socket
/// still does, then and later.
///
/// # Errors
/// EADDRINUSE when it is taken, EADDRNOTAVAIL for an address that is not the host's, EACCES below
/// 1024 without `CAP_NET_BIND_SERVICE`.
pub fn hold(address: SocketAddrV4, udp: bool, past_lingering: bool) -> Result<OwnedFd> {
    let kind = if udp { SockType::Datagram } else { SockType::Stream };
    let fd = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    // For UDP the option would share the port with any other program that sets it.
    let lenient = past_lingering && !udp;
    if lenient {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrIn::from(address))?;
    if lenient {
        // Bound; from here on nobody shares it.
        setsockopt(&fd, sockopt::ReuseAddr, &false)?;
    }
    Ok(fd)
}
