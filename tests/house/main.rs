//! The rules of the house, checked by reading the tree: who may use whom, how large a file may be,
//! what may not stand in it. No root needed.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failing step of a test is a failing test"
)]

mod child_symbols;
mod layering;
mod paths;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that git tracks or would track, relative to the root.
fn files() -> Vec<PathBuf> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the tree");
    let listed = String::from_utf8(out.stdout).expect("file names are UTF-8");
    listed.lines().map(PathBuf::from).filter(|p| root().join(p).is_file()).collect()
}

/// The text of one file of the tree, empty for one that is not text.
fn text(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}
