//! Values of systemd's properties, by their types in D-Bus. Pure.

/// A property's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `s`
    Text(String),
    /// `b`
    Flag(bool),
    /// `t`
    Number(u64),
    /// `au`
    Numbers(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
    /// A number of another type.
    Sized(Number),
    /// `a` and the letter of the type that all of them have.
    Array(char, Vec<Value>),
}

/// A number of any type but `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// `y`
    Byte(u8),
    /// `n`
    Int16(i16),
    /// `q`
    Uint16(u16),
    /// `i`
    Int32(i32),
    /// `u`
    Uint32(u32),
    /// `x`
    Int64(i64),
    /// `d`: the bits of an f64.
    Double(u64),
}

impl Number {
    /// A whole number of the type that the letter stands for, where it has room for it.
    pub(super) fn of(letter: char, number: i128) -> Option<Number> {
        Some(match letter {
            'y' => Number::Byte(number.try_into().ok()?),
            'n' => Number::Int16(number.try_into().ok()?),
            'q' => Number::Uint16(number.try_into().ok()?),
            'i' => Number::Int32(number.try_into().ok()?),
            'u' => Number::Uint32(number.try_into().ok()?),
            'x' => Number::Int64(number.try_into().ok()?),
            _ => return None,
        })
    }

    /// The same as one without a sign.
    pub(super) fn whole(self) -> Option<u64> {
        match self {
            Number::Byte(n) => Some(n.into()),
            Number::Int16(n) => n.try_into().ok(),
            Number::Uint16(n) => Some(n.into()),
            Number::Int32(n) => n.try_into().ok(),
            Number::Uint32(n) => Some(n.into()),
            Number::Int64(n) => n.try_into().ok(),
            Number::Double(_) => None,
        }
    }

    fn letter(self) -> char {
        match self {
            Number::Byte(_) => 'y',
            Number::Int16(_) => 'n',
            Number::Uint16(_) => 'q',
            Number::Int32(_) => 'i',
            Number::Uint32(_) => 'u',
            Number::Int64(_) => 'x',
            Number::Double(_) => 'd',
        }
    }
}

impl Value {
    /// Its type in D-Bus.
    pub(super) fn signature(&self) -> String {
        match self {
            Value::Text(_) => "s".to_owned(),
            Value::Flag(_) => "b".to_owned(),
            Value::Number(_) => "t".to_owned(),
            Value::Numbers(_) => "au".to_owned(),
            Value::Bytes(_) => "ay".to_owned(),
            Value::Sized(number) => number.letter().to_string(),
            Value::Array(letter, _) => format!("a{letter}"),
        }
    }
}

/// A name and its value.
pub(crate) type Property = (&'static str, Value);
