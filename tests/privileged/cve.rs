//! Attacks that worked on other runtimes, one test a class, named after its CVEs. Each says how to
//! see it red.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use crate::trial::Trial;

fn trial(test: &str, args: &[&str]) -> Option<(Trial, String)> {
    let trial = Trial::new(scope::enter(test)?, args);
    let bundle = trial.path("b").display().to_string();
    Some((trial, bundle))
}

/// A process of the container, root with CAP_SYS_PTRACE, takes hold of the runtime's program while
/// `exec` comes in, and writes to it as soon as nobody executes it any more.
/// Red without `sys::seal::own_program` in `src/oci-cli/src/main.rs`.
#[test]
fn cve_2019_5736_the_own_program_is_not_overwritten() {
    let name = "cve::cve_2019_5736_the_own_program_is_not_overwritten";
    let Some((trial, bundle)) = trial(name, &["/grab", "/result"]) else { return };
    let trial = trial.with_own_copy();
    let original = fs::read(trial.program()).expect("program");
    fs::copy(trial.tool("grab"), trial.path("b/rootfs/grab")).expect("grab");
    let script = trial.path("b/rootfs/script");
    fs::write(&script, "#!/proc/self/exe\n").expect("script");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("chmod");
    trial.change(|config| {
        config["root"]["readonly"] = json!(false);
        let all = json!(["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = all.clone();
        }
    });
    let result = trial.path("b/rootfs/result");
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    for command in ["/script", "/proc/self/exe", "/bin/true"].iter().cycle().take(150) {
        if result.exists() {
            break;
        }
        trial.oci(&["exec", "c", command]);
    }
    trial.wait_for("the attacker's result", || {
        fs::read_to_string(&result).is_ok_and(|text| !text.is_empty())
    });
    let text = fs::read_to_string(&result).expect("result");
    assert!(fs::read(trial.program()).expect("program") == original, "the program has changed");
    assert_eq!(text, "Read-only file system");
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// Red without `Op::CloseFrom`, or without the look at the working folder in `Op::ChdirAgain`.
#[test]
fn cve_2024_21626_no_descriptor_of_the_caller_comes_in() {
    let name = "cve::cve_2024_21626_no_descriptor_of_the_caller_comes_in";
    let Some((trial, bundle)) = trial(name, &["ls", "/proc/self/fd"]) else { return };
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

/// Every place that is mounted on, made a link to outside, a file or a fifo: nothing of the host
/// changes. Red with a look-up by name in `child::target::open_in` (without RESOLVE_IN_ROOT).
#[test]
fn cve_2019_19921_2021_30465_2023_27561_targets_are_looked_up_in_the_root() {
    let name = "cve::cve_2019_19921_2021_30465_2023_27561_targets_are_looked_up_in_the_root";
    let Some((trial, bundle)) = trial(name, &["true"]) else { return };
    let canary = trial.path("canary");
    fs::create_dir(&canary).expect("canary");
    let rootfs = trial.path("b/rootfs");
    let before = trial.traces();
    let outside = canary.display().to_string();
    let climbing = format!("../../../../../..{outside}");
    for target in ["proc", "sys", "dev", "volume", "deep/volume"] {
        trial.change(|config| {
            config["mounts"].as_array_mut().expect("mounts").push(json!({"type": "bind",
                "source": rootfs.join("etc"), "destination": format!("/{target}/new/folder"),
                "options": ["bind"]}));
        });
        for link in [outside.as_str(), &climbing, "/", "/proc/1/root", "/proc/self/cwd"] {
            let place = rootfs.join(target);
            fs::create_dir_all(place.parent().expect("parent")).expect("mkdir");
            let _ = fs::remove_dir(&place);
            symlink(link, &place).expect("symlink");
            trial.oci(&["run", "--bundle", &bundle, "c"]);
            trial.oci(&["delete", "--force", "c"]).ok();
            trial.clean(&before, &format!("{target} -> {link}"));
            assert_eq!(fs::read_dir(&canary).expect("canary").count(), 0, "{target} -> {link}");
            fs::remove_file(&place).expect("remove");
        }
        for make in ["mkfifo", "touch"] {
            let place = rootfs.join(target);
            assert!(std::process::Command::new(make).arg(&place).status().expect("make").success());
            assert_ne!(trial.oci(&["run", "--bundle", &bundle, "c"]).code, 0, "{make} {target}");
            trial.clean(&before, make);
            fs::remove_file(&place).expect("remove");
        }
        fs::create_dir_all(rootfs.join(target)).expect("mkdir");
        trial.change(|config| drop(config["mounts"].as_array_mut().expect("mounts").pop()));
    }
}

/// Red when `Op::Capabilities` keeps inheritable ones, `Op::Identity` keeps groups, or 4294967295
/// is taken for an id.
#[test]
fn cve_2022_29162_2024_40635_credentials_are_those_asked_for() {
    let name = "cve::cve_2022_29162_2024_40635_credentials_are_those_asked_for";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
    for user in [json!({"uid": 4_294_967_295_u32, "gid": 0}), json!({"uid": 0, "gid": -1})] {
        trial.change(|config| config["process"]["user"] = user);
        assert_eq!(trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).code, 1);
    }
    trial.change(|config| config["process"]["user"] = json!({"uid": 0, "gid": 0}));
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let status = |more: &[&str]| {
        let words = [&["exec"], more, &["c", "grep", "-E", "^(Groups|CapInh|CapAmb)"]].concat();
        trial.oci(&[&words[..], &["/proc/self/status"]].concat()).ok()
    };
    for more in [&[][..], &["--user", "1000:1000"], &["--cap", "CAP_NET_RAW"]] {
        let words: Vec<String> = status(more).split_whitespace().map(str::to_owned).collect();
        let none = "0000000000000000";
        assert_eq!(words, ["Groups:", "CapInh:", none, "CapAmb:", none], "{more:?}");
    }
    for user in ["4294967295", "4294967296", "-1", "0:4294967295", "root"] {
        assert_eq!(trial.oci(&["exec", "--user", user, "c", "true"]).code, 255, "{user}");
    }
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// Red when `clean` of `src/runtime/src/cgroup/layout.rs` lets `..` through, or validation a NUL, a
/// line break or a sysctl of the host.
#[test]
fn cve_2023_25809_2022_0811_paths_and_values_stay_within_their_bounds() {
    let name = "cve::cve_2023_25809_2022_0811_paths_and_values_stay_within_their_bounds";
    let Some((trial, bundle)) = trial(name, &["true"]) else { return };
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

/// A key of the caller is seen neither by the container nor by what `exec` brings in.
/// Red without `Op::Keyring` in `Surroundings::joining`.
#[test]
fn residue_the_callers_session_keyring_stays_outside() {
    let name = "cve::residue_the_callers_session_keyring_stays_outside";
    let Some((trial, bundle)) = trial(name, &["/keys", "look"]) else { return };
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

/// Whatever the caller's umask, nobody else may change what is kept of a container.
/// Red when `Claim::write` leaves the mode to the umask.
#[test]
fn cve_2021_41103_2024_25621_state_is_for_its_owner_alone() {
    let name = "cve::cve_2021_41103_2024_25621_state_is_for_its_owner_alone";
    let Some((trial, bundle)) = trial(name, &["sleep", "100"]) else { return };
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
