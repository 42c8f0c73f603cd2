//! Which compression some bytes have, and undoing it with bounded memory.
//!
//! The first bytes decide; a media type only has to agree with them.

mod gunzip;

use std::io::{self, BufRead, Read};

use crate::fault::Fault;
use gunzip::Gunzip;

/// Largest window of zstd that is taken: 2^25 bytes, 32 MiB. `zstd -19` needs 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;
/// Memory that a block of xz may ask for, KiB: `xz -9` needs 65 MiB.
const XZ_MEMORY_MAX_KIB: u32 = 66 << 10;
/// zstd's own skippable frames: 0x184D2A50 to 0x184D2A5F, little-endian (RFC 8878, 3.1.2).
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames.
    Zstd,
}

impl Compression {
    /// From the first (up to four) bytes.
    #[must_use]
    pub fn of(first: &[u8]) -> Compression {
        match first {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [0x50..=0x5f, rest @ ..] if rest.starts_with(&SKIPPABLE) => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// What a layer's media type says; `None` when it is no layer of a root file system.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Compression> {
        let oci = media_type
            .strip_prefix("application/vnd.oci.image.layer.")
            .map(|rest| rest.strip_prefix("nondistributable.").unwrap_or(rest));
        match (oci, media_type) {
            (Some("v1.tar"), _) => Some(Compression::None),
            (Some("v1.tar+gzip"), _) => Some(Compression::Gzip),
            (Some("v1.tar+zstd"), _) => Some(Compression::Zstd),
            (_, "application/vnd.docker.image.rootfs.diff.tar") => Some(Compression::None),
            (_, "application/vnd.docker.image.rootfs.diff.tar.gzip") => Some(Compression::Gzip),
            (_, "application/vnd.docker.image.rootfs.diff.tar.zstd") => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// The OCI media type of a layer compressed so.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "uncompressed",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// A stream of plain bytes out of a compressed one.
pub(crate) enum Decoder<R: BufRead> {
    Plain(R),
    Gzip(Box<Gunzip<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, R>>),
    /// Never a layer's; see [`Decoder::of_archive`].
    Xz(Box<lzma_rust2::XzReader<R>>),
    /// The same.
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<R>>),
}

impl<R: BufRead> Decoder<R> {
    /// With checksums compared.
    pub(crate) fn new(input: R, compression: Compression) -> io::Result<Decoder<R>> {
        Decoder::with(input, compression, true)
    }

    /// For an archive that is no layer, which may be of xz or bzip2, too; `first` are its first six
    /// bytes.
    pub(crate) fn of_archive(input: R, first: &[u8]) -> io::Result<Decoder<R>> {
        match first {
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
                Ok(Decoder::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(input))))
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
                let reader = lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_MAX_KIB);
                Ok(Decoder::Xz(Box::new(reader)))
            }
            first => Decoder::new(input, Compression::of(first)),
        }
    }

    /// For bytes whose digest is known: gzip's checksums, which say less, are not computed.
    pub(crate) fn of_known_digest(input: R, compression: Compression) -> io::Result<Decoder<R>> {
        Decoder::with(input, compression, false)
    }

    fn with(input: R, compression: Compression, check: bool) -> io::Result<Decoder<R>> {
        Ok(match compression {
            Compression::None => Decoder::Plain(input),
            Compression::Gzip => Decoder::Gzip(Box::new(Gunzip::new(input, check))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Decoder::Zstd(Box::new(decoder))
            }
        })
    }
}

fn damaged(format: &'static str) -> impl FnOnce(io::Error) -> io::Error {
    move |source| match source.kind() {
        // The input's own error, or its early end: not the compressed data's fault.
        io::ErrorKind::UnexpectedEof => io::Error::new(source.kind(), Fault::Truncated),
        _ if source.raw_os_error().is_some() => source,
        _ if source.get_ref().is_some_and(|e| e.is::<Fault>()) => source,
        _ => io::Error::new(io::ErrorKind::InvalidData, Fault::Compressed { format, source }),
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Plain(input) => input.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer).map_err(damaged("gzip")),
            Decoder::Zstd(decoder) => decoder.read(buffer).map_err(damaged("zstd")),
            Decoder::Xz(decoder) => decoder.read(buffer).map_err(damaged("xz")),
            Decoder::Bzip2(decoder) => decoder.read(buffer).map_err(damaged("bzip2")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_tell_the_compression() {
        assert_eq!(Compression::of(&[0x1f, 0x8b, 8, 0]), Compression::Gzip);
        assert_eq!(Compression::of(&[0x28, 0xb5, 0x2f, 0xfd]), Compression::Zstd);
        assert_eq!(Compression::of(&[0x5a, 0x2a, 0x4d, 0x18]), Compression::Zstd);
        assert_eq!(Compression::of(b"./"), Compression::None);
        assert_eq!(Compression::of(b""), Compression::None);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let kind = compression.media_type();
            assert_eq!(Compression::of_media_type(kind), Some(compression));
        }
        assert_eq!(Compression::of_media_type("application/vnd.oci.image.config.v1+json"), None);
    }

    #[test]
    fn members_and_frames_are_joined_and_huge_windows_refused() {
        let frame = zstd::encode_all(b"ab".as_slice(), 1).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9];
        let all = [&frame[..], &skippable, &frame].concat();
        let mut text = String::new();
        let mut decoder = Decoder::new(all.as_slice(), Compression::Zstd).unwrap();
        decoder.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abab");
        // A frame header that asks for a window of 3 GiB (exponent 21, mantissa 4).
        let huge = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (21 << 3) | 4, 1, 0, 0];
        let mut decoder = Decoder::new(huge.as_slice(), Compression::Zstd).unwrap();
        assert!(decoder.read(&mut [0; 8]).is_err());
    }

    /// What a shell's line writes.
    fn written(line: &str) -> Vec<u8> {
        std::process::Command::new("sh").args(["-c", line]).output().unwrap().stdout
    }

    #[test]
    fn archives_may_be_of_xz_and_bzip2_within_bounds() {
        let text = |bytes: &[u8]| {
            let mut text = String::new();
            let done = Decoder::of_archive(bytes, bytes).unwrap().read_to_string(&mut text);
            done.map(|_| text).map_err(|e| e.to_string())
        };
        for line in ["printf a | xz; printf b | xz -9", "printf a | bzip2; printf b | bzip2"] {
            let bytes = written(line);
            assert_eq!(text(&bytes).unwrap(), "ab", "{line}");
            for at in [bytes.len() / 2 - 3, bytes.len() - 3] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x10;
                text(&damaged).unwrap_err();
            }
            text(&bytes[..bytes.len() - 4]).unwrap_err();
        }
        let large = written("printf a | xz --lzma2=dict=128MiB");
        assert!(!large.is_empty());
        text(&large).unwrap_err();
    }
}
