//! What must hold for any input: nothing panics, nothing takes long, nothing grows without bounds.
//! Corpora are in `/tests/fuzz`; see the crate `fuzz`.

use std::path::{Component, Path};

use crate::cgroup::Layout;
use crate::plan::Facts;
use crate::plan::tests::{facts, layout};
use crate::seccomp::tests::seccomp_answers;

fuzz::targets![config, state, seccomp, seccomp_answers, mountinfo, cgroup_files];

/// Reads, validates, plans; and compiles the filter.
fn config(text: &[u8]) {
    let layout = layout();
    let Ok(spec) = oci::document::spec(text) else { return };
    if oci::validate::validate(&spec).is_err() {
        return;
    }
    let facts =
        Facts { waits: true, hooks: true, preserve_fds: 1, keyring: true, ..facts(&layout) };
    let (draft, _) = crate::plan::container(&spec, &facts);
    assert!(!draft.program.ops.is_empty());
    if let Some(profile) = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref()) {
        let _ = crate::seccomp::compile(profile);
    }
}

fn state(text: &[u8]) {
    let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    let record = serde_json::from_slice::<crate::store::Record>(&text[..end]);
    if let Ok(record) = record {
        let again = serde_json::to_vec(&record).expect("writes");
        serde_json::from_slice::<crate::store::Record>(&again).expect("reads what it wrote");
        // A pid of a damaged file is nobody's unless its start time fits.
        assert!(record.process().is_none());
    }
    let rest = text.get(end + 1..).unwrap_or_default();
    let _ = crate::bundle::parse(rest, Path::new("state"), |_| ());
}

fn seccomp(text: &[u8]) {
    let Ok(profile) = serde_json::from_slice(text) else { return };
    let compiled = crate::seccomp::compile(&profile);
    // The same text is the same program: the cache's name is the text's hash.
    assert_eq!(compiled.is_ok(), crate::seccomp::compile(&profile).is_ok());
}

fn mountinfo(text: &[u8]) {
    let normal = |part: Component<'_>| matches!(part, Component::Normal(_));
    let text = String::from_utf8_lossy(text);
    let (mounts, own) = text.split_once("---\n").unwrap_or((&text, "0::/\n"));
    let Ok(layout) = Layout::parse(mounts, own) else { return };
    let _ = layout.mode();
    for hierarchy in layout.hierarchies() {
        for path in ["/a", "relative", "/../up", own] {
            // Outside of the cgroup file systems is nowhere.
            let Ok(folder) = hierarchy.folder(path) else { continue };
            let below = folder.strip_prefix(&hierarchy.mount).expect("below the mount");
            assert!(folder.is_absolute() && below.components().all(normal), "{folder:?}");
        }
    }
}

fn cgroup_files(text: &[u8]) {
    crate::cgroup::read_every_form(&String::from_utf8_lossy(text));
}
