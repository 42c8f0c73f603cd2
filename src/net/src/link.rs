//! Steps as rtnetlink messages, and what the kernel tells about links (rtnetlink(7),
//! linux/if_link.h, linux/rtnetlink.h).

use std::net::Ipv4Addr;

use sys::netlink::{self, Attributes, Message, Reply, Socket, attributes, be32, native32, text};

use crate::plan::{POD_LINK, Step};
use crate::{Error, Ipv4Net, Result};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_INET_CONF: u16 = 1;
const IPV4_DEVCONF_ROUTE_LOCALNET: u16 = 26;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

const AF_INET: u8 = 2;
/// Sizes of struct ifinfomsg, ifaddrmsg and rtmsg.
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;

/// An address of the documentation's range: every host has the same way there as to anywhere.
const ANYWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

const ENODEV: i32 = 19;

fn link_header(index: u32, flags: u32) -> [u8; LINK_HEADER] {
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn route_header(prefix: u8, kind: u8) -> [u8; ROUTE_HEADER] {
    let (table, protocol) = if kind == 0 { (0, 0) } else { (RT_TABLE_MAIN, RTPROT_BOOT) };
    [AF_INET, prefix, 0, 0, table, protocol, 0, kind, 0, 0, 0, 0]
}

/// The step's message.
pub(crate) fn message(step: &Step) -> Message {
    let create = NLM_F_CREATE | NLM_F_EXCL;
    let new = Attributes::new;
    match step {
        Step::AddBridge { name, mac } => {
            let info = new().text(IFLA_INFO_KIND, "bridge");
            let all = new().text(IFLA_IFNAME, name).bytes(IFLA_ADDRESS, mac);
            let all = all.nested(IFLA_LINKINFO, &info);
            Message::new(RTM_NEWLINK, create, &link_header(0, IFF_UP), all)
        }
        Step::AddVeth { host, master, mtu, mac, netns } => {
            let up = link_header(0, IFF_UP);
            let peer = new().text(IFLA_IFNAME, POD_LINK).u32(IFLA_MTU, *mtu);
            let peer = peer.bytes(IFLA_ADDRESS, mac).u32(IFLA_NET_NS_FD, netns.cast_unsigned());
            let data = new().nested_after(VETH_INFO_PEER, &link_header(0, 0), &peer);
            let info = new().text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, &data);
            let all = new().text(IFLA_IFNAME, host).u32(IFLA_MTU, *mtu);
            let all = all.u32(IFLA_MASTER, *master).nested(IFLA_LINKINFO, &info);
            Message::new(RTM_NEWLINK, create, &up, all)
        }
        Step::MarkPort { host, alias } => {
            let hairpin = new().u8(IFLA_BRPORT_MODE, 1);
            let info = new().text(IFLA_INFO_SLAVE_KIND, "bridge");
            let info = info.nested(IFLA_INFO_SLAVE_DATA, &hairpin);
            let all = new().text(IFLA_IFNAME, host).text(IFLA_IFALIAS, alias);
            let all = all.nested(IFLA_LINKINFO, &info);
            Message::new(RTM_NEWLINK, 0, &link_header(0, 0), all)
        }
        Step::Up { index, .. } => Message::new(RTM_NEWLINK, 0, &link_header(*index, IFF_UP), new()),
        Step::AddAddress { index, address, subnet, .. } => {
            let index = index.to_ne_bytes();
            let mut header = [AF_INET, subnet.prefix(), 0, 0, 0, 0, 0, 0];
            header[4..].copy_from_slice(&index);
            let all = new().bytes(IFA_LOCAL, &address.octets());
            let all = all.bytes(IFA_ADDRESS, &address.octets());
            let all = all.bytes(IFA_BROADCAST, &subnet.broadcast().octets());
            Message::new(RTM_NEWADDR, create, &header, all)
        }
        Step::AddDefaultRoute { index, gateway, .. } => {
            let all = new().bytes(RTA_GATEWAY, &gateway.octets()).u32(RTA_OIF, *index);
            Message::new(RTM_NEWROUTE, create, &route_header(0, RTN_UNICAST), all)
        }
        Step::RouteLocalnet { link, on } => {
            let conf = new().u32(IPV4_DEVCONF_ROUTE_LOCALNET, u32::from(*on));
            let inet = new().nested(IFLA_INET_CONF, &conf);
            let family = new().nested(u16::from(AF_INET), &inet);
            let all = new().text(IFLA_IFNAME, link).nested(IFLA_AF_SPEC, &family);
            Message::new(RTM_NEWLINK, 0, &link_header(0, 0), all)
        }
        Step::Delete { link } => {
            let all = new().text(IFLA_IFNAME, link);
            Message::new(RTM_DELLINK, 0, &link_header(0, 0), all)
        }
    }
}

/// Takes steps in one batch; the error names the first that was refused.
pub(crate) fn apply(socket: &mut Socket, steps: &[Step]) -> Result<()> {
    let messages: Vec<Message> = steps.iter().map(message).collect();
    match socket.batch_all(&messages) {
        Ok(_) => Ok(()),
        Err(source) => {
            let number = match &source {
                netlink::Error::Refused(refused) => refused.index,
                netlink::Error::Unanswered(number) => *number,
                netlink::Error::Io(_) | netlink::Error::Unsteady => 0,
            };
            let (operation, link) = steps.get(number).map_or(("configure", ""), Step::words);
            Err(Error::Link { operation, link: link.to_owned(), source })
        }
    }
}

/// Deletes a link; one that is not there is fine.
pub(crate) fn delete(socket: &mut Socket, link: &str) -> Result<()> {
    match apply(socket, &[Step::Delete { link: link.to_owned() }]) {
        Err(Error::Link { source, .. }) if source.errno() == Some(ENODEV) => Ok(()),
        result => result,
    }
}

/// A link as the kernel tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// "bridge", "veth", …; empty for a physical one.
    pub(crate) kind: String,
    pub(crate) alias: String,
    pub(crate) mtu: u32,
    pub(crate) master: Option<u32>,
}

impl Link {
    fn read(reply: &Reply) -> Option<Link> {
        let mut link = Link { index: native32(reply.body.get(4..8)?)?, ..Link::default() };
        for (kind, value) in reply.attributes(LINK_HEADER) {
            match kind {
                IFLA_IFNAME => link.name = text(value),
                IFLA_IFALIAS => link.alias = text(value),
                IFLA_MTU => link.mtu = native32(value).unwrap_or(0),
                IFLA_MASTER => link.master = native32(value),
                IFLA_LINKINFO => {
                    let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                    link.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(link)
    }
}

fn failed(operation: &'static str, link: &str) -> impl FnOnce(netlink::Error) -> Error {
    let link = link.to_owned();
    move |source| Error::Link { operation, link, source }
}

/// A link by name; `None` when there is none.
pub(crate) fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    let get = Attributes::new().text(IFLA_IFNAME, name);
    match socket.request(Message::new(RTM_GETLINK, 0, &link_header(0, 0), get)) {
        Ok(replies) => Ok(replies.iter().find_map(Link::read)),
        Err(error) if error.errno() == Some(ENODEV) => Ok(None),
        Err(error) => Err(failed("look up link", name)(error)),
    }
}

/// All links.
pub(crate) fn list(socket: &mut Socket) -> Result<Vec<Link>> {
    let all = Message::new(RTM_GETLINK, 0, &link_header(0, 0), Attributes::new());
    let replies = socket.dump(&all).map_err(failed("list", "links"))?;
    Ok(replies.iter().filter_map(Link::read).collect())
}

/// MTU of the link that leads to other networks; `None` without one.
pub(crate) fn uplink_mtu(socket: &mut Socket) -> Option<u32> {
    let to = Attributes::new().bytes(RTA_DST, &ANYWHERE.octets());
    let get = Message::new(RTM_GETROUTE, 0, &route_header(32, 0), to);
    // A host without a way to other networks (ENETUNREACH) or with a policy against it has no
    // uplink; that is no error.
    let index = socket.request(get).ok()?.iter().find_map(outgoing)?;
    let get = Message::new(RTM_GETLINK, 0, &link_header(index, 0), Attributes::new());
    socket.request(get).ok()?.iter().find_map(Link::read).map(|link| link.mtu)
}

fn outgoing(route: &Reply) -> Option<u32> {
    route.attribute(ROUTE_HEADER, RTA_OIF).and_then(native32)
}

/// Brings up links and finds one, in one call: what a fresh namespace needs first.
pub(crate) fn up_and_find(socket: &mut Socket, up: &Step, name: &str) -> Result<Option<Link>> {
    let get = Attributes::new().text(IFLA_IFNAME, name);
    let get = Message::new(RTM_GETLINK, 0, &link_header(0, 0), get);
    let (operation, link) = up.words();
    let mut answers = socket.batch(&[message(up), get]).map_err(failed(operation, link))?;
    let found = answers.pop().unwrap_or(Ok(Vec::new()));
    if let Some(Err(refused)) = answers.pop() {
        return Err(failed(operation, link)(netlink::Error::Refused(refused)));
    }
    match found {
        Ok(replies) => Ok(replies.iter().find_map(Link::read)),
        Err(refused) if refused.errno == ENODEV => Ok(None),
        Err(refused) => Err(failed("look up link", name)(netlink::Error::Refused(refused))),
    }
}

/// Whether the link has the address.
pub(crate) fn has_address(socket: &mut Socket, index: u32, address: Ipv4Addr) -> Result<bool> {
    let header = [AF_INET, 0, 0, 0, 0, 0, 0, 0];
    let get = Message::new(RTM_GETADDR, 0, &header, Attributes::new());
    let replies = socket.dump(&get).map_err(failed("list addresses of", "links"))?;
    Ok(replies.iter().any(|reply| {
        let of_link = reply.body.get(4..8).and_then(native32) == Some(index);
        of_link && reply.attribute(ADDRESS_HEADER, IFA_LOCAL) == Some(&address.octets()[..])
    }))
}

/// A route, other than the default one, that shares addresses with the subnet: its text and link.
pub(crate) fn overlapping_route(
    socket: &mut Socket,
    subnet: Ipv4Net,
) -> Result<Option<(String, String)>> {
    let mut header = [0; ROUTE_HEADER];
    header[0] = AF_INET;
    let get = Message::new(RTM_GETROUTE, 0, &header, Attributes::new());
    let replies = socket.dump(&get).map_err(failed("list", "routes"))?;
    let found = replies.iter().find_map(|route| {
        let [family, prefix, ..] = route.body[..] else { return None };
        let main = route.body.get(4) == Some(&RT_TABLE_MAIN);
        if family != AF_INET || prefix == 0 || !main {
            return None;
        }
        let network = route.attribute(ROUTE_HEADER, RTA_DST).and_then(be32)?;
        let network = Ipv4Addr::from(network);
        let index = outgoing(route);
        subnet.overlaps(network, prefix).then(|| (format!("{network}/{prefix}"), index))
    });
    let Some((route, index)) = found else { return Ok(None) };
    let links = list(socket)?;
    let link = links.into_iter().find(|link| Some(link.index) == index);
    Ok(Some((route, link.map_or_else(|| "none".to_owned(), |link| link.name))))
}
