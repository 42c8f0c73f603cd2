//! The manifests that ship with podvisor are accepted as they stand.

use pod::{Strictness, manifest};

#[test]
fn shipped_manifests_are_accepted() {
    for name in ["rootfs/demo/demo.yaml", "tests/vm/pods.yaml"] {
        let path = format!("{}/../../{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect(name);
        let objects = manifest::parse(name, &text, Strictness::Strict);
        assert!(objects.is_ok_and(|objects| !objects.is_empty()), "{name}");
    }
}
