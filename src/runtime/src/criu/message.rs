//! The few messages of criu's protocol (protocol buffers, `images/rpc.proto` of criu), written and
//! read by hand.
//!
//! A message is a list of fields: a key (`number << 3 | kind`) and a value. Kind 0 is a number of
//! seven bits a byte, kind 2 is a length and so many bytes; criu's protocol has no others. A
//! library for this would be larger than what it spares.

/// A message under construction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
}

impl Message {
    /// Adds a number, or a bool as 0 or 1.
    pub(super) fn number(mut self, field: u32, value: impl Into<i64>) -> Message {
        self.varint(u64::from(field) << 3);
        let value: i64 = value.into();
        // A negative number is written as ten bytes, whatever its width.
        self.varint(value.cast_unsigned());
        self
    }

    /// Adds a text.
    pub(super) fn text(mut self, field: u32, value: impl AsRef<[u8]>) -> Message {
        let value = value.as_ref();
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    /// Adds a message.
    pub(super) fn within(self, field: u32, value: Message) -> Message {
        self.text(field, value.bytes)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// A field that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The last field of that number; `None` when it is missing or the message is none.
pub(super) fn field(mut bytes: &[u8], wanted: u32) -> Option<Value<'_>> {
    let mut found = None;
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Value::Bytes(value)
            }
            _ => return None,
        };
        if key >> 3 == u64::from(wanted) {
            found = Some(value);
        }
    }
    found
}

/// The number of a field, 0 when it is missing.
pub(super) fn number(bytes: &[u8], wanted: u32) -> u64 {
    match field(bytes, wanted) {
        Some(Value::Number(number)) => number,
        _ => 0,
    }
}

/// The bytes of a field, none when it is missing.
pub(super) fn bytes(message: &[u8], wanted: u32) -> &[u8] {
    match field(message, wanted) {
        Some(Value::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let inner = Message::default().text(1, "key").number(2, -1);
        let message = Message::default().number(1, 300).within(2, inner).number(37, true);
        assert_eq!(message.bytes[..3], [0x08, 0xac, 0x02]);
        assert_eq!(number(&message.bytes, 1), 300);
        assert_eq!(number(&message.bytes, 37), 1);
        let inner = bytes(&message.bytes, 2);
        assert_eq!((bytes(inner, 1), number(inner, 2)), (&b"key"[..], u64::MAX));
        assert_eq!(field(&message.bytes, 3), None);
        // No message at all, or one that was cut.
        assert_eq!(field(&[0x0f], 1), None);
        assert_eq!(field(&message.bytes[..4], 2), None);
        assert_eq!(field(&[0xff; 12], 1), None);
    }
}
