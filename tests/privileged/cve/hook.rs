//! Hooks: programs of the image that the runtime starts, and those of the host within its reach.

use std::fs;

use serde_json::{Value, json};

use crate::trial::Trial;

/// A startContainer hook is the image's own program: it has what the command has, and no more.
/// Red when `start` and `run` make it by `hooks::run`, as they do createContainer hooks.
#[test]
fn cve_2018_15664_2022_1227_hooks_of_the_image_have_no_more_rights() {
    let rights = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status; \
                  cat /proc/self/cgroup; readlink /proc/self/ns/*; ls /proc/self/fd | wc -l";
    let script = format!("({rights}) >/tmp/command; cmp /tmp/command /tmp/hook && echo same");
    let Some((trial, bundle)) = trial!(
        cve_2018_15664_2022_1227_hooks_of_the_image_have_no_more_rights,
        "sh",
        "-c",
        &script
    ) else {
        return;
    };
    let rootfs = trial.path("b/rootfs");
    for applet in ["cmp", "readlink"] {
        std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).expect("symlink");
    }
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(rootfs.join("tmp"), open).expect("chmod");
    trial.change(|config| {
        config["root"]["readonly"] = json!(false);
        config["process"]["user"] = json!({"uid": 1000, "gid": 1000, "additionalGids": [5]});
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]});
        config["hooks"] = json!({"startContainer": [{"path": "/bin/sh",
            "args": ["sh", "-c", format!("({rights}) >/tmp/hook")], "env": ["PATH=/bin"]}]});
    });
    assert_eq!(trial.oci(&["run", "--bundle", &bundle, "c"]).ok(), "same\n");
    fs::remove_file(rootfs.join("tmp/hook")).expect("the hook's");
    trial.oci(&["create", "--bundle", &bundle, "c"]).ok();
    trial.oci(&["start", "c"]).ok();
    trial.wait_for("the end", || trial.oci(&["state", "c"]).ok().contains("stopped"));
    let read = |name: &str| fs::read_to_string(rootfs.join("tmp").join(name)).expect("read");
    assert_eq!(read("command"), read("hook"));
    trial.oci(&["delete", "c"]).ok();
}

/// The environment and the folder of a host's program are none of the image's, which could have it
/// load a library.
/// Red when `hooks::program` takes the process's environment where a hook has none, or works in the
/// root.
#[test]
fn cve_2025_23266_hooks_of_the_host_have_nothing_of_the_image() {
    let Some((trial, bundle)) =
        trial!(cve_2025_23266_hooks_of_the_host_have_nothing_of_the_image, "true")
    else {
        return;
    };
    let image = ["PATH=/bin:/of/image", "LD_PRELOAD=./evil.so", "LD_LIBRARY_PATH=."];
    let said = trial.path("said");
    let script = format!("(env; echo at $(pwd)) >>{}", said.display());
    let hook = json!([{"path": "/bin/busybox", "args": ["sh", "-c", script]}]);
    trial.change(|config| {
        config["process"]["env"] = json!(image);
        config["hooks"] = json!({"prestart": hook, "createRuntime": hook, "createContainer": hook,
            "poststart": hook, "poststop": hook});
    });
    trial.oci(&["run", "--bundle", &bundle, "c"]).ok();
    let text = fs::read_to_string(said).expect("read");
    let found: Vec<&str> = text.lines().filter(|line| image.contains(line)).collect();
    assert_eq!(found, [""; 0]);
    let folders: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("at ")).collect();
    assert_eq!(folders, [bundle.as_str(); 5]);
}

/// Gives the trial's container a user namespace and its root.
fn with_users(trial: &Trial, config: &mut Value) {
    let maps = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
    config["linux"]["uidMappings"] = maps.clone();
    config["linux"]["gidMappings"] = maps;
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
    namespaces.push(json!({"type": "user"}));
    for folder in ["", "b", "b/rootfs"] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(trial.path(folder), open).expect("chmod");
    }
}

/// A createContainer hook in a user namespace has nothing of the host's root, of which the root of
/// the namespace could otherwise make use by ptrace(2).
/// Red without `Op::BecomeRoot` in `hooks::join`.
#[test]
fn a_hook_in_a_user_namespace_is_not_the_hosts_root() {
    let Some((trial, bundle)) = trial!(a_hook_in_a_user_namespace_is_not_the_hosts_root, "true")
    else {
        return;
    };
    let (secret, open) = (trial.path("secret"), trial.path("open"));
    fs::write(&secret, "secret").expect("write");
    fs::create_dir(&open).expect("mkdir");
    let mode = |path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, mode).expect("chmod");
    };
    mode(&secret, 0o600);
    mode(&open, 0o777);
    let (at, of) = (secret.display(), open.display());
    let script = format!("cat {at} >{of}/read; chmod 666 {at}; chown 100000 {at}; true");
    trial.change(|config| {
        with_users(&trial, config);
        config["hooks"] = json!({"createContainer":
            [{"path": "/bin/busybox", "args": ["sh", "-c", script]}]});
    });
    trial.oci(&["run", "--bundle", &bundle, "c"]).ok();
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(&secret).expect("stat");
    assert_eq!((found.mode() & 0o777, found.uid()), (0o600, 0));
    let made = fs::metadata(open.join("read")).expect("stat");
    assert_eq!((made.len(), made.uid(), made.gid()), (0, 100_000, 100_000));
}

/// Others in a PID namespace that a container joins could stop the process that is to be its hook,
/// or with CAP_SYS_PTRACE be the hook: a program of the host, which sees the host's files.
/// Red when `hooks::Inside::of` joins a PID namespace that the container has not made.
#[test]
fn nobody_gets_hold_of_a_hook_by_a_shared_pid_namespace() {
    let Some((trial, bundle)) =
        trial!(nobody_gets_hold_of_a_hook_by_a_shared_pid_namespace, "/hold", "/stop", "/result")
    else {
        return;
    };
    trial.change(|config| {
        for set in ["bounding", "effective", "permitted"] {
            let set = config["process"]["capabilities"][set].as_array_mut().expect("set");
            set.push(json!("CAP_SYS_PTRACE"));
        }
    });
    fs::copy(trial.tool("hold"), trial.path("b/rootfs/hold")).expect("tool");
    trial.change(|config| config["root"]["readonly"] = json!(false));
    trial.oci(&["run", "-d", "--bundle", &bundle, "attacker"]).ok();
    trial.join_pids_of("attacker");
    trial.change(|config| {
        config["process"]["args"] = json!(["true"]);
        let hook = json!({"path": "/bin/busybox", "args": ["sleep", "1"], "timeout": 5});
        config["hooks"] = json!({"createContainer": [hook]});
    });
    let result = || fs::read_to_string(trial.path("b/rootfs/result")).unwrap_or_default();
    trial.wait_for("the attacker", || result() == "looking\n");
    trial.oci(&["run", "--bundle", &bundle, "c"]).ok();
    fs::write(trial.path("b/rootfs/stop"), "").expect("stop");
    trial.wait_for("the attacker's end", || {
        trial.oci(&["state", "attacker"]).ok().contains("stopped")
    });
    let found = result();
    assert!(!found.contains("busybox") && !found.contains("sleep"), "{found}");
    trial.oci(&["delete", "attacker"]).ok();
}
