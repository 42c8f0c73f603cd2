//! Which sysctls a pod may set: those that belong to one of its namespaces, and no other. Pure.
//!
//! The monitor writes them from inside the new namespaces; a name that is not namespaced would
//! change the host, so everything outside of the list is refused (namespaces(7), ipc_namespaces(7),
//! Kubernetes "Using sysctls").

use std::path::PathBuf;

use sys::pin::Kind;

/// Single names of the IPC namespace; `kernel.shm*` and `fs.mqueue.*` belong to it as well.
const IPC_NAMES: [&str; 4] = ["kernel.sem", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni"];

/// The namespace that a sysctl belongs to; `None` for one of the host.
#[must_use]
pub(crate) fn namespace(name: &str) -> Option<Kind> {
    let name = name.replace('/', ".");
    if name.starts_with("net.") {
        return Some(Kind::Net);
    }
    let ipc = name.starts_with("kernel.shm")
        || name.starts_with("fs.mqueue.")
        || IPC_NAMES.contains(&name.as_str());
    ipc.then_some(Kind::Ipc)
}

/// Refuses names and values that would leave the pod.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn check(name: &str, value: &str, host_network: bool) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if !name.bytes().all(plain) || name.split(['.', '/']).any(str::is_empty) {
        return Err("is not a sysctl name".into());
    }
    if value.bytes().any(|byte| byte == 0 || byte == b'\n') {
        return Err("its value holds a newline or NUL".into());
    }
    match namespace(name) {
        None => Err("is not namespaced: it would change the host".into()),
        Some(Kind::Net) if host_network => {
            Err("belongs to the host's network, which this pod uses".into())
        }
        Some(_) => Ok(()),
    }
}

/// Its file. In a name with slashes a dot is a dot (`net/ipv4/conf/eth0.1/forwarding`).
#[must_use]
pub(crate) fn path(name: &str) -> PathBuf {
    let below = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    PathBuf::from("/proc/sys").join(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_namespaced_passes() {
        for name in ["net.core.somaxconn", "kernel.shmmax", "fs.mqueue.msg_max", "kernel.sem"] {
            assert_eq!(check(name, "1", false), Ok(()), "{name}");
        }
        for name in
            ["kernel.core_pattern", "vm.swappiness", "net", "net..x", "net.a\0", "", "kernel.semx"]
        {
            assert!(check(name, "1", false).is_err(), "{name:?}");
        }
        assert!(check("net/../kernel/core_pattern", "1", false).is_err());
        assert!(check("net.core.somaxconn", "1", true).is_err());
        assert!(check("net.core.somaxconn", "1\n2", false).is_err());
        assert_eq!(path("net.core.somaxconn"), PathBuf::from("/proc/sys/net/core/somaxconn"));
        let dotted = "net/ipv4/conf/eth0.1/forwarding";
        assert_eq!(path(dotted), PathBuf::from("/proc/sys").join(dotted));
    }
}
