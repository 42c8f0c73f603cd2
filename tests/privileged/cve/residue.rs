//! What a container, or an interrupted verb, would leave or inherit.

use std::fs;

use serde_json::json;

/// A key of the caller is seen neither by the container nor by what `exec` brings in.
/// Red without `Op::Keyring` in `Surroundings::joining`.
#[test]
fn residue_the_callers_session_keyring_stays_outside() {
    let Some((trial, bundle)) =
        trial!(residue_the_callers_session_keyring_stays_outside, "/keys", "look")
    else {
        return;
    };
    let keys = trial.tool("keys");
    fs::copy(&keys, trial.path("b/rootfs/keys")).expect("keys");
    let look = |verb: &[&str]| trial.oci_under(&keys, &["hold"], verb).ok();
    let gone = "Required key not available\n";
    assert_eq!(look(&["run", "--bundle", &bundle, "c"]), gone);
    assert_eq!(look(&["run", "--no-new-keyring", "--bundle", &bundle, "c"]), "found\n");
    trial.change(|config| config["process"]["args"] = json!(["sleep", "100"]));
    for (keep, expected) in [(&[][..], gone), (&["--no-new-keyring"], "found\n")] {
        let run = [&["run", "-d", "--bundle", &bundle], keep, &["c"]].concat();
        trial.oci(&run).ok();
        assert_eq!(look(&["exec", "c", "/keys", "look"]), expected);
        trial.oci(&["delete", "--force", "c"]).ok();
    }
}
