//! A bundle: its folder and its config.json, read once and validated whole.

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

use oci::runtime::{Capabilities, Capability, Spec};

use crate::error::{Error, Result};

/// Longest config.json that is read, in bytes.
const CONFIG_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A bundle as read.
#[derive(Debug)]
pub struct Bundle {
    /// Its folder, absolute.
    pub(crate) path: PathBuf,
    /// config.json as it stands there.
    pub(crate) text: Vec<u8>,
    pub(crate) spec: Spec,
    warnings: Vec<String>,
}

impl Bundle {
    /// Reads and checks `path/config.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] for what is no such document, [`Error::Invalid`] with every
    /// finding.
    pub fn load(path: &Path) -> Result<Bundle> {
        Bundle::load_with(path, Path::new("config.json"))
    }

    /// The same with another document, relative to the bundle.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn load_with(path: &Path, config: &Path) -> Result<Bundle> {
        let path = resolved(path)?;
        let file = path.join(config);
        let text = read_document(&file)?;
        // The specification: "MUST be logged as a warning".
        let mut warnings = Vec::new();
        let unknown = |name: &str| warnings.push(oci::document::unknown_capability(name));
        let mut spec = parse(&text, &file, unknown)?;
        oci::validate::validate(&spec)
            .map_err(|findings| Error::Invalid { what: file.display().to_string(), findings })?;
        warnings.extend(vain_ambient(&spec).into_iter().map(|name| {
            format!("can't raise ambient capability {name}: it is not inheritable and permitted")
        }));
        strip_root(&mut spec, &path);
        Ok(Bundle { path, text, spec, warnings })
    }

    /// What of the document has no effect, a line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The document.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}

/// A folder's path without links and `..`, as it is now: state tells it to other processes.
fn resolved(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
    // What is not there is told of when it is read.
    let Ok(folder) = sys::tree::folder(&absolute) else { return Ok(absolute) };
    let link = format!("/proc/self/fd/{}", folder.as_raw_fd());
    Ok(fs::read_link(link).unwrap_or(absolute))
}

/// A document as it stands in a file, of so many bytes at most as config.json may have.
///
/// # Errors
/// [`Error::Io`]; [`Error::Config`] when it is larger.
pub fn read_document(file: &Path) -> Result<Vec<u8>> {
    let open = fs::File::open(file).map_err(Error::io("read", file))?;
    let bytes = open.metadata().map_err(Error::io("read", file))?.len();
    if bytes > CONFIG_MAX_BYTES {
        return Err(too_large(file));
    }
    read_into(Vec::with_capacity(bytes as usize + 1), open, file)
}

/// The same from what has no size before its end; `name` is what it is called.
///
/// # Errors
/// As [`read_document`].
pub fn read_stream(from: impl Read, name: &Path) -> Result<Vec<u8>> {
    read_into(Vec::new(), from, name)
}

fn read_into(mut text: Vec<u8>, from: impl Read, name: &Path) -> Result<Vec<u8>> {
    let read = from.take(CONFIG_MAX_BYTES + 1).read_to_end(&mut text);
    match read.map_err(Error::io("read", name))? as u64 > CONFIG_MAX_BYTES {
        true => Err(too_large(name)),
        false => Ok(text),
    }
}

fn too_large(file: &Path) -> Error {
    let problem = format!("is larger than {CONFIG_MAX_BYTES} bytes");
    Error::Config { path: file.to_owned(), problem }
}

/// Destinations that repeat the root's path on the host lose it, as with runc.
fn strip_root(spec: &mut Spec, bundle: &Path) {
    let root = spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path().as_path());
    let root = lexical(&bundle.join(root));
    if root == Path::new("/") {
        return;
    }
    let Some(mounts) = spec.mounts().as_ref() else { return };
    if !mounts.iter().any(|mount| mount.destination().starts_with(&root)) {
        return;
    }
    let mut mounts = mounts.clone();
    for mount in &mut mounts {
        if let Ok(rest) = mount.destination().strip_prefix(&root) {
            let rest = Path::new("/").join(rest);
            mount.set_destination(rest);
        }
    }
    spec.set_mounts(Some(mounts));
}

/// A path without `.` and `..`, whatever links there are.
pub(crate) fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Capabilities that the kernel cannot make ambient: it raises only what is in both other sets.
fn vain_ambient(spec: &Spec) -> Vec<String> {
    let sets = spec.process().as_ref().and_then(|p| p.capabilities().as_ref());
    let Some((sets, ambient)) = sets.and_then(|s| s.ambient().as_ref().map(|a| (s, a))) else {
        return Vec::new();
    };
    let holds = |set: &Option<Capabilities>, one: &Capability| {
        set.as_ref().is_some_and(|s| s.contains(one))
    };
    let vain =
        |one: &&Capability| !(holds(sets.inheritable(), one) && holds(sets.permitted(), one));
    let mut names: Vec<String> =
        ambient.iter().filter(vain).map(|c| caps::to_canonical(&c.to_string())).collect();
    names.sort();
    names
}

/// A document from its text; `file` is named in the error, `unknown` is told the capabilities that
/// are left out.
pub(crate) fn parse(text: &[u8], file: &Path, unknown: impl FnMut(&str)) -> Result<Spec> {
    oci::document::spec_telling(text, unknown)
        .map_err(|error| Error::Config { path: file.to_owned(), problem: error.to_string() })
}
