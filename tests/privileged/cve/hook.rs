//! Programs of the image that the runtime starts.

use std::fs;

use serde_json::json;

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
