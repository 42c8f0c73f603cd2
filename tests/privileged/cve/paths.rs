//! Paths and values of the document that would reach beyond the container.

use serde_json::json;

/// Red when `clean` of `src/runtime/src/cgroup/layout.rs` lets `..` through, or validation a NUL, a
/// line break or a sysctl of the host.
#[test]
fn cve_2023_25809_2022_0811_paths_and_values_stay_within_their_bounds() {
    let Some((trial, bundle)) =
        trial!(cve_2023_25809_2022_0811_paths_and_values_stay_within_their_bounds, "true")
    else {
        return;
    };
    let before = trial.traces();
    for path in ["../c", "/../../c", "/a/../../c", "a/b\nc"] {
        trial.change(|config| config["linux"]["cgroupsPath"] = json!(path));
        assert_eq!(trial.oci(&["run", "--bundle", &bundle, "c"]).code, 1, "{path:?}");
    }
    trial.change(|config| config["linux"]["cgroupsPath"] = json!("/c"));
    for (key, value) in [
        ("kernel.core_pattern", "|/x"),
        ("kernel/core_pattern", "|/x"),
        ("net/../kernel/core_pattern", "|/x"),
        ("net.ipv4.ip_forward", "1\n0"),
        ("kernel.shm_rmid_forced+kernel.core_pattern", "1"),
    ] {
        trial.change(|config| config["linux"]["sysctl"] = json!({key: value}));
        assert_eq!(trial.oci(&["run", "--bundle", &bundle, "c"]).code, 1, "{key}={value:?}");
    }
    trial.clean(&before, "a refused document");
}
