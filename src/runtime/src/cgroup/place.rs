//! Making the folders of a cgroup, and taking them away again when something after it fails.
//!
//! Invariants: a cpuset folder is never left empty (no process could enter); on v2 controllers are
//! handed down from the root to the leaf's parent, and one that is needed and cannot be handed down
//! is an error naming the file.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use oci::runtime::LinuxResources;

use super::{Cgroup, Error, Folder, Hierarchy, Layout, Mode, io_error};

/// v2 controllers that `resources` asks for, each with the field that does.
pub(super) type Needed = BTreeMap<&'static str, &'static str>;

/// Tries to make a folder whose parent comes and goes.
const MAKE_TRIES: u32 = 8;

/// Folders that exist, some of them because of this call.
pub(super) struct Place {
    cgroup: Cgroup,
    made: Made,
}

/// Folders made by this call; removed on drop unless kept.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

impl Place {
    /// Runs `then`, told whether each folder is new and so holds nothing; on its failure the
    /// folders made are removed.
    pub(super) fn finish(
        mut self,
        then: impl FnOnce(&Cgroup, bool) -> Result<(), Error>,
    ) -> Result<Cgroup, Error> {
        let fresh = self.cgroup.folders.iter().all(|folder| self.made.0.contains(&folder.path));
        then(&self.cgroup, fresh)?;
        self.made.0.clear();
        Ok(self.cgroup)
    }
}

/// Which v2 controllers the limits need, as far as limits are set.
pub(super) fn needed(resources: Option<&LinuxResources>) -> Needed {
    let settings = resources.and_then(|r| super::v2::plan(r).ok()).unwrap_or_default();
    settings.iter().map(|s| (s.controller, s.field)).collect()
}

/// Makes the folder `path` in every hierarchy.
pub(super) fn make(layout: &Layout, path: &str, needed: &Needed) -> Result<Place, Error> {
    let mut made = Made(Vec::new());
    let mut folders = Vec::new();
    for hierarchy in layout.hierarchies() {
        let folder = hierarchy.folder(path)?;
        if hierarchy.v2 {
            hand_down(layout, hierarchy, &folder, needed, &mut made)?;
        } else {
            make_folders(&folder, &mut made)?;
            if hierarchy.controllers.iter().any(|c| c == "cpuset") {
                fill_cpuset(&hierarchy.mount, &folder)?;
            }
        }
        folders.push(Folder {
            controllers: hierarchy.controllers.clone(),
            path: folder,
            v2: hierarchy.v2,
        });
    }
    Ok(Place { cgroup: Cgroup::of(folders)?, made })
}

/// The folders that are there.
pub(super) fn open(layout: &Layout, path: &str) -> Result<Cgroup, Error> {
    let mut folders = Vec::new();
    for hierarchy in layout.hierarchies() {
        let folder = hierarchy.folder(path)?;
        if folder.is_dir() {
            let (controllers, v2) = (hierarchy.controllers.clone(), hierarchy.v2);
            folders.push(Folder { controllers, path: folder, v2 });
        }
    }
    Cgroup::of(folders)
}

/// Another pod may make the same parents at this moment, or remove them as no longer needed.
fn make_folders(folder: &Path, made: &mut Made) -> Result<(), Error> {
    for left in (0..MAKE_TRIES).rev() {
        match fs::create_dir(folder) {
            Ok(()) => {
                made.0.push(folder.to_owned());
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound && left > 0 => match folder.parent() {
                Some(parent) => make_folders(parent, made)?,
                None => return Err(io_error("make cgroup", folder)(e)),
            },
            Err(e) => return Err(io_error("make cgroup", folder)(e)),
        }
    }
    Ok(())
}

/// The folders from just below `top` down to `leaf`.
fn descent<'a>(top: &Path, leaf: &'a Path) -> Vec<&'a Path> {
    let mut steps: Vec<&Path> = leaf.ancestors().take_while(|a| *a != top).collect();
    steps.reverse();
    steps
}

/// A new v1 cpuset is empty and takes no process: copy the parent's values in.
fn fill_cpuset(mount: &Path, leaf: &Path) -> Result<(), Error> {
    let read = |folder: &Path, file: &str| {
        let path = folder.join(file);
        sys::kernel_file::read(&path).map_err(io_error("read", &path))
    };
    for folder in descent(mount, leaf) {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if read(folder, file)?.trim().is_empty() {
                let inherited = read(folder.parent().unwrap_or(mount), file)?;
                let path = folder.join(file);
                fs::write(&path, inherited.trim()).map_err(io_error("write", &path))?;
            }
        }
    }
    Ok(())
}

/// Makes a v2 folder and enables controllers in each `cgroup.subtree_control` above it: all there
/// are on a pure v2 host (a later update may want them), only needed ones on a hybrid one.
fn hand_down(
    layout: &Layout,
    hierarchy: &Hierarchy,
    leaf: &Path,
    needed: &Needed,
    made: &mut Made,
) -> Result<(), Error> {
    let all = layout.mode() == Mode::V2;
    let wanted: Vec<&str> = hierarchy
        .controllers
        .iter()
        .map(String::as_str)
        .filter(|c| all || needed.contains_key(c))
        .collect();
    let mut above = hierarchy.mount.as_path();
    for folder in descent(&hierarchy.mount, leaf) {
        enable(above, &wanted, needed)?;
        make_folders(folder, made)?;
        above = folder;
    }
    Ok(())
}

fn enable(folder: &Path, wanted: &[&str], needed: &Needed) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let file = folder.join("cgroup.subtree_control");
    let enabled = sys::kernel_file::read(&file).map_err(io_error("read", &file))?;
    let missing: Vec<String> = wanted
        .iter()
        .filter(|w| !enabled.split_whitespace().any(|e| e == **w))
        .map(|w| format!("+{w}"))
        .collect();
    if missing.is_empty() || fs::write(&file, missing.join(" ")).is_ok() {
        return Ok(());
    }
    // One by one: a controller that nobody asked for may stay off.
    for value in missing {
        let Err(source) = fs::write(&file, &value) else { continue };
        if let Some(field) = needed.get(&value[1..]) {
            return Err(Error::Write { field: (*field).to_owned(), file, value, source });
        }
    }
    Ok(())
}
