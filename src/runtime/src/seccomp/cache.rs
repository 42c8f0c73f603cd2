//! Compiled filters on disk, by the content of their profile.
//!
//! A file holds flags, notify and the program; it is named by the SHA-256 of the profile, this
//! compiler's version and the machine. Invariants: a file appears whole or not at all; one that
//! does not parse, or whose own checksum differs, is compiled anew. Not here: eviction, for
//! profiles are few and files are a few KiB.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use oci::runtime::LinuxSeccomp;
use sha2::{Digest, Sha256};

use super::{Error, Filter, compile};

/// To be raised whenever the compiler's output changes.
const COMPILER: u32 = 1;

/// [`compile`], but from `<root>/seccomp/<hash>` when this profile was compiled before.
///
/// # Errors
/// Those of [`compile`]; an unwritable cache is none, the filter is then made each time.
pub fn compile_cached(root: &Path, profile: &LinuxSeccomp) -> Result<Filter, Error> {
    let Ok(json) = serde_json::to_vec(profile) else { return compile(profile) };
    let mut hash = Sha256::new();
    hash.update(COMPILER.to_ne_bytes());
    hash.update(std::env::consts::ARCH);
    hash.update(&json);
    let folder = root.join("seccomp");
    let path = folder.join(hex(&hash.finalize()));
    if let Some(filter) = fs::read(&path).ok().as_deref().and_then(decode) {
        return Ok(filter);
    }
    let filter = compile(profile)?;
    // Only speed is lost when this fails, for example on a read-only root.
    let _ = store(&folder, &path, &encode(&filter));
    Ok(filter)
}

fn store(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // For its owner alone, whatever the caller's umask is: a filter that others may write is none.
    if !folder.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let unfinished = path.with_extension(std::process::id().to_string());
    let mut options = fs::File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    drop(file);
    fs::rename(unfinished, path)
}

/// flags, notify, program, then the SHA-256 of all that.
fn encode(filter: &Filter) -> Vec<u8> {
    let mut out = Vec::with_capacity(40 + filter.program.len() * 8);
    out.extend(filter.flags.to_ne_bytes());
    out.extend(u32::from(filter.notify).to_ne_bytes());
    out.extend(filter.program.as_flattened());
    let sum = Sha256::digest(&out);
    out.extend(sum);
    out
}

fn decode(bytes: &[u8]) -> Option<Filter> {
    let (body, sum) = bytes.split_last_chunk::<32>()?;
    if Sha256::digest(body).as_slice() != sum {
        return None;
    }
    let (words, rest) = body.as_chunks::<8>();
    let (head, program) = words.split_first()?;
    let flags = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]);
    let whole = rest.is_empty() && !program.is_empty();
    whole.then(|| Filter { program: program.to_vec(), flags, notify: head[4] != 0 })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
