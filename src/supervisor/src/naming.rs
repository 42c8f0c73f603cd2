//! Names and identities that nobody chose: uids of objects, suffixes of a Deployment's pods.

use std::fs::File;
use std::io::{self, Read};

/// No vowels and no look-alikes, as in Kubernetes' rand.String.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters at the end of a pod's name.
const SUFFIX: usize = 5;

/// A new identity: a random (version 4) UUID.
///
/// # Errors
/// The kernel's, without /dev/urandom.
pub(crate) fn uid() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(uuid(bytes))
}

/// RFC 9562, section 5.4.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

/// Does a text look like a uid of ours?
pub(crate) fn is_uid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let sizes: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    sizes == [8, 4, 4, 4, 12]
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What stands behind a Deployment's name in a pod's: the template's hash and five random letters.
///
/// # Errors
/// As [`uid`].
pub(crate) fn suffix(template_hash: &str) -> io::Result<String> {
    let mut bytes = [0u8; SUFFIX];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let letters = bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
    Ok(format!("{template_hash}-{}", letters.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_a_random_uuid() {
        let made = uid().unwrap();
        assert!(is_uid(&made), "{made}");
        assert_eq!((made.as_bytes()[14], made.len()), (b'4', 36));
        assert!(b"89ab".contains(&made.as_bytes()[19]), "{made}");
        assert_ne!(made, uid().unwrap());
        for other in ["lookup-12", "", "a-b-c-d-e", "0000000g-0000-0000-0000-000000000000"] {
            assert!(!is_uid(other), "{other}");
        }
    }

    #[test]
    fn a_suffix_ends_with_five_letters() {
        let suffix = suffix("abcdef").unwrap();
        let letters = suffix.strip_prefix("abcdef-").unwrap();
        assert_eq!(letters.len(), SUFFIX);
        assert!(letters.bytes().all(|byte| LETTERS.contains(&byte)), "{letters}");
    }
}
