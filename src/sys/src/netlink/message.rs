//! Netlink messages as bytes: header, family header, attributes (linux/netlink.h).
//!
//! Everything is in the machine's byte order and padded to four bytes, except where a protocol says
//! network order (`be`). Reading never panics: what is malformed ends the list.

/// Header of a message: length u32, type u16, flags u16, sequence u32, port u32.
const HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;

pub(super) const NLMSG_NOOP: u16 = 1;
pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;

const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_ACK: u16 = 4;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;

const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// A list of attributes being written. A value, nested ones included, is at most 65,531 bytes: who
/// writes long lists splits them. The kernel refuses a longer one (EINVAL).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// None yet.
    #[must_use]
    pub fn new() -> Attributes {
        Attributes::default()
    }

    /// Bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One with a value of bytes.
    #[must_use]
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Attributes {
        let length = ATTRIBUTE_HEADER_BYTES + value.len();
        debug_assert!(length <= usize::from(u16::MAX), "attribute {kind} is too long");
        self.0.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(padded(self.0.len()), 0);
        self
    }

    /// One with a byte.
    #[must_use]
    pub fn u8(self, kind: u16, value: u8) -> Attributes {
        self.bytes(kind, &[value])
    }

    /// One with a number in the machine's order.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Attributes {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// One with a number in network order.
    #[must_use]
    pub fn be32(self, kind: u16, value: u32) -> Attributes {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// One with a NUL-terminated text.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Attributes {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend(value.as_bytes());
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// One that holds others.
    #[must_use]
    pub fn nested(self, kind: u16, inner: &Attributes) -> Attributes {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }

    /// One that holds a fixed header and then others (a veth's peer).
    #[must_use]
    pub fn nested_after(self, kind: u16, header: &[u8], inner: &Attributes) -> Attributes {
        let mut value = header.to_vec();
        value.resize(padded(value.len()), 0);
        value.extend(&inner.0);
        self.bytes(kind | NLA_F_NESTED, &value)
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Message {
    /// A request of this type, with `NLM_F_*` flags besides REQUEST, the family's fixed header and
    /// attributes.
    #[must_use]
    pub fn new(kind: u16, flags: u16, header: &[u8], attributes: Attributes) -> Message {
        let mut body = header.to_vec();
        body.resize(padded(body.len()), 0);
        body.extend(attributes.0);
        Message { kind, flags, body }
    }

    pub(super) fn with_flags(mut self, flags: u16) -> Message {
        self.flags |= flags;
        self
    }

    pub(super) fn write(&self, to: &mut Vec<u8>, sequence: u32, flags: u16) {
        let length = u32::try_from(HEADER_BYTES + self.body.len()).unwrap_or(u32::MAX);
        to.extend(length.to_ne_bytes());
        to.extend(self.kind.to_ne_bytes());
        to.extend((self.flags | flags | NLM_F_REQUEST).to_ne_bytes());
        to.extend(sequence.to_ne_bytes());
        to.extend(0u32.to_ne_bytes());
        to.extend(&self.body);
        to.resize(padded(to.len()), 0);
    }
}

/// A message of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its type.
    pub kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// Everything after the header.
    pub body: Vec<u8>,
}

impl Reply {
    /// The attributes after a fixed header of that many bytes.
    pub fn attributes(&self, header: usize) -> impl Iterator<Item = (u16, &[u8])> {
        attributes(self.body.get(padded(header)..).unwrap_or_default())
    }

    /// The value of one attribute.
    #[must_use]
    pub fn attribute(&self, header: usize, kind: u16) -> Option<&[u8]> {
        self.attributes(header).find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// Reads an ACK or the end of a dump: `None` is success.
    pub(super) fn refusal(&self, index: usize) -> Option<super::Refused> {
        let code = native32(self.body.get(..4).unwrap_or_default())?.cast_signed();
        if code == 0 {
            return None;
        }
        let message = self.extended_ack().map(text).filter(|words| !words.is_empty());
        Some(super::Refused { index, errno: code.saturating_neg(), message })
    }

    fn extended_ack(&self) -> Option<&[u8]> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        // An ACK repeats the request's header, and all of the request unless it is capped.
        let start = match self.kind {
            NLMSG_DONE => 4,
            _ if self.flags & NLM_F_CAPPED != 0 => 4 + HEADER_BYTES,
            _ => 4 + padded(native32(self.body.get(4..8)?)? as usize),
        };
        let words = attributes(self.body.get(start..)?);
        words.into_iter().find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG).map(|(_, value)| value)
    }
}

/// Takes a datagram apart; stops at the first malformed message.
pub(super) fn split(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some(header) = bytes.get(..HEADER_BYTES) {
        let length = native32(&header[..4]).unwrap_or(0) as usize;
        let Some(body) = bytes.get(HEADER_BYTES..length) else { break };
        replies.push(Reply {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: native32(&header[8..12]).unwrap_or(0),
            body: body.to_vec(),
        });
        bytes = bytes.get(padded(length)..).unwrap_or_default();
    }
    replies
}

/// Reads a list of attributes: type (without its flags) and value; stops at a malformed one.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..ATTRIBUTE_HEADER_BYTES)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER_BYTES..length)?;
        bytes = bytes.get(padded(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A number in the machine's order.
#[must_use]
pub fn native32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

/// A number in network order.
#[must_use]
pub fn be32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// A port in network order.
#[must_use]
pub fn be16(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}

/// A text up to its NUL.
#[must_use]
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_attributes_with_padding() {
        let inner = Attributes::new().text(1, "veth").u8(2, 7);
        let written = Attributes::new().nested(18, &inner).be32(3, 0x0a4d_0001);
        assert_eq!(written.len() % 4, 0);
        let read: Vec<_> = attributes(&written.0).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].0, 18, "the nested flag is not part of the type");
        assert_eq!(text(attributes(read[0].1).next().unwrap().1), "veth");
        assert_eq!(be32(read[1].1), Some(0x0a4d_0001));
    }

    #[test]
    fn stops_at_malformed_lengths() {
        for bytes in [&[0u8, 0, 1, 0][..], &[3, 0, 1, 0], &[255, 255, 1, 0, 9], &[4, 0]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
        let mut datagram = Vec::new();
        Message::new(16, 0, &[0; 16], Attributes::new()).write(&mut datagram, 1, 0);
        let whole = split(&datagram);
        assert_eq!((whole.len(), whole[0].kind, whole[0].sequence), (1, 16, 1));
        for cut in 0..datagram.len() {
            assert!(split(&datagram[..cut]).is_empty(), "cut at {cut}");
        }
    }

    #[test]
    fn reads_the_kernels_words_capped_or_not() {
        let words = Attributes::new().text(NLMSGERR_ATTR_MSG, "No such device");
        for (flags, request) in [(NLM_F_ACK_TLVS | NLM_F_CAPPED, 16u32), (NLM_F_ACK_TLVS, 32)] {
            let mut body = (-19i32).to_ne_bytes().to_vec();
            body.extend(request.to_ne_bytes());
            body.resize(4 + request as usize, 0);
            body.extend(&words.0);
            let reply = Reply { kind: NLMSG_ERROR, flags, sequence: 1, body };
            let refused = reply.refusal(3).unwrap();
            assert_eq!((refused.index, refused.errno), (3, 19));
            assert_eq!(refused.message.as_deref(), Some("No such device"));
        }
    }
}
