//! Who may read or change what is kept of a container.

use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Whatever the caller's umask, nobody else may change what is kept of a container.
/// Red when `Claim::write` leaves the mode to the umask.
#[test]
fn cve_2021_41103_2024_25621_state_is_for_its_owner_alone() {
    let Some((trial, bundle)) =
        trial!(cve_2021_41103_2024_25621_state_is_for_its_owner_alone, "sleep", "100")
    else {
        return;
    };
    let open = trial.path("open");
    fs::write(&open, "umask 000\nexec \"$@\"\n").expect("script");
    let open = open.display().to_string();
    let create = ["create", "--bundle", &bundle, "c"];
    trial.oci_under(std::path::Path::new("/bin/sh"), &[&open], &create).ok();
    for (file, mode) in [("state", 0o700), ("state/c", 0o711), ("state/c/state", 0o600)] {
        let found = fs::metadata(trial.path(file)).expect("metadata").permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    trial.oci(&["delete", "--force", "c"]).ok();
}
