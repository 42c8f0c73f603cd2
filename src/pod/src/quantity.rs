//! Kubernetes quantities (apimachinery `resource.Quantity`), exact to a billionth.
//!
//! `0.5`, `500m`, `128Mi`, `1e3`, `12E`. A value finer than a billionth is rounded up, as there.
//! The text is kept as it was written, so that an object reads back as it was given.

use crate::manifest::decode::{Blank, Decode, Reader};
use crate::manifest::tree::{Node, Value};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A billion: the scale of the stored value.
const NANO: i128 = 1_000_000_000;
/// Largest value Kubernetes keeps: 2^63 - 1.
const MAX: i128 = i64::MAX as i128;

/// An amount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    text: String,
    nano: i128,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// No number at its beginning.
    #[error("{0:?} is not a quantity")]
    Number(String),
    /// Something unknown after the number.
    #[error("{text:?} has the unknown suffix {suffix:?}")]
    Suffix {
        /// The whole text.
        text: String,
        /// What follows the number.
        suffix: String,
    },
    /// Above 2^63 - 1.
    #[error("{0:?} is too large")]
    Large(String),
}

impl QuantityError {
    /// What to write instead.
    pub fn hint(&self) -> Option<String> {
        match self {
            QuantityError::Number(_) => Some("as in 500m, 2 or 128Mi".to_owned()),
            QuantityError::Suffix { suffix, .. } => Some(match suffix.as_str() {
                "mb" | "MB" | "Mb" | "MiB" | "mi" => "for mebibytes write Mi".to_owned(),
                "gb" | "GB" | "Gb" | "GiB" | "gi" | "g" => "for gibibytes write Gi".to_owned(),
                "kb" | "KB" | "Kb" | "KiB" | "ki" | "K" => "for kibibytes write Ki".to_owned(),
                "B" | "b" => "bytes have no suffix".to_owned(),
                _ => "one of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei".to_owned(),
            }),
            QuantityError::Large(_) => None,
        }
    }
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// When the text is no number with a known suffix, or is above 2^63 - 1.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        let number = || QuantityError::Number(text.to_owned());
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, suffix) = rest.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(number());
        }
        let (multiply, exponent) = scale(suffix).ok_or_else(|| QuantityError::Suffix {
            text: text.to_owned(),
            suffix: suffix.to_owned(),
        })?;
        let large = || QuantityError::Large(text.to_owned());
        let nano = decimal(whole, fraction, multiply, exponent).ok_or_else(large)?;
        if nano > MAX * NANO {
            return Err(large());
        }
        Ok(Quantity { text: text.to_owned(), nano: if negative { -nano } else { nano } })
    }

    /// In whole units (bytes, cores), rounded up.
    pub fn value(&self) -> i64 {
        i64::try_from(ceil(self.nano, NANO)).unwrap_or(i64::MAX)
    }

    /// In thousandths, rounded up.
    pub fn milli(&self) -> i64 {
        i64::try_from(ceil(self.nano, NANO / 1000)).unwrap_or(i64::MAX)
    }

    /// In billionths.
    pub fn nano(&self) -> i128 {
        self.nano
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn ceil(value: i128, unit: i128) -> i128 {
    value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0)
}

/// `(factor, power of ten)` of a suffix.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let digits = suffix.strip_prefix(['e', 'E'])?;
            let bare = digits.strip_prefix(['+', '-']).unwrap_or(digits);
            if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            // Beyond this every number is either too large or below a billionth.
            (1, digits.parse::<i32>().unwrap_or(if digits.starts_with('-') { -99 } else { 99 }))
        }
    })
}

/// `whole.fraction * multiply * 10^exponent` in billionths, rounded up; `None` above the range.
fn decimal(whole: &str, fraction: &str, multiply: i128, exponent: i32) -> Option<i128> {
    let digits: String = format!("{whole}{}", fraction.trim_end_matches('0'));
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let places = i32::try_from(fraction.trim_end_matches('0').len()).ok()?;
    // Digits far below a billionth only decide the rounding.
    let (digits, cut) = if digits.len() > 30 { digits.split_at(30) } else { (digits, "") };
    let dropped = i32::try_from(cut.len()).ok()?;
    let lost = cut.bytes().any(|b| b != b'0');
    let power = exponent.checked_add(9)?.checked_sub(places)?.checked_add(dropped)?;
    let mut value: i128 = digits.parse().ok()?;
    if power >= 0 {
        for _ in 0..power {
            value = value.checked_mul(10)?;
        }
        return Some(value.checked_mul(multiply)? + i128::from(lost));
    }
    // multiply first: 0.5Ki is exactly 512.
    let divisor = u32::try_from(-power).ok().and_then(|p| 10i128.checked_pow(p));
    let Some(divisor) = divisor else { return Some(1) };
    match value.checked_mul(multiply) {
        Some(product) => Some(ceil(product, divisor) + i128::from(lost && product % divisor == 0)),
        None => ceil(value, divisor).checked_mul(multiply),
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl TryFrom<String> for Quantity {
    type Error = QuantityError;

    fn try_from(text: String) -> Result<Self, QuantityError> {
        Quantity::parse(&text)
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> String {
        quantity.text
    }
}

impl Blank for Quantity {}

impl Decode for Quantity {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        let Value::Scalar { text, .. } = &node.value else {
            reader.wrong_type(node, "a quantity");
            return Quantity::default();
        };
        match Quantity::parse(text) {
            Ok(quantity) if quantity.nano < 0 => {
                reader.error(node, format!("{text} is below 0"));
                quantity
            }
            Ok(quantity) => quantity,
            Err(error) => {
                reader.place(node.line, node.column, error.to_string(), error.hint());
                Quantity::default()
            }
        }
    }
}
