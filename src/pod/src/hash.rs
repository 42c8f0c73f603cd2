//! Stable hashes of definitions.
//!
//! What is hashed is the normalised user input: the JSON form with sorted keys, in which a field
//! that was not given does not appear. A podvisor that learns a new field hashes old input as
//! before, so an upgrade restarts nothing (kubernetes#116080). [`SCHEMA`] is part of the hash and
//! changes only when the meaning of equal input changes.

use crate::manifest::{Container, PodSpec, PodTemplateSpec};
use serde::Serialize;

/// Version of the normal form.
pub const SCHEMA: u32 = 1;

/// Hash of a Deployment's template: ten letters and digits that fit into a label.
pub fn template(template: &PodTemplateSpec) -> String {
    short(of(template))
}

/// Hash of a pod's spec.
pub fn pod_spec(spec: &PodSpec) -> String {
    short(of(spec))
}

/// Hash of one container's definition. It is compared at every decision, so the JSON form is hashed
/// as it streams, in the order of the declaration; a test pins its value.
pub fn container(container: &Container) -> u64 {
    let mut hash = Fnv::new();
    hash.write_bytes(&SCHEMA.to_le_bytes());
    match serde_json::to_writer(&mut hash, container) {
        Ok(()) => hash.0,
        // Neither the writer nor a manifest type can fail.
        Err(_) => 1,
    }
}

fn of(value: &impl Serialize) -> u64 {
    let mut hash = Fnv::new();
    hash.write_bytes(&SCHEMA.to_le_bytes());
    match serde_json::to_value(value) {
        Ok(value) => hash.value(&value),
        // Manifest types have text keys and finite numbers only.
        Err(_) => hash.write_bytes(b"!"),
    }
    hash.0
}

/// FNV-1a of 64 bits with a final mix; chosen because it can never change under us.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn write_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&mut self, tag: u8, text: &str) {
        self.write_bytes(&[tag]);
        self.write_bytes(&(text.len() as u64).to_le_bytes());
        self.write_bytes(text.as_bytes());
    }

    fn value(&mut self, value: &serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::Null => self.write_bytes(b"0"),
            Value::Bool(flag) => self.write_bytes(if *flag { b"t" } else { b"f" }),
            Value::Number(number) => self.text(b'n', &number.to_string()),
            Value::String(text) => self.text(b's', text),
            Value::Array(items) => {
                self.write_bytes(b"[");
                items.iter().for_each(|item| self.value(item));
                self.write_bytes(b"]");
            }
            Value::Object(map) => {
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort();
                self.write_bytes(b"{");
                for key in keys {
                    self.text(b'k', key);
                    self.value(&map[key]);
                }
                self.write_bytes(b"}");
            }
        }
    }
}

impl std::io::Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn short(hash: u64) -> String {
    // No vowels and no look-alikes, as in Kubernetes' rand.SafeEncodeString.
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = hash ^ (hash >> 29);
    (0..10)
        .map(|_| {
            let letter = LETTERS[(rest % 27) as usize];
            rest /= 27;
            char::from(letter)
        })
        .collect()
}
