//! Dependencies point one way: each manifest against the table of docs/ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::root;

/// crate, what it may use. Dev-dependencies may use `scope` and `fuzz`
/// besides, and nothing ships those or `sim`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("child", &[]),
    ("sys", &["child"]),
    ("oci", &[]),
    ("runtime", &["oci", "sys", "child"]),
    ("registry", &[]),
    ("image", &["registry", "oci", "sys"]),
    ("build", &["image", "oci", "sys"]),
    ("net", &["sys"]),
    ("pod", &[]),
    ("monitor", &["runtime", "oci", "sys"]),
    ("init", &["sys"]),
    ("supervisor", &["pod", "image", "net", "monitor", "oci", "sys"]),
    ("api", &["supervisor", "pod"]),
    ("oci-cli", &["runtime", "monitor", "oci", "sys"]),
    (
        "cli",
        &[
            "api",
            "supervisor",
            "image",
            "build",
            "registry",
            "pod",
            "init",
            "monitor",
            "oci",
            "sys",
        ],
    ),
    ("sim", &["pod"]),
    ("fuzz", &[]),
    ("scope", &[]),
    ("regex", &[]),
];

/// The crates whose code may be unsafe and may name `libc` or `nix`.
const KERNEL_DOORS: &[&str] = &["sys", "child"];

/// The crate that has the workspace's lints of its own, since it names the symbol that libc starts
/// at; below is its only `unsafe`.
const NAMES_MAIN: &str = "oci-cli";

/// The names below one table of a manifest, by plain reading: the tree's manifests are simple.
fn section(manifest: &str, name: &str) -> BTreeSet<String> {
    let header = format!("[{name}]");
    manifest
        .lines()
        .skip_while(|l| l.trim() != header)
        .skip(1)
        .take_while(|l| !l.starts_with('['))
        .filter(|l| !l.trim_start().starts_with('#'))
        .filter_map(|l| l.split(['=', '.']).next().map(str::trim).filter(|n| !n.is_empty()))
        .map(str::to_owned)
        .collect()
}

fn manifest(name: &str) -> String {
    fs::read_to_string(root().join("src").join(name).join("Cargo.toml")).expect("manifest")
}

#[test]
fn every_crate_is_in_the_table_and_uses_only_what_it_may() {
    let ours: BTreeSet<&str> = ALLOWED.iter().map(|(n, _)| *n).collect();
    for entry in fs::read_dir(root().join("src")).expect("src").flatten() {
        if entry.file_type().expect("type").is_dir() {
            let name = entry.file_name().into_string().expect("name");
            assert!(ours.contains(name.as_str()), "src/{name} is not in the table of layers");
        }
    }
    for (name, allowed) in ALLOWED {
        let used = section(&manifest(name), "dependencies");
        for edge in used.iter().filter(|u| ours.contains(u.as_str())) {
            assert!(allowed.contains(&edge.as_str()), "{name} may not use {edge}");
        }
        let dev = section(&manifest(name), "dev-dependencies");
        for edge in dev.iter().filter(|u| ours.contains(u.as_str())) {
            let fine = edge == "scope" || edge == "fuzz" || allowed.contains(&edge.as_str());
            assert!(fine, "the tests of {name} may not use {edge}");
        }
    }
}

#[test]
fn only_the_doors_to_the_kernel_use_libc_and_unsafe() {
    for (name, _) in ALLOWED {
        let text = manifest(name);
        let used = section(&text, "dependencies");
        if KERNEL_DOORS.contains(name) {
            continue;
        }
        for banned in ["libc", "nix"] {
            assert!(!used.contains(banned), "{name} uses {banned}: go through sys");
        }
        if *name == NAMES_MAIN {
            continue;
        }
        let inherits = section(&text, "lints").contains("workspace");
        assert!(inherits, "{name} does not inherit the workspace's lints (forbid unsafe)");
    }
}

#[test]
fn podvisor_oci_is_unsafe_in_the_name_of_main_alone() {
    let folder = root().join("src").join(NAMES_MAIN);
    let lints = section(&manifest(NAMES_MAIN), "lints.rust");
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("manifest");
    assert_eq!(lints, section(&workspace, "workspace.lints.rust"));
    let clippy = section(&manifest(NAMES_MAIN), "lints.clippy");
    assert_eq!(clippy, section(&workspace, "workspace.lints.clippy"));
    let mut found = Vec::new();
    let mut folders = vec![folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("source");
            let lines = text.lines().filter(|l| l.contains("unsafe"));
            found.extend(lines.map(|l| l.trim().split(',').next().unwrap_or(l).to_owned()));
        }
    }
    assert_eq!(found, ["#[expect(unsafe_code", "#[unsafe(no_mangle)]"]);
}

#[test]
fn the_child_is_no_std_and_needs_libc_alone() {
    let front = fs::read_to_string(root().join("src/child/src/lib.rs")).expect("child");
    assert!(front.contains("#![no_std]"), "child must stay no_std");
    let used = section(&manifest("child"), "dependencies");
    assert_eq!(used, BTreeSet::from(["libc".to_owned()]));
}

/// The low-level runtime must start in no time and never hold a second thread.
#[test]
fn podvisor_oci_has_no_async_runtime_in_its_graph() {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "-p", "oci-cli", "-e", "normal", "--prefix", "none", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo tree");
    let tree = String::from_utf8_lossy(&out.stdout);
    assert!(tree.contains("runtime v"), "cargo tree printed no graph");
    for banned in ["tokio", "async-std", "smol", "futures", "hyper", "mio", "redb"] {
        let found = tree.lines().any(|l| l.split(' ').next() == Some(banned));
        assert!(!found, "podvisor-oci depends on {banned}");
    }
}

#[test]
fn nothing_that_ships_uses_the_test_crates() {
    for (name, _) in ALLOWED {
        let used = section(&manifest(name), "dependencies");
        assert!(
            ["sim", "scope", "fuzz"].iter().all(|dev| !used.contains(*dev)),
            "{name} ships a test crate"
        );
    }
}
