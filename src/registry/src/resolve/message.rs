//! DNS messages (RFC 1035, 4), as far as asking for addresses needs them. Pure.
//!
//! Pointers of compressed names are passed over, never followed: the answers of one question are
//! taken by their type, whatever alias they stand under.

use std::net::{IpAddr, Ipv6Addr};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Addresses(Vec<IpAddr>),
    NoSuchName,
    /// The server cannot or will not.
    Refused,
    /// Too long for UDP.
    Cut,
}

const HEADER: usize = 12;

/// A question; `None` for what is no name.
pub(super) fn query(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEADER + name.len() + 6);
    bytes.extend(id.to_be_bytes());
    // Recursion desired; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 || !label.is_ascii() {
            return None;
        }
        bytes.push(u8::try_from(label.len()).ok()?);
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, kind as u8, 0, 1]);
    (bytes.len() <= HEADER + 255 + 4).then_some(bytes)
}

/// Reads an answer to `query`; `None` when it is not one.
pub(super) fn answer(bytes: &[u8], query: &[u8], kind: Kind) -> Option<Answer> {
    let question = &query[HEADER..];
    let same_id = bytes.get(..2)? == &query[..2];
    let echoed = bytes.get(HEADER..HEADER + question.len())?.eq_ignore_ascii_case(question);
    let is_answer = bytes[2] & 0x80 != 0;
    if !(same_id && echoed && is_answer) {
        return None;
    }
    if bytes[2] & 2 != 0 {
        return Some(Answer::Cut);
    }
    match bytes[3] & 15 {
        0 => {}
        3 => return Some(Answer::NoSuchName),
        _ => return Some(Answer::Refused),
    }
    let count = u16::from_be_bytes([bytes[6], bytes[7]]);
    let mut at = HEADER + question.len();
    let mut found = Vec::new();
    for _ in 0..count {
        at = after_name(bytes, at)?;
        let record = bytes.get(at..at + 10)?;
        let length = usize::from(u16::from_be_bytes([record[8], record[9]]));
        let data = bytes.get(at + 10..at + 10 + length)?;
        at += 10 + length;
        if record[..4] != [0, kind as u8, 0, 1] {
            continue;
        }
        match kind {
            Kind::A => found.push(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
            Kind::Aaaa => {
                found.push(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into());
            }
        }
    }
    Some(Answer::Addresses(found))
}

/// The place after a name, which ends with an empty label or a pointer.
fn after_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            192..=255 => return Some(at + 2),
            _ => return None,
        }
    }
}

/// An answer with these addresses to a question for A, or with none to one for AAAA.
#[cfg(test)]
pub(super) fn forge(query: &[u8], addresses: &[[u8; 4]]) -> Vec<u8> {
    let of_a = query[query.len() - 3] == Kind::A as u8;
    let addresses = if of_a { addresses } else { &[] };
    let mut bytes = query.to_vec();
    bytes[2] = 0x81;
    bytes[7] = addresses.len() as u8;
    for address in addresses {
        bytes.extend([192, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend(address);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let asked = query(7, "r.example", Kind::A).unwrap();
        let good = forge(&asked, &[[192, 0, 2, 1]]);
        let expected = Answer::Addresses(vec![[192, 0, 2, 1].into()]);
        assert_eq!(answer(&good, &asked, Kind::A), Some(expected));
        let other = query(8, "r.example", Kind::A).unwrap();
        assert_eq!(answer(&good, &other, Kind::A), None);
        let other = query(7, "s.example", Kind::A).unwrap();
        assert_eq!(answer(&good, &other, Kind::A), None);
        let mut none = good.clone();
        none[3] = 3;
        assert_eq!(answer(&none, &asked, Kind::A), Some(Answer::NoSuchName));
        none[2] |= 2;
        assert_eq!(answer(&none, &asked, Kind::A), Some(Answer::Cut));
        for bad in ["", ".", "a..b", "ä.example", &"a".repeat(64), &"a.".repeat(200)] {
            assert!(query(1, bad, Kind::A).is_none(), "{bad}");
        }
    }

    #[test]
    fn any_bytes_end() {
        let asked = query(7, "r.example", Kind::A).unwrap();
        let good = forge(&asked, &[[192, 0, 2, 1], [192, 0, 2, 2]]);
        let mut seed = 1u64;
        for cut in 0..good.len() {
            let _ = answer(&good[..cut], &asked, Kind::A);
            for _ in 0..200 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let mut bytes = good.clone();
                bytes[cut] = (seed >> 40) as u8;
                bytes[(seed >> 20) as usize % good.len()] = (seed >> 50) as u8;
                let _ = answer(&bytes, &asked, Kind::A);
            }
        }
    }
}
