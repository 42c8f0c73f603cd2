//! Descriptors of the caller that come into a container.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

/// Red without `Op::CloseFrom`, or without the look of `inside` in `src/child/src/identity.rs`:
/// stdin is not closed, and may be a folder.
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
    let folder = trial.path("folder");
    fs::write(&folder, "exec \"$@\" </\n").expect("script");
    let folder = folder.display().to_string();
    for cwd in ["/proc/self/fd/0", "/proc/self/fd/0/tmp", "/dev/stdin"] {
        trial.change(|config| config["process"]["cwd"] = json!(cwd));
        let done = trial.oci_under(sh, &[&folder], &["run", "--bundle", &bundle, "c"]);
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
    let words = ["exec", "--cwd", "/proc/self/fd/0", "c", "ls"];
    assert_eq!(trial.oci_under(sh, &[&folder], &words).code, 255);
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// A folder of the host on each of the first descriptors: none is a working folder, of `run` or of
/// `exec`, by its own path, by one beneath it or by a link.
/// Red without both `Op::CloseFrom` and the look of `inside` in `src/child/src/identity.rs`: one of
/// them is enough.
#[test]
fn cve_2024_21626_no_descriptor_is_a_working_folder() {
    let Some((trial, bundle)) =
        trial!(cve_2024_21626_no_descriptor_is_a_working_folder, "sleep", "100")
    else {
        return;
    };
    let leak = trial.tool("leak");
    let leaky = |args: &[&str]| trial.oci_under(&leak, &["64"], args);
    let cwds = |fd: u32| {
        let link = format!("/links/{fd}");
        [format!("/proc/self/fd/{fd}"), format!("/proc/self/fd/{fd}/tmp"), link]
    };
    let links = trial.path("b/rootfs/links");
    fs::create_dir(&links).expect("mkdir");
    for fd in 3..=64 {
        symlink(format!("/proc/self/fd/{fd}"), links.join(fd.to_string())).expect("symlink");
    }
    for cwd in (3..=64).flat_map(cwds) {
        trial.change(|config| config["process"]["cwd"] = json!(cwd));
        let done = leaky(&["run", "--bundle", &bundle, "c"]);
        assert_eq!(done.code, 1, "{cwd}: {done:?}");
    }
    trial.change(|config| config["process"]["cwd"] = json!("/"));
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    for cwd in (3..=64).flat_map(cwds) {
        let done = leaky(&["exec", "--cwd", &cwd, "c", "ls"]);
        assert_eq!(done.code, 255, "{cwd}: {done:?}");
    }
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// The caller leaks all that it may have: neither who waits for `start`, nor the command, nor what
/// `exec` brings in has any of it, and none of them is a way to the host.
/// Red without `Op::CloseFrom`.
#[test]
fn cve_2016_9962_2024_21626_a_thousand_descriptors_stay_outside() {
    let Some((trial, bundle)) =
        trial!(cve_2016_9962_2024_21626_a_thousand_descriptors_stay_outside, "sleep", "100")
    else {
        return;
    };
    let leak = trial.tool("leak");
    let leaky = |args: &[&str]| trial.oci_under(&leak, &["900"], args);
    let pid = || {
        let state: serde_json::Value =
            serde_json::from_str(&trial.oci(&["state", "c"]).ok()).expect("JSON");
        state["pid"].to_string()
    };
    let open = |pid: &str| -> Vec<String> {
        let all = fs::read_dir(format!("/proc/{pid}/fd")).expect("fd").flatten();
        let links =
            all.filter(|fd| fd.file_name().to_string_lossy().parse::<u32>().is_ok_and(|n| n > 2));
        links.map(|fd| fs::read_link(fd.path()).expect("link").display().to_string()).collect()
    };
    leaky(&["create", "--bundle", &bundle, "c"]).ok();
    let waiting = open(&pid());
    assert!(waiting.iter().all(|link| link.starts_with("socket:")), "{waiting:?}");
    trial.oci(&["start", "c"]).ok();
    let comm = format!("/proc/{}/comm", pid());
    trial.wait_for("the command", || fs::read_to_string(&comm).is_ok_and(|c| c == "sleep\n"));
    assert_eq!(open(&pid()), Vec::<String>::new());
    for fd in [3, 4, 5, 6, 7, 8, 100, 899, 900] {
        let cwd = format!("/proc/self/fd/{fd}");
        let done = leaky(&["exec", "--cwd", &cwd, "c", "ls"]);
        assert_eq!(done.code, 255, "{cwd}: {done:?}");
        let command = format!("{cwd}/bin/busybox");
        let done = leaky(&["exec", "c", &command, "true"]);
        assert_ne!(done.code, 0, "{command}");
    }
    let listed = leaky(&["exec", "c", "ls", "/proc/self/fd"]).ok();
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    trial.oci(&["delete", "--force", "c"]).ok();
}
