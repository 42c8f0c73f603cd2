//! Bringing an image of the store to a registry: its blobs as they are, then its manifest.
//!
//! What the repository has is not sent; what another repository of the same registry has, as far as
//! the store's names tell, is mounted. The way itself is [`crate::copy`]'s.

use registry::{Purpose, Remote, Settings};

use crate::copy::{self, Source, Target, Tree};
use crate::digest::Digest;
use crate::document::{Descriptor, OCI_MANIFEST};
use crate::error::Result;
use crate::progress::Progress;
use crate::pull::expand;
use crate::reference::Reference;
use crate::store::Store;

/// A pushed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Where it is now, with its tag.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
}

impl Store {
    /// Pushes an image, found as by [`Store::resolve`], to `to`, or to where its name says.
    ///
    /// # Errors
    /// A missing image; [`crate::Error::Registry`].
    pub fn push(
        &self,
        name: &str,
        to: Option<&str>,
        settings: &Settings,
        progress: &mut dyn Progress,
    ) -> Result<Pushed> {
        let _lease = self.lease()?;
        let image = self.resolve(name)?;
        let reference = match to {
            Some(to) => expand(to, settings)?,
            None => expand(name, settings)?,
        };
        let (registry, path) = (reference.registry(), reference.path());
        let remote = Remote::new(settings, registry, path, Purpose::Push)?;
        let digest: Digest = image.digest.parse().map_err(|p| self.wrong("manifest", p))?;
        let mut root = Descriptor::new(OCI_MANIFEST, digest.clone(), 0);
        let bytes = self.document(&root, "manifest")?;
        (root.size, root.media_type) = (bytes.len() as u64, copy::kind_of(&bytes, OCI_MANIFEST));
        let blobs = image.layers.iter().map(|l| l.descriptor.clone());
        let config = copy::config_of(&bytes).map_err(|p| self.wrong("manifest", p))?;
        let mut tree = Tree::default();
        tree.blobs.extend(blobs);
        tree.blobs.extend(config);
        tree.documents.push((root, bytes));
        let mounts = self.mounts(&reference, &tree.blobs)?;
        let source = Source::Blobs(self.blobs());
        let target = Target::Remote { remote: &remote, tag: Some(reference.tag()), mounts };
        copy::transfer(&source, &target, &tree, progress)?;
        let name = format!("{}:{}", reference.repository(), reference.tag());
        Ok(Pushed { name, digest: digest.to_string() })
    }

    /// For each blob, another repository of the registry that has it as far as names tell.
    fn mounts(&self, to: &Reference, blobs: &[Descriptor]) -> Result<Vec<Option<String>>> {
        let mut found = vec![None; blobs.len()];
        for summary in self.list()? {
            let names = summary.names.iter().filter_map(|n| n.parse::<Reference>().ok());
            let mut others =
                names.filter(|n| n.registry() == to.registry() && n.path() != to.path());
            let Some(other) = others.next() else { continue };
            let image = self.resolve(&summary.digest)?;
            for (blob, found) in blobs.iter().zip(&mut found) {
                if image.layers.iter().any(|l| l.descriptor.digest == blob.digest) {
                    found.get_or_insert_with(|| other.path().to_owned());
                }
            }
        }
        Ok(found)
    }
}
