//! What can be wrong with one entry of an archive, before it is known which archive and layer.

use std::io;

/// A fault of a tar stream or of one of its entries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The stream ends within an entry or record.
    #[error("the archive ends too early")]
    Truncated,
    /// The entry would reach outside the folder it is unpacked into.
    #[error("{0}")]
    Escapes(String),
    /// Malformed, ambiguous or beyond a limit.
    #[error("{0}")]
    Bad(String),
    /// A compressed stream that does not decompress.
    #[error("the {format} data is damaged")]
    Compressed {
        /// gzip or zstd.
        format: &'static str,
        /// The decompressor's error.
        source: io::Error,
    },
    /// A layer that does not have the digest its configuration says.
    #[error("the unpacked layer has the digest {actual}, the configuration says {expected}")]
    DiffId {
        /// rootfs.diff_ids of the configuration.
        expected: String,
        /// As computed.
        actual: String,
    },
    /// Reading the archive failed.
    #[error("reading failed")]
    Read(#[source] io::Error),
    /// The system refused a step.
    #[error("{step} failed")]
    Os {
        /// What was being done.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The other half of the pipeline has ended; its fault is the one to tell.
    #[error("unpacking was stopped")]
    Stopped,
}

impl Fault {
    pub(crate) fn bad(text: impl Into<String>) -> Fault {
        Fault::Bad(text.into())
    }

    pub(crate) fn os(step: &'static str) -> impl FnOnce(io::Error) -> Fault {
        move |source| Fault::Os { step, source }
    }

    /// From a read error: the pipeline and the decompressors wrap faults into io errors.
    pub(crate) fn reading(error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none() {
            return Fault::Truncated;
        }
        match error.downcast::<Fault>() {
            Ok(fault) => fault,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Fault::Truncated,
            Err(error) => Fault::Read(error),
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Fault::Truncated => "the archive was cut short: fetch or save it again".into(),
            Fault::Escapes(_) => "do not trust this image".into(),
            Fault::Compressed { .. } | Fault::DiffId { .. } => {
                "the archive is damaged or forged: fetch or save it again".into()
            }
            Fault::Bad(_) => {
                "the archive is damaged, forged or of an unknown kind of tar: make it \
                              again with GNU tar, podman or docker"
                    .into()
            }
            Fault::Os { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "unpacking devices and owners needs root".into(),
                _ => return None,
            },
            Fault::Read(_) | Fault::Stopped => return None,
        })
    }

    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Fault::Compressed { source, .. } | Fault::Read(source) | Fault::Os { source, .. } => {
                source.raw_os_error()
            }
            _ => None,
        }
    }
}

/// An entry's name for messages: control characters escaped, long names cut in the middle.
pub(crate) fn shown(name: &[u8]) -> String {
    const MAX: usize = 160;
    let text: String = String::from_utf8_lossy(name)
        .chars()
        .flat_map(|c| {
            let escape =
                c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let plain = if escape { None } else { Some(c) };
            plain.into_iter().chain(c.escape_default().take(if escape { 12 } else { 0 }))
        })
        .collect();
    if text.chars().count() <= MAX {
        return text;
    }
    let head: String = text.chars().take(MAX / 2).collect();
    let tail: Vec<char> = text.chars().rev().take(MAX / 2).collect();
    format!("{head}…{}", tail.into_iter().rev().collect::<String>())
}
