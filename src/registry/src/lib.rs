//! A client of OCI registries (distribution-spec 1.1), synchronous, for strangers' servers.
//!
//! Start at [`Remote`] (`remote.rs`): a repository and the servers that have it. The way of a
//! request: `repository.rs` says what to ask, `session.rs` authenticates, follows redirects and
//! tries again, `http.rs` holds the connections. `blob.rs` reads a blob and goes on where a
//! connection broke, `upload.rs` writes one, `fetch.rs` brings files of the web; `cancel.rs` breaks
//! all of that off. Decisions are pure and stand alone: `challenge.rs`, `origin.rs` (who may see
//! credentials), `range.rs`, `retry.rs`, `pace.rs`, `registries.rs`.
//!
//! What must hold: credentials go to the origin they belong to and to token servers that its own
//! answer names, over TLS; every body has a bound and a slowest pace; no answer makes this crate
//! read or write a file. Digests are the caller's to check. Not here: images, the store.

#![cfg_attr(all(test, fuzzing), no_main)]

mod blob;
mod cancel;
mod challenge;
mod connect;
mod credentials;
mod error;
mod fetch;
#[cfg(test)]
mod fuzz_tests;
mod http;
mod origin;
mod pace;
mod range;
mod registries;
mod remote;
mod repository;
mod resolve;
mod retry;
mod session;
mod tls;
mod token;
mod upload;

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

pub use blob::Blob;
pub use cancel::Cancel;
pub use credentials::{Credential, Files, OWN, PullSecret};
pub use error::{Error, Result};
pub use fetch::{Fetched, Version, fetch};
pub use pace::Pace;
pub use registries::{FILES, Registries, Source};
pub use remote::{Purpose, Remote};
pub use repository::{Document, Repository};
pub use tls::FOLDERS;
pub use upload::{Open, Uploaded};

/// Most bytes of a manifest or index (as distribution's own limit).
pub const MANIFEST_MAX: u64 = 4 << 20;

/// How registries are spoken to.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Mirrors, blocked and insecure registries.
    pub registries: Registries,
    /// Folders like docker's certs.d.
    pub certificates: Vec<PathBuf>,
    /// One such folder for the registry alone, whatever it is called.
    pub given_certificates: Option<PathBuf>,
    /// Where credentials are looked up.
    pub credentials: Files,
    /// Are looked through before.
    pub secrets: Vec<PullSecret>,
    /// Instead of looking up.
    pub given: Option<Credential>,
    /// Plain HTTP and unknown certificates are accepted everywhere.
    pub insecure: bool,
    /// The slowest body that is read on.
    pub pace: Pace,
    /// Tries of a request that may pass; six by default.
    pub tries: Option<u32>,
    /// Ends what is done with these settings.
    pub cancel: Cancel,
}

impl Settings {
    /// The credential that a repository gets, from secrets first.
    fn find_credential(&self, source: &Source) -> Result<Option<Credential>> {
        let (registry, repository) = (&source.registry, &source.repository);
        for secret in &self.secrets {
            if let Some(found) = secret.find(registry, repository)? {
                return Ok(Some(found));
            }
        }
        self.credentials.find(registry, repository)
    }

    /// The host's configuration, as `variable` gives the environment.
    ///
    /// # Errors
    /// A registries.conf that is not valid.
    pub fn usual(variable: impl Fn(&str) -> Option<String>) -> Result<Settings> {
        let files: Vec<PathBuf> = match variable("CONTAINERS_REGISTRIES_CONF") {
            Some(path) => vec![path.into()],
            None => FILES.iter().map(PathBuf::from).collect(),
        };
        let certificates = match variable("PODVISOR_CERTS_DIR") {
            Some(path) => vec![path.into()],
            None => FOLDERS.iter().map(PathBuf::from).collect(),
        };
        Ok(Settings {
            registries: Registries::read(&files)?,
            certificates,
            credentials: Files::usual(variable),
            ..Settings::default()
        })
    }
}

/// A byte that nobody can foretell: for spreading waits and for DNS.
fn chance() -> u8 {
    (RandomState::new().hash_one(0) & 0xff) as u8
}
