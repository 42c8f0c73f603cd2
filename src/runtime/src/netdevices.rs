//! `linux.netDevices`: links of the host that go into the container's network namespace.
//!
//! Each is moved and renamed in one request, gets its permanent global addresses back, which a
//! move takes away, and is brought up; MTU and hardware address stay. Routes are not kept. A name
//! that is taken is an error before anything is moved. When the container ends the kernel gives
//! hardware back to the host and removes what is virtual.
//! Sources: runtime-spec config-linux.md "Network Devices", rtnetlink(7), linux/if_link.h.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use oci::runtime::{LinuxNetDevice, Spec};
use sys::netlink::{self, Attributes, Message, Reply, Socket, native32};

use crate::error::{Error, Result};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFF_UP: u32 = 1;
const LINK_HEADER: usize = 16;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_PERMANENT: u32 = 0x80;
/// IFA_F_NODAD and IFA_F_NOPREFIXROUTE: what was chosen, not what became of it.
const FLAGS_KEPT: u32 = 0x02 | 0x200;
const ADDRESS_HEADER: usize = 8;
const RT_SCOPE_UNIVERSE: u8 = 0;
const ENODEV: i32 = 19;

/// The devices of the document, by their names on the host.
pub(crate) fn of(spec: &Spec) -> BTreeMap<&str, &LinuxNetDevice> {
    let devices = spec.linux().as_ref().and_then(|linux| linux.net_devices().as_ref());
    devices.into_iter().flatten().map(|(name, device)| (name.as_str(), device)).collect()
}

/// Moves them all into the network namespace `to`.
pub(crate) fn move_all(spec: &Spec, to: BorrowedFd<'_>) -> Result<()> {
    let devices = of(spec);
    let first = devices.keys().next().copied().unwrap_or_default();
    let mut host = Socket::route().map_err(failed(first, "open netlink"))?;
    let mut inside = Socket::route_in(to).map_err(failed(first, "enter the network namespace"))?;
    for (name, device) in devices {
        let within = device.name().as_deref().filter(|n| !n.is_empty()).unwrap_or(name);
        one(&mut host, &mut inside, (name, within), to)?;
    }
    Ok(())
}

fn one(
    host: &mut Socket,
    inside: &mut Socket,
    (name, within): (&str, &str),
    to: BorrowedFd<'_>,
) -> Result<()> {
    let index = index(host, name).map_err(failed(name, "find it"))?;
    let missing = netlink::Error::Io(io::Error::from_raw_os_error(ENODEV));
    let index = index.ok_or_else(|| failed(name, "find it")(missing))?;
    if self::index(inside, within).map_err(failed(name, "look up its new name"))?.is_some() {
        let taken = io::Error::other(format!("the container has a {within:?} already"));
        return Err(failed(name, "rename it")(netlink::Error::Io(taken)));
    }
    let addresses = addresses(host, index).map_err(failed(name, "read its addresses"))?;
    let netns = to.as_raw_fd().cast_unsigned();
    let change = Attributes::new().u32(IFLA_NET_NS_FD, netns).text(IFLA_IFNAME, within);
    let moved = Message::new(RTM_NEWLINK, 0, &link_header(index, 0, IFF_UP), change);
    host.request(moved).map_err(failed(name, "move it"))?;
    let found = self::index(inside, within).map_err(failed(name, "find it again"))?;
    let missing = netlink::Error::Io(io::Error::from_raw_os_error(ENODEV));
    let index = found.ok_or_else(|| failed(name, "find it again")(missing))?;
    let mut requests: Vec<Message> = addresses.iter().filter_map(|a| again(a, index)).collect();
    let up = link_header(index, IFF_UP, IFF_UP);
    requests.push(Message::new(RTM_NEWLINK, 0, &up, Attributes::new()));
    inside.batch_all(&requests).map_err(failed(name, "set its addresses and bring it up"))?;
    Ok(())
}

fn failed(name: &str, operation: &'static str) -> impl FnOnce(netlink::Error) -> Error {
    let device = name.to_owned();
    move |source| Error::NetDevice { device, operation, source }
}

fn link_header(index: u32, flags: u32, change: u32) -> [u8; LINK_HEADER] {
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// The link of that name.
fn index(socket: &mut Socket, name: &str) -> std::result::Result<Option<u32>, netlink::Error> {
    let get = Attributes::new().text(IFLA_IFNAME, name);
    match socket.request(Message::new(RTM_GETLINK, 0, &link_header(0, 0, 0), get)) {
        Ok(replies) => Ok(replies.iter().find_map(|r| native32(r.body.get(4..8)?))),
        Err(error) if error.errno() == Some(ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The link's permanent addresses of global scope, of every family.
fn addresses(socket: &mut Socket, index: u32) -> std::result::Result<Vec<Reply>, netlink::Error> {
    let all = Message::new(RTM_GETADDR, 0, &[0; ADDRESS_HEADER], Attributes::new());
    let mut found = socket.dump(&all)?;
    found.retain(|reply| {
        let of_link = reply.body.get(4..8).and_then(native32) == Some(index);
        let global = reply.body.get(3) == Some(&RT_SCOPE_UNIVERSE);
        of_link && global && flags(reply) & IFA_F_PERMANENT != 0
    });
    Ok(found)
}

fn flags(address: &Reply) -> u32 {
    let short = || address.body.get(2).map(|flags| u32::from(*flags));
    address.attribute(ADDRESS_HEADER, IFA_FLAGS).and_then(native32).or_else(short).unwrap_or(0)
}

/// The same address for the link `index`.
fn again(address: &Reply, index: u32) -> Option<Message> {
    let mut header = [0; ADDRESS_HEADER];
    header[..2].copy_from_slice(address.body.get(..2)?);
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut all = Attributes::new().u32(IFA_FLAGS, flags(address) & FLAGS_KEPT);
    for kind in [IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST] {
        if let Some(value) = address.attribute(ADDRESS_HEADER, kind) {
            all = all.bytes(kind, value);
        }
    }
    // NLM_F_CREATE and NLM_F_EXCL.
    Some(Message::new(RTM_NEWADDR, 0x400 | 0x200, &header, all))
}
