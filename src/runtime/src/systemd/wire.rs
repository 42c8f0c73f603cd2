//! D-Bus messages: what a caller of methods has to write and to read. Pure.
//!
//! Little-endian throughout: the peer is on the same machine. Only the types that the driver needs:
//! those of `value`, and properties (`a(sv)`).
//! Source: D-Bus specification, "Message Format", "Marshaling".

use super::value::{Number, Value};

/// Longest message that is read.
const LONGEST: usize = 1 << 20;
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
/// Bytes before the header's fields.
pub(super) const FIXED: usize = 16;

/// The bytes of a body, or of a header.
#[derive(Debug, Default)]
pub(super) struct Body(pub(super) Vec<u8>);

impl Body {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn number(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// An array whose elements begin at multiples of `to`.
    fn array(&mut self, to: usize, elements: impl FnOnce(&mut Body)) {
        self.number(0);
        let length_at = self.0.len() - 4;
        self.align(to);
        let start = self.0.len();
        elements(self);
        let length = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// `a(sv)`.
    pub(super) fn properties<'a>(&mut self, all: impl IntoIterator<Item = (&'a str, &'a Value)>) {
        self.array(8, |body| {
            for (name, value) in all {
                body.align(8);
                body.text(name);
                body.signature(&value.signature());
                body.value(value);
            }
        });
    }

    /// `a(sa(sv))` without elements.
    pub(super) fn no_more_units(&mut self) {
        self.array(8, |_| {});
    }

    /// `b`.
    pub(super) fn flag(&mut self, value: bool) {
        self.number(u32::from(value));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => self.text(text),
            Value::Flag(flag) => self.flag(*flag),
            Value::Number(number) => self.bytes(number.to_le_bytes()),
            Value::Numbers(numbers) => {
                self.array(4, |body| numbers.iter().for_each(|n| body.number(*n)));
            }
            Value::Bytes(bytes) => self.array(1, |body| body.0.extend(bytes)),
            Value::Sized(number) => self.sized(*number),
            Value::Array(letter, all) => {
                let align = match letter {
                    'y' => 1,
                    'n' | 'q' => 2,
                    't' | 'x' | 'd' => 8,
                    _ => 4,
                };
                self.array(align, |body| all.iter().for_each(|value| body.value(value)));
            }
        }
    }

    fn sized(&mut self, number: Number) {
        match number {
            Number::Byte(n) => self.bytes(n.to_le_bytes()),
            Number::Int16(n) => self.bytes(n.to_le_bytes()),
            Number::Uint16(n) => self.bytes(n.to_le_bytes()),
            Number::Int32(n) => self.bytes(n.to_le_bytes()),
            Number::Uint32(n) => self.bytes(n.to_le_bytes()),
            Number::Int64(n) => self.bytes(n.to_le_bytes()),
            Number::Double(bits) => self.bytes(bits.to_le_bytes()),
        }
    }

    /// A number, which begins at a multiple of its length.
    fn bytes<const LENGTH: usize>(&mut self, bytes: [u8; LENGTH]) {
        self.align(LENGTH);
        self.0.extend(bytes);
    }
}

/// Whose method, and which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
    pub(super) member: &'static str,
    /// Of its arguments.
    pub(super) signature: &'static str,
}

/// The message that calls a method.
pub(super) fn call(method: &Method, serial: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Body(vec![b'l', METHOD_CALL, 0, 1]);
    out.number(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.number(serial);
    let fields = [
        (1, "o", method.path),
        (2, "s", method.interface),
        (3, "s", method.member),
        (6, "s", method.destination),
    ];
    out.array(8, |out| {
        for (code, kind, text) in fields {
            out.align(8);
            out.0.push(code);
            out.signature(kind);
            out.text(text);
        }
        if !method.signature.is_empty() {
            out.align(8);
            out.0.push(8);
            out.signature("g");
            out.signature(method.signature);
        }
    });
    out.align(8);
    out.0.extend(body);
    out.0
}

/// What a message says to a caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The method is done.
    Done,
    /// It is not: the error's name and its words.
    Refused {
        /// As in `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// For a person.
        words: String,
    },
    /// A signal, or somebody else's answer.
    Other,
}

/// How many bytes follow the first [`FIXED`] of a message; `None` for what is no message.
pub(super) fn rest(start: &[u8; FIXED]) -> Option<usize> {
    let number = |at| number_at(start, at).map(|n| n as usize);
    let (body, fields) = (number(4)?, number(12)?);
    let plausible = start[0] == b'l' && body <= LONGEST && fields <= LONGEST;
    plausible.then(|| (FIXED + fields).next_multiple_of(8) - FIXED + body)
}

/// Reads a whole message, as far as the caller of number `serial` is concerned.
pub(super) fn answer(message: &[u8], serial: u32) -> Option<Answer> {
    let kind = *message.get(1)?;
    let end = FIXED + number_at(message, 12)? as usize;
    let (mut at, mut to, mut name) = (FIXED, None, String::new());
    while at < end {
        at = at.next_multiple_of(8);
        let code = *message.get(at)?;
        let signature = text_at(message, at + 2, usize::from(*message.get(at + 1)?))?;
        at += 3 + signature.len();
        match signature {
            "s" | "o" => {
                let text = string_at(message, &mut at)?;
                if code == 4 {
                    name = text.to_owned();
                }
            }
            "u" => {
                at = at.next_multiple_of(4);
                let number = number_at(message, at)?;
                at += 4;
                if code == 5 {
                    to = Some(number);
                }
            }
            "g" => at += usize::from(*message.get(at)?) + 2,
            _ => return None,
        }
    }
    Some(match kind {
        METHOD_RETURN if to == Some(serial) => Answer::Done,
        ERROR if to == Some(serial) => {
            let mut at = end.next_multiple_of(8);
            let words = string_at(message, &mut at).unwrap_or_default().to_owned();
            Answer::Refused { name, words }
        }
        _ => Answer::Other,
    })
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn text_at(bytes: &[u8], at: usize, length: usize) -> Option<&str> {
    std::str::from_utf8(bytes.get(at..at.checked_add(length)?)?).ok()
}

fn string_at<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a str> {
    *at = at.next_multiple_of(4);
    let length = number_at(bytes, *at)? as usize;
    let text = text_at(bytes, *at + 4, length)?;
    *at += 4 + length + 1;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHOD: Method = Method {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "StopUnit",
        signature: "ss",
    };

    /// An error in answer to call 7, as systemd writes it.
    fn refusal() -> Vec<u8> {
        let mut out = Body(vec![b'l', ERROR, 1, 1]);
        let mut body = Body::default();
        body.text("Unit x.scope not loaded.");
        out.number(body.0.len() as u32);
        out.number(1);
        out.array(8, |out| {
            out.0.push(5);
            out.signature("u");
            out.number(7);
            out.align(8);
            out.0.push(4);
            out.signature("s");
            out.text("org.freedesktop.systemd1.NoSuchUnit");
            out.align(8);
            out.0.push(7);
            out.signature("s");
            out.text("org.freedesktop.systemd1");
            out.align(8);
            out.0.push(8);
            out.signature("g");
            out.signature("s");
        });
        out.align(8);
        out.0.extend(body.0);
        out.0
    }

    #[test]
    fn values_stand_where_the_specification_wants_them() {
        let mut body = Body::default();
        body.text("ab");
        body.properties([("N", &Value::Number(1)), ("P", &Value::Numbers(vec![2, 3]))]);
        let want: Vec<u8> = [
            &[2, 0, 0, 0, b'a', b'b', 0, 0][..],
            &[40, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, b'N', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, b'P', 0, 2, b'a', b'u', 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0],
        ]
        .concat();
        // Length: 24 of N (8-aligned) and 24 of P.
        let mut want = want;
        want[8] = 48;
        assert_eq!(body.0, want);
    }

    #[test]
    fn a_call_tells_its_own_length() {
        let message = call(&METHOD, 7, &[1, 2, 3]);
        let start: [u8; FIXED] = message[..FIXED].try_into().expect("16");
        assert_eq!(rest(&start), Some(message.len() - FIXED));
        assert_eq!(answer(&message, 7), Some(Answer::Other));
    }

    #[test]
    fn an_error_is_read_and_belongs_to_its_call() {
        let refused = Answer::Refused {
            name: "org.freedesktop.systemd1.NoSuchUnit".to_owned(),
            words: "Unit x.scope not loaded.".to_owned(),
        };
        assert_eq!(answer(&refusal(), 7), Some(refused));
        assert_eq!(answer(&refusal(), 8), Some(Answer::Other));
    }

    #[test]
    fn damaged_messages_are_none_and_no_panic() {
        let whole = refusal();
        for end in 0..whole.len() {
            let _ = answer(&whole[..end], 7);
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bent = whole.clone();
                bent[at] ^= 1 << bit;
                let _ = answer(&bent, 7);
                let _ = rest(&bent[..FIXED].try_into().expect("16"));
            }
        }
    }
}
