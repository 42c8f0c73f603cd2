//! Public keys in PEM form: ECDSA on P-256, as cosign makes them, and Ed25519.
//!
//! The two kinds are told by the fixed beginnings of their DER form (RFC 5480, RFC 8410), so no
//! parser of certificates is needed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};

const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_BYTES: usize = 65;
const EDWARDS: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const EDWARDS_BYTES: usize = 32;

/// A public key.
#[derive(Debug)]
pub(super) struct Key {
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: Vec<u8>,
}

impl Key {
    /// From PEM text.
    pub(super) fn parse(text: &str) -> Result<Key, String> {
        let begin = "-----BEGIN PUBLIC KEY-----";
        let body = text.split_once(begin).and_then(|(_, rest)| rest.split_once("-----END"));
        let (body, _) = body.ok_or("is no public key in PEM form")?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| "is no public key: its base64 is damaged")?;
        let of = |prefix: &[u8], length: usize| {
            der.strip_prefix(prefix).filter(|rest| rest.len() == length).map(<[u8]>::to_vec)
        };
        if let Some(bytes) = of(P256, P256_BYTES) {
            return Ok(Key { algorithm: &ECDSA_P256_SHA256_ASN1, bytes });
        }
        if let Some(bytes) = of(EDWARDS, EDWARDS_BYTES) {
            return Ok(Key { algorithm: &ED25519, bytes });
        }
        Err("is neither an ECDSA P-256 key nor an Ed25519 key".into())
    }

    /// Whether this key has made the signature.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm, &self.bytes).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_keys_are_refused() {
        for bad in [
            "",
            "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA",
        ] {
            assert!(Key::parse(bad).is_err(), "{bad}");
        }
    }
}
