//! Giving an image of the store another name.

use crate::catalog::Image;
use crate::digest::Digest;
use crate::document::{self, Descriptor};
use crate::error::Result;
use crate::load::{self, Found};
use crate::reference::Reference;
use crate::store::Store;

impl Store {
    /// Gives an image further names; one that another image has moves.
    ///
    /// # Errors
    /// As [`Store::resolve`]; a name that is none; a name with a digest.
    pub fn tag(&self, name: &str, new: &[String]) -> Result<()> {
        let names = new.iter().map(|n| Reference::tag_of(n)).collect::<Result<Vec<_>>>()?;
        let staging = self.staging()?;
        let _lock = self.lock_names()?;
        let images = self.named()?;
        let (digest, _) = self.find(name, &images)?;
        let image = self.image(digest)?;
        let manifest = self.manifest_of(&image)?.0;
        let mut index = self.read_index()?;
        load::add(&mut index.manifests, &Found { image, manifest, names });
        self.write_index(&staging, &index)
    }

    /// The descriptor of an image's manifest, with the manifest's own media type, and its bytes.
    pub(crate) fn manifest_of(&self, image: &Image) -> Result<(Descriptor, Vec<u8>)> {
        let digest: Digest = image.digest.parse().map_err(|p| self.wrong("manifest", p))?;
        let what = format!("manifest sha256:{}", digest.short());
        let bytes =
            self.document(&Descriptor::new(document::OCI_MANIFEST, digest.clone(), 0), &what)?;
        let parsed =
            document::Manifest::parse(&bytes).map_err(|problem| self.wrong(&what, problem))?;
        let docker = parsed.config.media_type == document::DOCKER_CONFIG;
        let guess = if docker { document::DOCKER_MANIFEST } else { document::OCI_MANIFEST };
        let kind = parsed.media_type.as_deref().unwrap_or(guess);
        Ok((Descriptor::new(kind, digest, bytes.len() as u64), bytes))
    }
}
