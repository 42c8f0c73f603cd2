//! Whiteouts and opaque folders in overlayfs' notation
//! (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
//!
//! They hide what the layers below have, never a file of the same layer (image-spec, layer.md).

use std::io::ErrorKind;

use sys::dir;

use super::Extractor;
use super::name::join;
use crate::fault::Fault;

impl Extractor {
    pub(super) fn whiteout(&mut self, folder: &[u8], hidden: &[u8]) -> Result<(), Fault> {
        if self.bottom {
            return Ok(());
        }
        let parent = self.folders.open(folder)?;
        let step = "making the whiteout";
        match dir::make_whiteout(&*parent, hidden) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                // Deleted below and made anew here: a file hides the old one by itself.
                match dir::kind(&*parent, hidden).map_err(Fault::os(step))? {
                    dir::Kind::Folder => self.opaque(&join(folder, hidden)),
                    _ => Ok(()),
                }
            }
            other => other.map_err(Fault::os(step)),
        }
    }

    pub(super) fn opaque(&mut self, folder: &[u8]) -> Result<(), Fault> {
        if self.bottom {
            return Ok(());
        }
        let fd = self.folders.open(folder)?;
        self.folders.mark_opaque(folder, &fd)
    }
}
