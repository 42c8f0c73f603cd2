//! The table as nf_tables messages (linux/netfilter/nf_tables.h), and what is found of it.
//!
//! The family is inet: NAT chains exist in it since Linux 5.2, and IPv6 can join later. A table is
//! replaced by creating it (so that there is one), deleting it and creating it anew, all in one
//! transaction.

mod expression;

use sys::netlink::{self, Attributes, Message, Socket, attributes, be32, text};

use crate::rules::{Chain, Element, Hook, Map, Ruleset};
use crate::{Error, Result};

const SUBSYSTEM: u16 = 10 << 8;
const NEWTABLE: u16 = SUBSYSTEM;
const GETTABLE: u16 = SUBSYSTEM | 1;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const GETCHAIN: u16 = SUBSYSTEM | 4;
const NEWRULE: u16 = SUBSYSTEM | 6;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWSETELEM: u16 = SUBSYSTEM | 12;

const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

const NFPROTO_INET: u8 = 1;
const NFPROTO_IPV4: u8 = 2;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_FORWARD: u32 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LENGTH: u16 = 7;
const SET_ID: u16 = 10;
const SET_IS_MAP: u32 = 8;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS_LIST: u16 = 3;
const ELEMENTS_SET_ID: u16 = 4;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const LIST_ELEMENT: u16 = 1;
const VERDICT_DROP: u32 = 0;
const VERDICT_ACCEPT: u32 = 1;

/// Numbers by which nft(8) knows types, so that it shows the maps well; six bits each when joined.
const TYPE_ADDRESS: u32 = 7;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;

/// Elements a message: 100 bytes each keep it below the 64 KiB of an attribute.
const ELEMENTS_AT_ONCE: usize = 500;

const EINVAL: i32 = 22;
const ENOENT: i32 = 2;
const EOPNOTSUPP: i32 = 95;
const EPROTONOSUPPORT: i32 = 93;

fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

fn new(kind: u16, attributes: Attributes) -> Message {
    Message::new(kind, NLM_F_CREATE, &header(NFPROTO_INET), attributes)
}

fn named(table: &str) -> Attributes {
    Attributes::new().text(TABLE_NAME, table)
}

fn removal(table: &str) -> [Message; 2] {
    let delete = Message::new(DELTABLE, 0, &header(NFPROTO_INET), named(table));
    [new(NEWTABLE, named(table)), delete]
}

/// The transaction that makes the table be exactly this.
pub(crate) fn replacement(table: &str, rules: &Ruleset) -> Vec<Message> {
    let mut messages = removal(table).to_vec();
    messages.push(new(NEWTABLE, named(table)));
    for (number, map) in (1..).zip(&rules.maps) {
        messages.push(new(NEWSET, set(table, map, number)));
        messages.extend(
            map.elements.chunks(ELEMENTS_AT_ONCE).map(|part| elements(table, map, number, part)),
        );
    }
    for chain in &rules.chains {
        messages.push(new(NEWCHAIN, chain_attributes(table, chain)));
        for rule in &chain.rules {
            let all = Attributes::new().text(RULE_TABLE, table).text(RULE_CHAIN, chain.name);
            let all = all.nested(RULE_EXPRESSIONS, &expression::rule(rule));
            let flags = NLM_F_CREATE | NLM_F_APPEND;
            messages.push(Message::new(NEWRULE, flags, &header(NFPROTO_INET), all));
        }
    }
    messages
}

fn chain_attributes(table: &str, chain: &Chain) -> Attributes {
    let number = match chain.hook {
        Hook::Prerouting => 0,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    };
    let hook = Attributes::new().be32(HOOK_NUMBER, number);
    let hook = hook.be32(HOOK_PRIORITY, chain.priority.cast_unsigned());
    let all = Attributes::new().text(CHAIN_TABLE, table).text(CHAIN_NAME, chain.name);
    let all = all.nested(CHAIN_HOOK, &hook).text(CHAIN_TYPE, chain.kind);
    all.be32(CHAIN_POLICY, VERDICT_ACCEPT)
}

fn set(table: &str, map: &Map, number: u32) -> Attributes {
    let port = TYPE_PROTOCOL << 6 | TYPE_PORT;
    let (key, length) = if map.by_address { (TYPE_ADDRESS << 12 | port, 12) } else { (port, 8) };
    let all = Attributes::new().text(SET_TABLE, table).text(SET_NAME, map.name);
    let all = all.be32(SET_FLAGS, SET_IS_MAP).be32(SET_KEY_TYPE, key).be32(SET_KEY_LENGTH, length);
    let all = all.be32(SET_DATA_TYPE, TYPE_ADDRESS << 6 | TYPE_PORT).be32(SET_DATA_LENGTH, 8);
    all.be32(SET_ID, number)
}

fn elements(table: &str, map: &Map, number: u32, part: &[Element]) -> Message {
    let list = part.iter().fold(Attributes::new(), |list, element| {
        let mut key = Vec::with_capacity(12);
        key.extend(element.host.map(|host| host.octets()).into_iter().flatten());
        key.extend([element.protocol, 0, 0, 0]);
        key.extend(padded_port(element.host_port));
        let mut data = element.pod.octets().to_vec();
        data.extend(padded_port(element.pod_port));
        let one = Attributes::new()
            .nested(ELEMENT_KEY, &Attributes::new().bytes(DATA_VALUE, &key))
            .nested(ELEMENT_DATA, &Attributes::new().bytes(DATA_VALUE, &data));
        list.nested(LIST_ELEMENT, &one)
    });
    let all = Attributes::new().text(ELEMENTS_TABLE, table).text(ELEMENTS_SET, map.name);
    let all = all.be32(ELEMENTS_SET_ID, number).nested(ELEMENTS_LIST, &list);
    new(NEWSETELEM, all)
}

fn padded_port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// Replaces the table.
///
/// # Errors
/// [`Error::NoNfTables`] on a kernel without what it needs; [`Error::Rules`].
pub(crate) fn replace(socket: &mut Socket, table: &str, rules: &Ruleset) -> Result<()> {
    let result = socket.transaction(&replacement(table, rules));
    result.map_err(|source| classify("replacement", table, source))
}

/// Deletes the table; one that is not there is fine.
pub(crate) fn remove(socket: &mut Socket, table: &str) -> Result<()> {
    let result = socket.transaction(&removal(table));
    result.map_err(|source| classify("removal", table, source))
}

/// Tells a kernel that cannot from one that will not.
pub(crate) fn classify(operation: &'static str, table: &str, source: netlink::Error) -> Error {
    let lacking = match &source {
        netlink::Error::Io(error) if error.raw_os_error() == Some(EPROTONOSUPPORT) => {
            "CONFIG_NF_TABLES and CONFIG_NETFILTER_NETLINK"
        }
        // nfnetlink knows no subsystem by that number: the answer to its opening bracket.
        netlink::Error::Refused(refused) if refused.errno == EOPNOTSUPP => {
            "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
        }
        // Everything that the messages name, they have made before; what is not there is a kind
        // of chain or expression.
        netlink::Error::Refused(refused) if refused.errno == ENOENT => {
            "a part of nftables: of CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_MASQ, \
             CONFIG_NFT_CT and CONFIG_NFT_FIB_INET, at least one"
        }
        _ => return Error::Rules { operation, table: table.to_owned(), source },
    };
    Error::NoNfTables { operation, lacking, source }
}

/// Whether the table is there; `None` on a kernel without nf_tables.
pub(crate) fn exists(socket: &mut Socket, table: &str) -> Result<Option<bool>> {
    let get = Message::new(GETTABLE, 0, &header(NFPROTO_INET), named(table));
    match socket.request(get) {
        Ok(_) => Ok(Some(true)),
        Err(error) => match error.errno() {
            Some(ENOENT) => Ok(Some(false)),
            // The answer of nfnetlink without nf_tables to a plain request.
            Some(EINVAL | EOPNOTSUPP) => Ok(None),
            _ => Err(classify("look-up", table, error)),
        },
    }
}

/// Others' chains that drop forwarded packets unless told otherwise, as "inet filter FORWARD".
pub(crate) fn dropping_forward_chains(socket: &mut Socket) -> Result<Vec<String>> {
    let get = Message::new(GETCHAIN, 0, &header(0), Attributes::new());
    let replies = socket.dump(&get).map_err(|source| classify("listing", "*", source))?;
    let found = replies.iter().filter_map(|reply| {
        let family = match *reply.body.first()? {
            NFPROTO_INET => "inet",
            NFPROTO_IPV4 => "ip",
            _ => return None,
        };
        let hook = reply.attribute(4, CHAIN_HOOK)?;
        let number = attributes(hook).find(|(kind, _)| *kind == HOOK_NUMBER)?.1;
        let drops = reply.attribute(4, CHAIN_POLICY).and_then(be32) == Some(VERDICT_DROP);
        let table = text(reply.attribute(4, CHAIN_TABLE)?);
        let name = text(reply.attribute(4, CHAIN_NAME)?);
        (drops && be32(number) == Some(HOOK_FORWARD)).then(|| format!("{family} {table} {name}"))
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn tells_a_kernel_that_cannot_from_one_that_will_not() {
        let refused =
            |errno| netlink::Error::Refused(netlink::Refused { index: 0, errno, message: None });
        for (source, lacks) in [
            (netlink::Error::Io(io::Error::from_raw_os_error(EPROTONOSUPPORT)), true),
            (refused(EOPNOTSUPP), true),
            (refused(ENOENT), true),
            (refused(1), false),
            (refused(EINVAL), false),
        ] {
            let words = format!("{source}");
            let error = classify("replacement", "podvisor", source);
            assert_eq!(matches!(error, Error::NoNfTables { .. }), lacks, "{words}");
            assert_eq!(error.to_string().contains("CONFIG_NF"), lacks, "{error}");
        }
    }
}
