//! A repository by its name, and the servers that have it: mirrors first, then the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Settings;
use crate::blob::Blob;
use crate::error::{Error, Result};
use crate::http::Http;
use crate::repository::{Document, Repository};
use crate::session::Session;

/// What is going to be done: mirrors only serve pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Reading; by digest, when `true`.
    Pull(bool),
    /// Everything else.
    Push,
}

/// A repository to be reached.
#[derive(Debug)]
pub struct Remote {
    name: String,
    servers: Vec<Repository>,
    /// Servers before this one have failed.
    first: AtomicUsize,
}

impl Remote {
    /// Finds the servers of a repository. Nothing is sent yet.
    ///
    /// # Errors
    /// A blocked registry; credentials that cannot be read.
    pub fn new(
        settings: &Settings,
        registry: &str,
        repository: &str,
        purpose: Purpose,
    ) -> Result<Remote> {
        let http = Arc::new(Http::new(settings, registry));
        let (pulling, by_digest) = match purpose {
            Purpose::Pull(by_digest) => (true, by_digest),
            Purpose::Push => (false, false),
        };
        let sources = settings.registries.sources(registry, repository, pulling, by_digest)?;
        let mut servers = Vec::new();
        for mut source in sources {
            source.insecure |= settings.insecure;
            // What was given for the registry is not for its mirrors.
            let credential = match &settings.given {
                Some(given) if !source.mirror => Some(given.clone()),
                Some(_) => None,
                None => settings.find_credential(&source)?,
            };
            servers.push(Repository::new(Session::new(Arc::clone(&http), source, credential)));
        }
        Ok(Remote { name: format!("{registry}/{repository}"), servers, first: AtomicUsize::new(0) })
    }

    /// `registry/repository`, as asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn servers(&self) -> &[Repository] {
        &self.servers
    }

    /// The first server that is worth asking.
    pub(crate) fn first(&self) -> usize {
        self.first.load(Ordering::Relaxed)
    }

    /// A server is not asked any more, unless it is the last one.
    pub(crate) fn leave(&self, server: usize) {
        let next = (server + 1).min(self.servers.len().saturating_sub(1));
        self.first.fetch_max(next, Ordering::Relaxed);
    }

    /// The registry itself, not a mirror.
    ///
    /// # Errors
    /// Cannot happen: there is always one.
    pub fn registry(&self) -> Result<&Repository> {
        self.servers.last().ok_or_else(|| Error::Protocol {
            registry: self.name.clone(),
            action: "looking for the registry".into(),
            problem: "no server is configured".into(),
        })
    }

    /// A manifest by tag or digest, from the first server that gives it.
    ///
    /// # Errors
    /// What the registry itself said.
    pub fn manifest(&self, reference: &str) -> Result<Document> {
        let mut last = None;
        for (at, server) in self.servers.iter().enumerate().skip(self.first()) {
            match server.manifest(reference) {
                Ok(found) => return Ok(found),
                Err(error) => {
                    // A mirror that does not answer is not asked for the rest.
                    if matches!(error, Error::Transport { .. }) {
                        self.leave(at);
                    }
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) => Err(error),
            None => self.registry()?.manifest(reference),
        }
    }

    /// A blob of a known size, from the byte `from` on.
    #[must_use]
    pub fn blob(&self, digest: &str, size: u64, from: u64) -> Blob<'_> {
        Blob::new(self, digest, size, (from, size))
    }

    /// The bytes `from` up to `end` of a blob.
    #[must_use]
    pub fn part(&self, digest: &str, size: u64, (from, end): (u64, u64)) -> Blob<'_> {
        Blob::new(self, digest, size, (from, end))
    }
}
