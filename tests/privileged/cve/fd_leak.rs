//! Descriptors of the caller that come into a container.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

/// Red without `Op::CloseFrom`, or without the look at the working folder in `Op::ChdirAgain`.
#[test]
fn cve_2024_21626_no_descriptor_of_the_caller_comes_in() {
    let Some((trial, bundle)) =
        trial!(cve_2024_21626_no_descriptor_of_the_caller_comes_in, "ls", "/proc/self/fd")
    else {
        return;
    };
    let leaky = trial.path("leaky");
    fs::write(&leaky, "for n in 3 4 5 6 7 8 9; do eval \"exec $n</\"; done\nexec \"$@\"\n")
        .expect("script");
    let leaky = leaky.display().to_string();
    let sh = std::path::Path::new("/bin/sh");
    let done = trial.oci_under(sh, &[&leaky], &["run", "--bundle", &bundle, "c"]);
    // The fourth is that of ls itself.
    assert_eq!(done.ok().split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    symlink("/proc/self/fd/7", trial.path("b/rootfs/link")).expect("symlink");
    for cwd in ["/proc/self/fd/7", "/proc/self/fd/9/tmp", "/link"] {
        trial.change(|config| config["process"]["cwd"] = json!(cwd));
        let done = trial.oci_under(sh, &[&leaky], &["run", "--bundle", &bundle, "c"]);
        assert_eq!(done.code, 1, "{cwd}: {done:?}");
    }
    trial.change(|config| {
        config["process"]["cwd"] = json!("/");
        config["process"]["args"] = json!(["sleep", "100"]);
    });
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let exec = |args: &[&str]| {
        let words = [&["exec"], args].concat();
        trial.oci_under(sh, &[&leaky], &words)
    };
    let listed = exec(&["c", "ls", "/proc/self/fd"]).ok();
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    assert_eq!(exec(&["--cwd", "/proc/self/fd/7", "c", "ls"]).code, 255);
    trial.oci(&["delete", "--force", "c"]).ok();
}
