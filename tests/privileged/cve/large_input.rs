//! Documents that are larger or deeper than any real one.

use std::fs::{self, File};
use std::path::Path;

/// 1 GiB of document, and a document of 16 MB that is all depth: an error within 64 MiB of memory.
/// Red when `src/runtime/src/bundle.rs` reads without its limit.
#[test]
fn cve_2022_31030_2023_25153_documents_are_read_within_bounds() {
    let Some((trial, bundle)) =
        trial!(cve_2022_31030_2023_25153_documents_are_read_within_bounds, "true")
    else {
        return;
    };
    let small = trial.path("small");
    fs::write(&small, "ulimit -v 65536\nexec timeout 10 \"$@\"\n").expect("script");
    let small = small.display().to_string();
    let run = |args: &[&str]| trial.oci_under(Path::new("/bin/sh"), &[&small], args);
    run(&["run", "--bundle", &bundle, "c"]).ok();
    let config = trial.path("b/config.json");
    let original = fs::read(&config).expect("config");
    File::create(&config).expect("config").set_len(1 << 30).expect("sparse");
    let done = run(&["run", "--bundle", &bundle, "c"]);
    assert!(done.code == 1 && done.err.contains("larger than"), "{done:?}");
    for open in ["[", "{\"a\":"] {
        fs::write(&config, open.repeat(15_000_000 / open.len())).expect("deep");
        let done = run(&["run", "--bundle", &bundle, "c"]);
        assert!(done.code == 1 && done.err.contains("config.json"), "{done:?}");
    }
    fs::write(&config, original).expect("config");
    run(&["create", "--bundle", &bundle, "c"]).ok();
    let process = trial.path("process.json");
    File::create(&process).expect("process").set_len(1 << 30).expect("sparse");
    let done = run(&["exec", "--process", process.to_str().expect("path"), "c"]);
    assert!(done.code == 255 && done.err.contains("process.json"), "{done:?}");
    trial.oci(&["delete", "--force", "c"]).ok();
}
