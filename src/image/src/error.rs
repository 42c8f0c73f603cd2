//! What can go wrong with an image, with its context as fields.
//!
//! The text never repeats its source; [`Error::hint`] says what to try, [`Error::errno`] which
//! system error lies beneath.

use std::io;
use std::path::Path;

use crate::fault::Fault;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed operation on images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No image by that name, digest or id.
    #[error("image {name} is not in the store")]
    MissingImage {
        /// As asked for.
        name: String,
        /// Names in the store that look alike.
        near: Vec<String>,
    },
    /// An id prefix that fits several images.
    #[error("{name} is the beginning of {} images", .matches.len())]
    AmbiguousId {
        /// As asked for.
        name: String,
        /// The digests it could mean.
        matches: Vec<String>,
    },
    /// A name that is no image reference.
    #[error("{name:?} is not an image name: {problem}")]
    BadReference {
        /// As given.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A container id that cannot be a folder's name.
    #[error("{id:?} cannot be a container's id")]
    BadContainerId {
        /// As given.
        id: String,
    },
    /// The image is in use by containers.
    #[error("image {name} is used by {}", .containers.join(", "))]
    InUse {
        /// The image.
        name: String,
        /// Ids of the containers.
        containers: Vec<String>,
    },
    /// The file is no form of an image that is known.
    #[error("{archive} is no image archive: {found}")]
    UnknownFormat {
        /// The file or folder.
        archive: String,
        /// What was found instead.
        found: String,
    },
    /// The archive ends too early.
    #[error("{archive} is truncated: it ends within {entry}")]
    Truncated {
        /// The file.
        archive: String,
        /// The entry or part that is not whole.
        entry: String,
    },
    /// The outer archive cannot be read.
    #[error("{archive}: entry {entry}")]
    BadArchive {
        /// The file.
        archive: String,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        source: Fault,
    },
    /// Bytes that are not those of their digest.
    #[error("{archive}: {blob} does not have the digest {expected} but {actual}")]
    DigestMismatch {
        /// The file or folder.
        archive: String,
        /// Which blob: its role and, for a layer, number.
        blob: String,
        /// As the documents say.
        expected: String,
        /// As computed.
        actual: String,
    },
    /// A blob of another size than its descriptor says.
    #[error("{archive}: {blob} is {actual} bytes long, its descriptor says {expected}")]
    SizeMismatch {
        /// The file or folder.
        archive: String,
        /// Which blob.
        blob: String,
        /// As the documents say, bytes.
        expected: u64,
        /// As found, bytes.
        actual: u64,
    },
    /// A document names a blob that is not there.
    #[error("{archive}: {blob} is missing")]
    MissingBlob {
        /// The file or folder.
        archive: String,
        /// Which blob: its role and digest.
        blob: String,
    },
    /// A manifest, index or configuration that is not valid.
    #[error("{archive}: {document}: {problem}")]
    Document {
        /// The file or folder.
        archive: String,
        /// Which document.
        document: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A layer's entry tries to reach outside the layer's folder.
    #[error("{archive}: {layer}: entry {entry} leaves the root file system: {why}")]
    EscapesRoot {
        /// The file or folder.
        archive: String,
        /// Number and digest prefix.
        layer: String,
        /// The entry's name.
        entry: String,
        /// How.
        why: String,
    },
    /// A container that is not there.
    #[error("no container {id} among the {known} that have an image of this store")]
    MissingContainer {
        /// As asked for.
        id: String,
        /// How many there are.
        known: usize,
    },
    /// A file that no layer can hold.
    #[error("{folder}: {entry} {problem}")]
    Unpackable {
        /// The folder that is packed.
        folder: String,
        /// The file in it.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A layer that cannot be unpacked.
    #[error("{archive}: {layer}: entry {entry}")]
    Layer {
        /// The file or folder.
        archive: String,
        /// Number and digest prefix.
        layer: String,
        /// The entry's name.
        entry: String,
        /// What is wrong with it.
        source: Fault,
    },
    /// A layer whose bytes are not of the kind that its media type says.
    #[error("{archive}: {layer} is declared as {declared} but holds {found}")]
    MediaType {
        /// The file or folder.
        archive: String,
        /// Number and digest prefix.
        layer: String,
        /// The descriptor's media type.
        declared: String,
        /// What the first bytes are.
        found: String,
    },
    /// The file system of the store is full.
    #[error("no space left in {root} while {action}")]
    NoSpace {
        /// The store's root.
        root: String,
        /// What was being done.
        action: String,
        /// The system's error.
        source: io::Error,
    },
    /// The store cannot be changed.
    #[error("the store {root} is read-only ({action})")]
    ReadOnly {
        /// The store's root.
        root: String,
        /// What was being done.
        action: String,
        /// The system's error.
        source: io::Error,
    },
    /// Any other system error.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: String,
        /// To which file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The store has no room by its own limit.
    #[error(
        "the store {root} may take {limit} bytes: {used} are used, {needed} more and counting \
         would be over it"
    )]
    Limit {
        /// The store's root.
        root: String,
        /// How many bytes it may take.
        limit: u64,
        /// How many it takes.
        used: u64,
        /// How many the operation has asked for so far.
        needed: u64,
    },
    /// Where images cannot be written to.
    #[error("{path} {problem}")]
    Target {
        /// The file or folder.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The policy does not let the image in.
    #[error("{image} is not trusted: {problem}")]
    Untrusted {
        /// Its full name.
        image: String,
        /// The policy's file.
        policy: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// The exchange with a registry failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A user or group that cannot be resolved.
    #[error("user {user:?}: {problem}")]
    User {
        /// As given by the image or the caller.
        user: String,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// What to try next, where something can be tried.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::MissingImage { near, .. } if !near.is_empty() => {
                format!("did you mean {}? else `podvisor load` brings images in", near.join(" or "))
            }
            Error::MissingImage { .. } => {
                "`podvisor images` lists what is there; `podvisor load FILE` brings images in"
                    .into()
            }
            Error::AmbiguousId { matches, .. } => format!("say more: {}", matches.join(", ")),
            Error::BadReference { .. } => {
                "names look like web, web:1 or registry.example/team/web:1, in lower case".into()
            }
            Error::BadContainerId { .. } => return None,
            Error::InUse { .. } => {
                "stop and remove the containers first, or use --force to drop the name".into()
            }
            Error::UnknownFormat { .. } => {
                "`load` takes an OCI layout folder, oci-archive or docker-archive (skopeo copy, \
                 podman save, docker save); `import` takes the tar of a root file system"
                    .into()
            }
            Error::Truncated { .. } => {
                "the copy or download was cut short: fetch or save it again".into()
            }
            Error::BadArchive { source, .. } | Error::Layer { source, .. } => source.hint()?,
            Error::DigestMismatch { .. } | Error::SizeMismatch { .. } => {
                "the archive is damaged or forged: fetch or save it again".into()
            }
            Error::MissingBlob { .. } => {
                "the archive is not whole (a shallow or multi-platform copy?): save it again".into()
            }
            Error::Document { .. } => {
                "have the image written again by skopeo, podman or docker".into()
            }
            Error::MissingContainer { .. } => "`podvisor ps` lists them".into(),
            Error::Unpackable { .. } => "rename or remove the file".into(),
            Error::EscapesRoot { .. } => {
                "do not trust this image; build it again from sources you trust".into()
            }
            Error::MediaType { .. } => {
                "`skopeo copy` writes the image anew with correct media types".into()
            }
            Error::NoSpace { root, .. } => {
                format!("free space on the file system of {root}; `podvisor rmi` removes images")
            }
            Error::ReadOnly { .. } => {
                "remount it writable or choose another store with --root".into()
            }
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "podvisor needs root".into(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    "look at the path's spelling".into()
                }
                _ => return None,
            },
            Error::Limit { .. } => {
                "`image prune --all` makes room, `system limit` gives more".into()
            }
            Error::Target { .. } => "name a folder that is not there yet".into(),
            Error::Untrusted { policy, .. } => {
                format!(
                    "{policy} says what is demanded; `podvisor image referrers` lists signatures"
                )
            }
            Error::Registry(error) => error.hint()?,
            Error::User { .. } => {
                "use a number (uid or uid:gid), or a name that the image's /etc/passwd has".into()
            }
        })
    }

    /// The number of the system error beneath, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::NoSpace { source, .. }
            | Error::ReadOnly { source, .. }
            | Error::Io { source, .. } => source.raw_os_error(),
            Error::BadArchive { source, .. } | Error::Layer { source, .. } => source.errno(),
            Error::Registry(error) => error.errno(),
            _ => None,
        }
    }

    /// A system error on `path`; a full or read-only file system gets its own kind.
    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Error {
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { root: path, action: action.into(), source }
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                Error::ReadOnly { root: path, action: action.into(), source }
            }
            _ => Error::Io { action: action.into(), path, source },
        }
    }
}

/// Attaches what was done to which path.
pub(crate) trait At<T> {
    /// See [`Error::io`].
    fn at(self, action: &str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::io(action, path, source))
    }
}
