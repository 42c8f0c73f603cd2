//! cosign's signatures: a payload in "simple signing" form, signed as it stands. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Signed;
use super::key::Key;
use crate::digest::Digest;

const KIND: &str = "cosign container image signature";

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// Whether a signature is one of `keys` over one of `digests`, for a name that `allows` takes. The
/// payload is only parsed once its signature is right.
pub(super) fn check(
    signed: &Signed,
    keys: &[Key],
    digests: &[Digest],
    allows: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let signature = STANDARD.decode(signed.signature.trim()).map_err(|_| "it is not base64")?;
    if !keys.iter().any(|key| key.has_signed(&signed.payload, &signature)) {
        return Err("it was not made by the key of the policy".into());
    }
    let payload: Payload =
        serde_json::from_slice(&signed.payload).map_err(|_| "its payload is not cosign's")?;
    let Critical { identity, image, kind } = payload.critical;
    if kind != KIND {
        return Err("its payload is of another kind".into());
    }
    if !digests.iter().any(|d| d.as_str() == image.docker_manifest_digest) {
        return Err("it is for another image".into());
    }
    let named = identity.docker_reference;
    if !allows(&named) {
        let named = crate::fault::shown(named.as_bytes());
        return Err(format!("it is for the name {named}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    fn key_of(pair: &Ed25519KeyPair) -> Key {
        let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let der = [&prefix, pair.public_key().as_ref()].concat();
        let body = STANDARD.encode(der);
        Key::parse(&format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----"))
            .unwrap()
    }

    #[test]
    fn a_signature_counts_for_its_image_and_name_alone() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let digest = Digest::of(b"image");
        let payload = |digest: &Digest, name: &str, kind: &str| {
            format!(
                r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},
                "image":{{"docker-manifest-digest":"{digest}"}},"type":"{kind}"}},"optional":null}}"#
            )
        };
        let good = payload(&digest, "r.example/web", KIND);
        let sign = |pair: &Ed25519KeyPair, payload: &str| Signed {
            payload: payload.as_bytes().to_vec(),
            signature: STANDARD.encode(pair.sign(payload.as_bytes())),
        };
        let keys = [key_of(&pair)];
        let check = |signed: &Signed| {
            check(signed, &keys, std::slice::from_ref(&digest), |n| n == "r.example/web")
        };
        assert_eq!(check(&sign(&pair, &good)), Ok(()));
        let mut changed = sign(&pair, &good);
        changed.payload.push(b' ');
        let mut damaged = sign(&pair, &good);
        damaged.signature = "!".into();
        for (case, signed, words) in [
            ("another key", sign(&other, &good), "key"),
            ("a changed payload", changed, "key"),
            ("no base64", damaged, "base64"),
            (
                "another image",
                sign(&pair, &payload(&Digest::of(b"x"), "r.example/web", KIND)),
                "image",
            ),
            ("another name", sign(&pair, &payload(&digest, "evil.example/web", KIND)), "name"),
            ("another kind", sign(&pair, &payload(&digest, "r.example/web", "x")), "kind"),
            ("no payload", sign(&pair, "{}"), "payload"),
        ] {
            let problem = check(&signed).unwrap_err();
            assert!(problem.contains(words), "{case}: {problem}");
        }
    }
}
