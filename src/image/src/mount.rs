//! An image's files as a folder of the host, read-only.
//!
//! A mount is a container without a process: `containers/mount-<digits>/rootfs`. So the image is in
//! use until it is unmounted; one whose mount ended with the boot is released by the next prune.

use std::fs;
use std::path::PathBuf;

use crate::catalog::Image;
use crate::error::{At, Result};
use crate::staging::make_private;
use crate::store::Store;

const PREFIX: &str = "mount-";
const TARGET: &str = "rootfs";

fn id(image: &Image) -> String {
    let hex = image.digest.rsplit(':').next().unwrap_or_default();
    format!("{PREFIX}{}", hex.get(..12).unwrap_or(hex))
}

impl Store {
    /// Mounts an image and says where; one that is mounted stays so.
    ///
    /// # Errors
    /// As [`Store::prepare`]; mount(2)'s.
    pub fn mount(&self, name: &str) -> Result<PathBuf> {
        let image = self.resolve(name)?;
        let id = id(&image);
        let rootfs = self.prepare(&image, &id, None)?;
        let target = self.containers().join(&id).join(TARGET);
        match make_private(&target) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.at("making", &target)?,
        }
        if sys::tree::is_mount_root(&target).at("looking at", &target)? {
            return Ok(target);
        }
        let snapshots = self.snapshots();
        // Names relative to the snapshots: mount(2) takes one page of options.
        let lower: Vec<String> = rootfs
            .lower
            .iter()
            .map(|l| l.strip_prefix(snapshots.path()).unwrap_or(l).display().to_string())
            .collect();
        let own = format!("../containers/{id}");
        let lower = lower.join(":");
        let options = format!("lowerdir={lower},upperdir={own}/upper,workdir={own}/work");
        sys::volume::mount_overlay(snapshots.path(), &options, &target)
            .at("mounting the image on", &target)?;
        Ok(target)
    }

    /// Ends the mount of an image; whether there was one. An image that was removed by force while
    /// it was mounted is named by the beginning of its digest.
    ///
    /// # Errors
    /// As [`Store::resolve`]; umount2(2)'s.
    pub fn unmount(&self, name: &str) -> Result<bool> {
        let id = match self.resolve(name) {
            Ok(image) => id(&image),
            Err(error) => self.mounted(name).ok_or(error)?,
        };
        let folder = self.containers().join(&id);
        let target = folder.join(TARGET);
        sys::volume::unmount(&target).at("unmounting", &target)?;
        let there = folder.is_dir();
        self.release(&id)?;
        Ok(there)
    }

    /// The mount whose image's digest begins so.
    fn mounted(&self, name: &str) -> Option<String> {
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        let digits = digits.get(..12).unwrap_or(digits);
        if digits.len() < 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let wanted = format!("{PREFIX}{digits}");
        let entries = fs::read_dir(self.containers()).ok()?;
        let mut found = entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|n| n.starts_with(&wanted));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Releases mounts that ended without us.
    pub(crate) fn release_stale_mounts(&self) -> Result<()> {
        let folder = self.containers();
        for entry in fs::read_dir(&folder).at("reading", &folder)? {
            let name = entry.at("reading", &folder)?.file_name();
            let Some(id) = name.to_str().filter(|n| n.starts_with(PREFIX)) else { continue };
            let target = folder.join(id).join(TARGET);
            if !sys::tree::is_mount_root(&target).unwrap_or(false) {
                self.release(id)?;
            }
        }
        Ok(())
    }
}
