//! Keeping a published port of the host from everybody else.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::{Error, Holder, Protocol, Result};

/// TIME_WAIT in /proc/net/tcp: a closed connection's rest, which nobody holds.
const TIME_WAIT: &str = "06";

/// Takes a port of the host; it is kept for as long as the descriptor lives. Nothing is accepted on
/// it: the rules redirect packets before they reach a socket.
///
/// # Errors
/// [`Error::Port`] with the holder when another program has it.
pub fn reserve_port(host_ip: Option<Ipv4Addr>, port: u16, protocol: Protocol) -> Result<OwnedFd> {
    let address = host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let failed = |holder, source| Error::Port { port, protocol, address, holder, source };
    let udp = protocol == Protocol::Udp;
    let hold =
        |past_lingering| sys::port::hold(SocketAddrV4::new(address, port), udp, past_lingering);
    let error = match hold(false) {
        Ok(held) => return Ok(held),
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(failed(None, error)),
        Err(error) => error,
    };
    match hold(true) {
        Ok(held) => Ok(held),
        Err(_) => Err(failed(holder(address, port, protocol), error)),
    }
}

/// Who has the port: by the socket's inode, as ss(8) does.
fn holder(address: Ipv4Addr, port: u16, protocol: Protocol) -> Option<Holder> {
    let inode = [protocol.to_string(), format!("{protocol}6")].iter().find_map(|table| {
        // /proc/net would be the main thread's namespace.
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
        text.lines().skip(1).find_map(|line| socket_inode(line, address, port))
    })?;
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let has_it = has_descriptor(&process.path().join("fd"), &wanted);
        let name = || fs::read_to_string(process.path().join("comm")).ok();
        has_it.then(|| Holder { pid, name: name().unwrap_or_default().trim().to_owned() })
    })
}

fn has_descriptor(folder: &Path, wanted: &str) -> bool {
    // A process that has just ended, or is another user's, holds nothing that could be shown.
    fs::read_dir(folder).is_ok_and(|descriptors| {
        descriptors
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == wanted))
    })
}

/// The inode in a line of /proc/net/{tcp,udp,tcp6,udp6} whose local end clashes with the port.
fn socket_inode(line: &str, address: Ipv4Addr, port: u16) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let (host, local_port) = fields.nth(1)?.split_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port || fields.nth(1)? == TIME_WAIT {
        return None;
    }
    // The last word of an IPv6 address is the IPv4 one where that is mapped, and 0 for "all".
    let host = u32::from_str_radix(host.get(host.len().checked_sub(8)?..)?, 16).ok()?;
    let host = Ipv4Addr::from(host.to_ne_bytes());
    if host != address && !host.is_unspecified() && !address.is_unspecified() {
        return None;
    }
    fields.nth(5)?.parse().ok().filter(|inode| *inode != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn reads_the_kernels_table() {
        let tcp = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                   0        0 4242 1 0000000000000000 100 0 0 10 0";
        let local = Ipv4Addr::LOCALHOST;
        assert_eq!(socket_inode(tcp, local, 8080), Some(4242));
        assert_eq!(socket_inode(tcp, Ipv4Addr::UNSPECIFIED, 8080), Some(4242));
        assert_eq!(socket_inode(tcp, Ipv4Addr::new(192, 0, 2, 1), 8080), None);
        assert_eq!(socket_inode(tcp, local, 8081), None);
        assert_eq!(socket_inode(&tcp.replace(" 0A ", " 06 "), local, 8080), None);
        let all6 = "   0: 00000000000000000000000000000000:1F90 \
                    00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
                    00000000 0 0 77 1 0000000000000000 100 0 0 10 0";
        assert_eq!(socket_inode(all6, local, 8080), Some(77));
        for broken in ["", "x", "0: 1:2", "0: 0100007F:1F90"] {
            assert_eq!(socket_inode(broken, local, 8080), None);
        }
    }
}
