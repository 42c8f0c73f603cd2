//! Terms of rules as nf_tables expressions: small programs on registers.
//!
//! Register 1 is 16 bytes, which 8 to 11 name in words of four.

use std::net::Ipv4Addr;

use sys::netlink::Attributes;

use super::{DATA_VALUE, LIST_ELEMENT, NFPROTO_IPV4, VERDICT_DROP};
use crate::rules::Term;

const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
const WORD_0: u32 = 8;
const WORD_1: u32 = 9;
const WORD_2: u32 = 10;

const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;

const CMP_EQUAL: u32 = 0;
const CMP_NOT_EQUAL: u32 = 1;

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const SOURCE_OFFSET: u32 = 12;
const DESTINATION_OFFSET: u32 = 16;

const CT_STATUS: u32 = 2;
/// IPS_DST_NAT (linux/netfilter/nf_conntrack_common.h).
const STATUS_REDIRECTED: u32 = 1 << 5;

const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_BY_DESTINATION: u32 = 2;
const RTN_LOCAL: u32 = 2;

const NAT_DESTINATION: u32 = 1;

/// Length of a link's name in a register, in bytes.
const NAME_BYTES: usize = 16;

/// A rule's list of expressions.
pub(super) fn rule(terms: &[Term]) -> Attributes {
    Program(Attributes::new()).terms(terms).0
}

struct Program(Attributes);

impl Program {
    fn push(self, name: &str, data: &Attributes) -> Program {
        let one = Attributes::new().text(EXPRESSION_NAME, name).nested(EXPRESSION_DATA, data);
        Program(self.0.nested(LIST_ELEMENT, &one))
    }

    fn terms(self, terms: &[Term]) -> Program {
        terms.iter().fold(self, Program::term)
    }

    fn term(self, term: &Term) -> Program {
        match term {
            Term::Ipv4 => self.meta(META_NFPROTO, REGISTER_1).compare(CMP_EQUAL, &[NFPROTO_IPV4]),
            Term::FromLink(name) => self.link(META_IIFNAME, CMP_EQUAL, name),
            Term::ToLink(name) => self.link(META_OIFNAME, CMP_EQUAL, name),
            Term::NotToLink(name) => self.link(META_OIFNAME, CMP_NOT_EQUAL, name),
            Term::From(network, prefix) => self.network(SOURCE_OFFSET, *network, *prefix),
            Term::To(network, prefix) => self.network(DESTINATION_OFFSET, *network, *prefix),
            Term::ToHost => {
                let fib = Attributes::new().be32(1, REGISTER_1).be32(2, FIB_ADDRESS_TYPE);
                let program = self.push("fib", &fib.be32(3, FIB_BY_DESTINATION));
                program.compare(CMP_EQUAL, &RTN_LOCAL.to_ne_bytes())
            }
            Term::Redirected => {
                let ct = Attributes::new().be32(1, REGISTER_1).be32(2, CT_STATUS);
                let program = self.push("ct", &ct).mask(&STATUS_REDIRECTED.to_ne_bytes());
                program.compare(CMP_NOT_EQUAL, &[0; 4])
            }
            Term::RedirectBy { map, by_address } => self.redirect(map, *by_address),
            Term::Masquerade => self.push("masq", &Attributes::new()),
            Term::Drop => {
                // 2: a verdict as data; 1: its code.
                let verdict = Attributes::new().nested(2, &Attributes::new().be32(1, VERDICT_DROP));
                let data = Attributes::new().be32(1, REGISTER_VERDICT).nested(2, &verdict);
                self.push("immediate", &data)
            }
        }
    }

    fn meta(self, key: u32, register: u32) -> Program {
        self.push("meta", &Attributes::new().be32(1, register).be32(2, key))
    }

    fn payload(self, base: u32, offset: u32, length: u32, register: u32) -> Program {
        let data = Attributes::new().be32(1, register).be32(2, base);
        self.push("payload", &data.be32(3, offset).be32(4, length))
    }

    fn compare(self, how: u32, value: &[u8]) -> Program {
        let value = Attributes::new().bytes(DATA_VALUE, value);
        let data = Attributes::new().be32(1, REGISTER_1).be32(2, how).nested(3, &value);
        self.push("cmp", &data)
    }

    /// Keeps these bits of register 1.
    fn mask(self, mask: &[u8; 4]) -> Program {
        let mask = Attributes::new().bytes(DATA_VALUE, mask);
        let xor = Attributes::new().bytes(DATA_VALUE, &[0; 4]);
        let data = Attributes::new().be32(1, REGISTER_1).be32(2, REGISTER_1).be32(3, 4);
        self.push("bitwise", &data.nested(4, &mask).nested(5, &xor))
    }

    fn link(self, key: u32, how: u32, name: &str) -> Program {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(NAME_BYTES, 0);
        self.meta(key, REGISTER_1).compare(how, &padded)
    }

    fn network(self, offset: u32, network: Ipv4Addr, prefix: u8) -> Program {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let program = self.payload(NETWORK_HEADER, offset, 4, REGISTER_1);
        program.mask(&mask.to_be_bytes()).compare(CMP_EQUAL, &network.octets())
    }

    /// The key's parts into words, the map's answer (address, port) over them, then NAT.
    fn redirect(self, map: &str, by_address: bool) -> Program {
        let program = if by_address {
            self.payload(NETWORK_HEADER, DESTINATION_OFFSET, 4, WORD_0)
                .meta(META_L4PROTO, WORD_1)
                .payload(TRANSPORT_HEADER, 2, 2, WORD_2)
        } else {
            self.meta(META_L4PROTO, WORD_0).payload(TRANSPORT_HEADER, 2, 2, WORD_1)
        };
        let lookup = Attributes::new().text(1, map).be32(2, REGISTER_1).be32(3, REGISTER_1);
        let nat = Attributes::new().be32(1, NAT_DESTINATION).be32(2, u32::from(NFPROTO_IPV4));
        program.push("lookup", &lookup).push("nat", &nat.be32(3, REGISTER_1).be32(5, WORD_1))
    }
}
