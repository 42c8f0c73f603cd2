//! What a ready descriptor belongs to, packed into epoll's 64 bits.
//!
//! Keys are never used twice, so an event of something that is gone finds nothing.

use crate::log::Stream;

/// Owner of a watched descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Listener,
    Signals,
    Connection(u32),
    /// An output of a container.
    Output(u32, Stream),
    /// Room in a container's stdin.
    Stdin(u32),
    /// The pidfd of an adopted container.
    Adopted(u32),
    /// Stdin of an attached client.
    ClientIn(u32),
    /// Room in an output of an attached client.
    ClientOut(u32, Stream),
    /// Output of a probe.
    Probe(u32),
}

impl Token {
    pub(crate) fn pack(self) -> u64 {
        let (kind, key) = match self {
            Token::Listener => (0, 0),
            Token::Signals => (1, 0),
            Token::Connection(key) => (2, key),
            Token::Output(key, Stream::Stdout) => (3, key),
            Token::Output(key, Stream::Stderr) => (4, key),
            Token::Stdin(key) => (5, key),
            Token::Adopted(key) => (6, key),
            Token::ClientIn(key) => (7, key),
            Token::ClientOut(key, Stream::Stdout) => (8, key),
            Token::ClientOut(key, Stream::Stderr) => (9, key),
            Token::Probe(key) => (10, key),
        };
        kind << 32 | u64::from(key)
    }

    pub(crate) fn unpack(packed: u64) -> Option<Token> {
        let key = u32::try_from(packed & 0xffff_ffff).ok()?;
        Some(match packed >> 32 {
            0 => Token::Listener,
            1 => Token::Signals,
            2 => Token::Connection(key),
            3 => Token::Output(key, Stream::Stdout),
            4 => Token::Output(key, Stream::Stderr),
            5 => Token::Stdin(key),
            6 => Token::Adopted(key),
            7 => Token::ClientIn(key),
            8 => Token::ClientOut(key, Stream::Stdout),
            9 => Token::ClientOut(key, Stream::Stderr),
            10 => Token::Probe(key),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_packing() {
        for packed in (0..=10u64).map(|kind| kind << 32 | if kind < 2 { 0 } else { 77 }) {
            assert_eq!(Token::unpack(packed).unwrap().pack(), packed);
        }
        assert_eq!(Token::unpack(11 << 32), None);
    }
}
