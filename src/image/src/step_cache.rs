//! The build cache's records: which image a step made, by the step's key.
//!
//! `build/steps/HEX` holds the digest of a manifest and when it was made (RFC 3339). A record keeps
//! that image's blobs and snapshots from the garbage collection, as a name would. One that cannot
//! be read, or whose image has gone, is a miss. The time of its last use is the file's.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::catalog::Image;
use crate::digest::Digest;
use crate::error::{At, Error, Result};
use crate::staging::Staging;
use crate::store::{Store, sync_folder};

fn record(text: &str) -> Option<(Digest, &str)> {
    let (digest, created) = text.split_once('\n')?;
    Some((digest.parse().ok()?, created))
}

impl Store {
    /// The folder of the build cache: records, and the folders of `RUN --mount=type=cache`.
    #[must_use]
    pub fn build_cache(&self) -> PathBuf {
        self.root().join("build")
    }

    fn steps(&self) -> PathBuf {
        self.build_cache().join("steps")
    }

    /// Notes what a step made. The caller holds the lock on names.
    pub(crate) fn remember_step(
        &self,
        staging: &Staging,
        key: &Digest,
        (manifest, created): (&Digest, &str),
    ) -> Result<()> {
        let folder = self.steps();
        fs::create_dir_all(&folder).at("making", &folder)?;
        let fresh = staging.path().join("step");
        fs::write(&fresh, format!("{manifest}\n{created}")).at("writing", &fresh)?;
        let path = folder.join(key.hex());
        fs::rename(&fresh, &path).at("making", &path)?;
        sync_folder(&folder)
    }

    /// What a step has made before, and when; it counts as used now.
    pub(crate) fn remembered_step(&self, key: &Digest) -> Result<Option<(Image, String)>> {
        let path = self.steps().join(key.hex());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("reading", &path, e)),
        };
        let Some((digest, created)) = record(&text) else { return Ok(None) };
        let _lock = self.lock_reading()?;
        let image = self.image(&digest).ok();
        if image.is_some() {
            // Only the order of pruning depends on it.
            let _ = fs::File::open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        }
        Ok(image.map(|image| (image, created.to_owned())))
    }

    /// The manifests that the records keep.
    pub(crate) fn remembered(&self) -> Result<BTreeSet<Digest>> {
        let folder = self.steps();
        let mut all = BTreeSet::new();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(all),
            Err(e) => return Err(Error::io("reading", &folder, e)),
        };
        for entry in entries {
            let text = fs::read_to_string(entry.at("reading", &folder)?.path());
            all.extend(text.ok().and_then(|text| record(&text).map(|(digest, _)| digest)));
        }
        Ok(all)
    }

    /// Drops the records and fetched files of the build cache that were not used for `unused`, its
    /// folders of `--mount=type=cache` too when `mounts`; returns the freed bytes of blobs.
    ///
    /// # Errors
    /// Files that cannot be removed.
    pub fn prune_build_cache(&self, unused: Duration, mounts: bool) -> Result<u64> {
        let limit = SystemTime::now().checked_sub(unused).unwrap_or(SystemTime::UNIX_EPOCH);
        {
            let staging = self.staging()?;
            let _lock = self.lock_names()?;
            let folder = self.steps();
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries.collect(),
                Err(_) => Vec::new(),
            };
            for entry in entries {
                let entry = entry.at("reading", &folder)?;
                let used = entry.metadata().and_then(|m| m.modified()).at("reading", &folder)?;
                if used <= limit {
                    staging.discard(&entry.path())?;
                }
            }
            let web = self.build_cache().join("web");
            for entry in fs::read_dir(&web).into_iter().flatten().flatten() {
                let used = fs::metadata(entry.path().join("version.json"));
                if used.and_then(|m| m.modified()).is_ok_and(|used| used > limit) {
                    continue;
                }
                staging.discard(&entry.path())?;
            }
            if mounts {
                staging.discard(&self.build_cache().join("mounts"))?;
            }
        }
        Ok(self.sweep()?.freed_bytes)
    }
}
