//! What can go wrong with the network of pods, with its context as fields.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use sys::netlink;

use crate::{Ipv4Net, Protocol};

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// The program that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// Its name.
    pub name: String,
}

/// A failed operation on the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a subnet for pods.
    #[error("subnet {text}: {problem}")]
    Subnet {
        /// As given.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// Not a protocol that can be published.
    #[error("protocol {text:?} is neither TCP nor UDP")]
    Protocol {
        /// As given.
        text: String,
    },
    /// A name that the kernel would not take for a link or a table.
    #[error("{name:?} cannot be the name of a {what}: {problem}")]
    Name {
        /// As given.
        name: String,
        /// Link or table.
        what: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// No address left.
    #[error("every address of {subnet} is in use")]
    Exhausted {
        /// The pool.
        subnet: Ipv4Net,
    },
    /// The address is not one of the subnet's for pods.
    #[error("{address} is not an address for a pod in {subnet}")]
    AddressOutside {
        /// As given.
        address: Ipv4Addr,
        /// The pool.
        subnet: Ipv4Net,
    },
    /// The host already routes these addresses elsewhere.
    #[error("subnet {subnet} overlaps the route to {route} through {link}")]
    SubnetTaken {
        /// The pool.
        subnet: Ipv4Net,
        /// The route found.
        route: String,
        /// Its link.
        link: String,
    },
    /// The pod's namespace cannot be opened.
    #[error("network namespace {path}")]
    Namespace {
        /// As given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The namespace is the host's.
    #[error("{path} is the host's own network namespace, not a pod's")]
    OwnNamespace {
        /// As given.
        path: PathBuf,
    },
    /// There is another kind of link by the bridge's name.
    #[error("link {name} exists and is no bridge")]
    NotABridge {
        /// The name.
        name: String,
    },
    /// The pod's namespace has an interface of its own.
    #[error("namespace {path} already has an interface {link}")]
    Occupied {
        /// The namespace.
        path: PathBuf,
        /// The name.
        link: String,
    },
    /// The kernel refused a step.
    #[error("{operation} {link}")]
    Link {
        /// What was tried.
        operation: &'static str,
        /// On which link.
        link: String,
        /// Why.
        source: netlink::Error,
    },
    /// The kernel has no nf_tables, or lacks a part of it.
    #[error("{operation}: this kernel lacks {lacking}")]
    NoNfTables {
        /// What was tried.
        operation: &'static str,
        /// The kernel's options that would help.
        lacking: &'static str,
        /// What the kernel said.
        source: netlink::Error,
    },
    /// The kernel refused the rules.
    #[error("{operation} of nftables table inet {table}")]
    Rules {
        /// What was tried.
        operation: &'static str,
        /// The table.
        table: String,
        /// Why.
        source: netlink::Error,
    },
    /// Two pods are to have the same port of the host.
    #[error("port {port}/{protocol} of the host is asked for by pods {first} and {second}")]
    PortTwice {
        /// The host's port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// One pod's uid.
        first: String,
        /// The other's.
        second: String,
    },
    /// Ports are numbered from 1.
    #[error("pod {uid}: port 0 cannot be published")]
    PortZero {
        /// The pod.
        uid: String,
    },
    /// The port of the host cannot be had.
    #[error("port {port}/{protocol} of {address}{}", held_by(.holder))]
    Port {
        /// The host's port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// The host's address; 0.0.0.0 is all.
        address: Ipv4Addr,
        /// Who has it, if that can be told.
        holder: Option<Holder>,
        /// Why.
        source: io::Error,
    },
    /// A sysctl cannot be read or set.
    #[error("sysctl {name}")]
    Sysctl {
        /// Its path below /proc/sys.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The record of switched sysctls.
    #[error("record {path}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Several steps of a removal failed; the others were done.
    #[error("{}", .failures.iter().map(with_causes).collect::<Vec<_>>().join("; "))]
    Several {
        /// Each of them.
        failures: Vec<Error>,
    },
}

fn held_by(holder: &Option<Holder>) -> String {
    match holder {
        Some(Holder { pid, name }) => format!(" is held by {name} (pid {pid})"),
        None => String::new(),
    }
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl Error {
    /// The errno beneath, if there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Link { source, .. }
            | Error::NoNfTables { source, .. }
            | Error::Rules { source, .. } => source.errno(),
            Error::Namespace { source, .. }
            | Error::Port { source, .. }
            | Error::Sysctl { source, .. }
            | Error::Record { source, .. } => source.raw_os_error(),
            Error::Several { failures } => failures.iter().find_map(Error::errno),
            _ => None,
        }
    }

    fn kind(&self) -> Option<io::ErrorKind> {
        self.errno().map(|errno| io::Error::from_raw_os_error(errno).kind())
    }

    /// What to try next, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if self.kind() == Some(io::ErrorKind::PermissionDenied) {
            return Some("this needs root, or CAP_NET_ADMIN and CAP_SYS_ADMIN".to_owned());
        }
        let hint = match self {
            Error::Exhausted { .. } => {
                "delete pods that are done, or start the supervisor with a larger subnet".to_owned()
            }
            Error::SubnetTaken { .. } => {
                "choose a subnet that no route of the host covers, such as 10.99.0.0/16".to_owned()
            }
            Error::NotABridge { name } => {
                format!("rename that link, or give the bridge another name than {name}")
            }
            Error::NoNfTables { .. } => {
                "load the modules or boot a kernel that has these options; pods without published \
                 ports work without them"
                    .to_owned()
            }
            Error::PortTwice { .. } => "give one of them another hostPort".to_owned(),
            Error::Port { holder: Some(Holder { pid, .. }), .. } => {
                format!("choose another port of the host, or stop process {pid}")
            }
            Error::Port { address, .. } if self.kind() == Some(io::ErrorKind::AddrNotAvailable) => {
                format!("no link of this host has the address {address}: see `ip address`")
            }
            Error::Port { .. } => "choose another port of the host".to_owned(),
            Error::Sysctl { name, .. } => {
                format!("is /proc/sys writable here? Set {name} to 1 by hand otherwise")
            }
            Error::Link { .. } if self.kind() == Some(io::ErrorKind::Unsupported) => {
                "the kernel needs CONFIG_BRIDGE and CONFIG_VETH".to_owned()
            }
            Error::Several { failures } => return failures.iter().find_map(Error::hint),
            _ => return None,
        };
        Some(hint)
    }
}
