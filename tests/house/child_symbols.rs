//! The child's program has no library beneath: no wrapper of a system call, no allocator, no panic
//! machinery, no formatting. Read from the symbols its release build leaves undefined.

use std::collections::BTreeSet;
use std::process::Command;

use crate::root;

/// What the compiler itself may emit calls to.
const COMPILER: &[&str] = &["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"];

#[test]
fn the_child_leaves_only_memory_functions_undefined() {
    let folder = root().join("target/verify-child");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "-p", "child", "--target-dir"])
        .arg(&folder)
        // Machine code instead of bitcode, so that nm can read it.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .current_dir(root())
        .status()
        .expect("cargo");
    assert!(built.success());
    let find = Command::new("find").arg(&folder).args(["-name", "libchild*.rlib"]).output();
    let listed = String::from_utf8(find.expect("find").stdout).expect("paths");
    let rlib = listed.lines().next().expect("the child's rlib");
    let nm = Command::new("nm").args(["--quiet", rlib]).output().expect("nm (binutils)");
    let text = String::from_utf8_lossy(&nm.stdout).into_owned();
    let symbols: Vec<(&str, &str)> =
        text.lines().filter_map(|l| l.trim().rsplit_once(' ')).collect();
    let defined: BTreeSet<&str> =
        symbols.iter().filter(|(kind, _)| !kind.ends_with('U')).map(|(_, n)| *n).collect();
    let undefined: Vec<&str> = symbols
        .iter()
        .filter(|(kind, name)| kind.ends_with('U') && !defined.contains(name))
        .map(|(_, name)| *name)
        .collect();
    assert!(!undefined.is_empty(), "nm printed nothing for {rlib}");
    let foreign: Vec<&&str> = undefined.iter().filter(|n| !COMPILER.contains(n)).collect();
    assert!(foreign.is_empty(), "the child crate calls a library: {foreign:#?}");
}
