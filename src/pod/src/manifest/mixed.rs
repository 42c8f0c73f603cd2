//! Values that are a number or text: ports by name, and shares of a number of pods.

use super::decode::{Blank, Decode, Reader};
use super::tree::{Node, Value};
use serde::{Deserialize, Serialize};

/// A port by number or by the name it has in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PortRef {
    /// 1 to 65535.
    Number(u16),
    /// Name of a `ports` entry.
    Name(String),
}

impl Default for PortRef {
    fn default() -> Self {
        PortRef::Number(0)
    }
}

impl Blank for PortRef {}

impl Decode for PortRef {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        match &node.value {
            Value::Scalar { text, plain } if !plain || super::scalar::integer(text).is_none() => {
                let before = reader.findings.len();
                let name = String::decode(node, reader);
                if reader.findings.len() == before {
                    super::rules::port_name(node, reader);
                }
                PortRef::Name(name)
            }
            _ => PortRef::Number(reader.integer(node, 1, 65_535).unwrap_or(1) as u16),
        }
    }
}

/// A number of pods, or a share of `replicas`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IntOrText", into = "IntOrText")]
pub enum IntOrPercent {
    /// Pods.
    Int(u32),
    /// Percent of the replicas.
    Percent(u32),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum IntOrText {
    Int(u32),
    Text(String),
}

impl From<IntOrPercent> for IntOrText {
    fn from(value: IntOrPercent) -> Self {
        match value {
            IntOrPercent::Int(number) => IntOrText::Int(number),
            IntOrPercent::Percent(percent) => IntOrText::Text(format!("{percent}%")),
        }
    }
}

impl TryFrom<IntOrText> for IntOrPercent {
    type Error = String;

    fn try_from(value: IntOrText) -> Result<Self, String> {
        match value {
            IntOrText::Int(number) => Ok(IntOrPercent::Int(number)),
            IntOrText::Text(text) => text
                .strip_suffix('%')
                .and_then(|digits| digits.parse().ok())
                .map(IntOrPercent::Percent)
                .ok_or_else(|| format!("{text:?} is neither a number nor a percentage")),
        }
    }
}

impl Default for IntOrPercent {
    fn default() -> Self {
        IntOrPercent::Int(0)
    }
}

impl Blank for IntOrPercent {}

impl IntOrPercent {
    /// Pods, fractions rounded up.
    pub fn round_up(self, replicas: u32) -> u32 {
        match self {
            IntOrPercent::Int(number) => number,
            IntOrPercent::Percent(percent) => scaled(replicas, percent, 99),
        }
    }

    /// Pods, fractions rounded down.
    pub fn round_down(self, replicas: u32) -> u32 {
        match self {
            IntOrPercent::Int(number) => number,
            IntOrPercent::Percent(percent) => scaled(replicas, percent, 0),
        }
    }
}

fn scaled(replicas: u32, percent: u32, add: u64) -> u32 {
    let pods = (u64::from(replicas) * u64::from(percent) + add) / 100;
    u32::try_from(pods).unwrap_or(u32::MAX)
}

impl Decode for IntOrPercent {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        if let Value::Scalar { text, .. } = &node.value
            && let Some(digits) = text.strip_suffix('%')
        {
            return match digits.parse() {
                Ok(percent) => IntOrPercent::Percent(percent),
                Err(_) => {
                    reader.error_hint(node, format!("{text:?} is not a percentage"), "as in 25%");
                    IntOrPercent::default()
                }
            };
        }
        IntOrPercent::Int(u32::decode(node, reader))
    }
}
