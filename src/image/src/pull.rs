//! Bringing an image from a registry into the store.
//!
//! The way is a load's: everything into staging and verified, one syncfs, renames, the new
//! index.json. Documents come first and are small; layers come three at a time, each unpacked while
//! it comes (`layer.rs`). What a broken pull has of a blob lies in `partial/` (`partial.rs`) and is
//! gone on with by the next one. Whether an image may come in, `trust.rs` decides before the first
//! layer.

mod assembled;
mod chunked;
mod layer;
mod manifest;
pub(crate) mod partial;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use registry::{Cancel, PullSecret, Purpose, Remote, Settings};

use crate::blobs::Blobs;
use crate::digest::Digest;
use crate::error::Result;
use crate::load::{self, Found, Loaded, Unpacked};
use crate::platform::Platform;
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::Store;
use crate::trust::{self, Policy};
use crate::{side_by_side, snapshot};
use chunked::{Local, Table};
use layer::{Context, Done, Target, Wanted};

/// Layers on their way at the same time.
const AT_ONCE: usize = 3;

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Whose image to take of an index; this machine's by default.
    pub platform: Option<Platform>,
    /// What is demanded of it.
    pub policy: Policy,
}

/// On whose behalf an image is pulled.
#[derive(Debug, Clone, Default)]
pub struct PullFor {
    /// Credentials that count before the host's.
    pub secrets: Vec<PullSecret>,
    /// Breaks the pull off; what has come is kept for the next one.
    pub cancel: Cancel,
}

/// A name as a person gives it, with the configured registry where it brings none.
///
/// # Errors
/// [`crate::Error::BadReference`].
pub fn expand(name: &str, settings: &Settings) -> Result<Reference> {
    let first = name.split('/').next().unwrap_or(name);
    let has_registry = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    match settings.registries.default_registry() {
        Some(registry) if !has_registry => format!("{registry}/{name}").parse(),
        _ => name.parse(),
    }
}

/// Whether a name has a tag before its digest, if it has one.
fn is_tagged(name: &str) -> bool {
    let before = name.split('@').next().unwrap_or(name);
    before.rsplit('/').next().unwrap_or(before).contains(':')
}

impl Store {
    /// Pulls an image by its name.
    ///
    /// # Errors
    /// [`crate::Error::Registry`] names registry and repository, the others the layer; the store
    /// is then as before, and what has come of the layers is kept for the next try.
    pub fn pull(
        &self,
        name: &str,
        options: &PullOptions,
        settings: &Settings,
        progress: &mut dyn Progress,
    ) -> Result<Loaded> {
        let reference = expand(name, settings)?;
        let pulled = self.pull_leased(&reference, is_tagged(name), (options, settings), progress);
        // Another process may have left its sweep to this one. The pull's error comes first.
        let swept = self.sweep();
        let pulled = pulled?;
        swept?;
        Ok(pulled)
    }

    /// Pulls as the host's configuration says: registries, credentials and policy are read anew.
    ///
    /// # Errors
    /// As [`Store::pull`]; a configuration that is not valid.
    pub fn pull_configured(
        &self,
        name: &str,
        variable: impl Fn(&str) -> Option<String>,
        wish: PullFor,
        progress: &mut dyn Progress,
    ) -> Result<Loaded> {
        let options = PullOptions { platform: None, policy: Policy::usual(&variable)? };
        let PullFor { secrets, cancel } = wish;
        let settings = Settings { secrets, cancel, ..Settings::usual(variable)? };
        self.pull(name, &options, &settings, progress)
    }

    fn pull_leased(
        &self,
        reference: &Reference,
        tagged: bool,
        (options, settings): (&PullOptions, &Settings),
        progress: &mut dyn Progress,
    ) -> Result<Loaded> {
        let pinned = reference.digest();
        let purpose = Purpose::Pull(pinned.is_some());
        let remote = Remote::new(settings, reference.registry(), reference.path(), purpose)?;
        let shown = match pinned {
            Some(digest) => format!("{}@{digest}", remote.name()),
            None => format!("{}:{}", remote.name(), reference.tag()),
        };
        let _lease = self.lease()?;
        let staging = self.staging()?;
        let mut blobs = Blobs::new(&staging, self.blobs(), shown);
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let mut found = manifest::find(&remote, reference, &platform, &mut blobs)?;
        trust::check(&options.policy, &remote, reference, &manifest::digests(&found))?;
        // A digest alone names no tag, and must not move one.
        if pinned.is_none() || tagged {
            found.names.push(reference.clone());
        }
        let mut unpacked = Unpacked::new();
        let reused = self.fetch_layers(&remote, &found, (&mut blobs, &mut unpacked), progress)?;
        if blobs.any_fresh() || !unpacked.is_empty() {
            progress.on(&Event::Syncing);
            staging.sync()?;
        }
        let found = [found];
        self.commit(&found, &blobs, &unpacked, &staging)?;
        // Also of a pull that was killed once the image was there.
        let stored = self.blobs();
        partial::clean(&partial::folder(self.root())?, |hex| stored.join(hex).is_file());
        let [found] = found;
        let layers = found.image.layers.len();
        let names = found.names.iter().map(Reference::familiar).collect();
        Ok(Loaded { names, digest: found.image.digest, layers, reused })
    }

    /// What the store's zstd:chunked layers have, when one of the wanted is of that kind. What
    /// cannot be read is done without.
    fn local_pieces(&self, wanted: &[Wanted]) -> Local {
        let mut local = Local::default();
        if !wanted.iter().any(|w| Table::of(&w.descriptor).is_some()) {
            return local;
        }
        let mut seen = BTreeSet::new();
        for (digest, _) in self.named().unwrap_or_default() {
            let Ok(image) = self.image(&digest) else { continue };
            for layer in &image.layers {
                if seen.insert(layer.descriptor.digest.clone()) {
                    let path = self.blobs().join(layer.descriptor.digest.hex());
                    local.add(&layer.descriptor, &path);
                }
            }
        }
        local
    }

    /// Fetches the blobs that are missing and unpacks the layers without a snapshot; how many were
    /// there.
    fn fetch_layers(
        &self,
        remote: &Remote,
        found: &Found,
        (blobs, unpacked): (&mut Blobs, &mut Unpacked),
        progress: &mut dyn Progress,
    ) -> Result<usize> {
        let snapshots = self.snapshots();
        let chains = snapshot::chain_ids(&found.image.diff_ids());
        let count = found.image.layers.len();
        let mut wanted: BTreeMap<Digest, Wanted> = BTreeMap::new();
        let mut reused = 0;
        for (i, (layer, chain)) in found.image.layers.iter().zip(&chains).enumerate() {
            let (number, descriptor) = (i + 1, &layer.descriptor);
            let unpack = !unpacked.contains_key(chain) && snapshots.find(chain).is_none();
            if !unpack && blobs.path(&descriptor.digest).is_some() {
                // A size that lies must be told here, too.
                blobs.open(descriptor, &format!("layer {number}"))?;
                reused += 1;
                let digest = layer.digest.clone();
                progress.on(&Event::LayerReused { number, count, digest });
                continue;
            }
            let entry = wanted.entry(descriptor.digest.clone()).or_insert_with(|| Wanted {
                descriptor: descriptor.clone(),
                number,
                targets: Vec::new(),
            });
            if unpack {
                let path = blobs.staging().path().join(format!("layer-{}", chain.hex()));
                unpacked.insert(chain.clone(), path.clone());
                entry.targets.push(Target { number, diff_id: layer.unpacked.clone(), path });
            }
        }
        let mut wanted: Vec<Wanted> = wanted.into_values().collect();
        wanted.sort_by_key(|w| w.number);
        let coming = wanted.iter().filter(|w| blobs.path(&w.descriptor.digest).is_none());
        for wanted in coming {
            blobs.staging().budget().take(wanted.descriptor.size)?;
        }
        let context = Context {
            remote,
            name: blobs.archive(),
            count,
            staging: blobs.staging().path(),
            budget: blobs.staging().budget(),
            stored: &self.blobs(),
            partial: &partial::folder(self.root())?,
            local: &self.local_pieces(&wanted),
        };
        let done =
            side_by_side::each(&wanted, AT_ONCE, progress, |one, told| context.fetch(one, told))?;
        let mut done: Vec<Done> = done.into_iter().flatten().collect();
        for wanted in &wanted {
            let digest = &wanted.descriptor.digest;
            if blobs.staging().path().join(digest.hex()).is_file() {
                blobs.adopt(digest, wanted.descriptor.size);
            }
        }
        // From the bottom up: what a layer implies may itself be implied below.
        done.sort_by_key(|(number, _)| *number);
        for (number, made) in &done {
            let place = |chain: &Digest| load::place(&snapshots, unpacked, chain);
            let below: Option<Vec<PathBuf>> = chains.iter().take(number - 1).map(place).collect();
            if let Some(target) = chains.get(number - 1).and_then(place) {
                snapshot::mend(&target, &made.implied, &below.unwrap_or_default())?;
            }
        }
        Ok(reused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_get_the_configured_registry() {
        let text = "unqualified-search-registries = [\"r.example:5000\"]";
        let registries = registry::Registries::parse(text, Path::new("r.conf")).unwrap();
        let settings = Settings { registries, ..Settings::default() };
        for (name, full) in [
            ("web", "r.example:5000/web:latest"),
            ("team/web:1", "r.example:5000/team/web:1"),
            ("docker.io/web", "docker.io/library/web:latest"),
            ("localhost/web", "localhost/web:latest"),
        ] {
            assert_eq!(expand(name, &settings).unwrap().to_string(), full);
            let plain = name.parse::<Reference>().unwrap();
            assert_eq!(expand(name, &Settings::default()).unwrap(), plain);
        }
        assert!(is_tagged("a:1/b:2@sha256:x") && !is_tagged("a:1/b@sha256:x") && !is_tagged("b"));
    }
}
