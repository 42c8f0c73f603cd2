//! Tells a service manager that the supervisor is ready (sd_notify(3)), when one asks for it.

use std::os::unix::net::UnixDatagram;

/// Sends `READY=1` to the socket that NOTIFY_SOCKET names, if it names one.
pub(super) fn ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // A manager that does not listen decides by its own time-out.
    let _ = match path.to_str().and_then(|p| p.strip_prefix('@')) {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            std::os::unix::net::SocketAddr::from_abstract_name(name)
                .and_then(|address| socket.send_to_addr(b"READY=1", &address))
        }
        None => socket.send_to(b"READY=1", path),
    };
}
