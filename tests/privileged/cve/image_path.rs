//! Files of the image that the runtime reads: accounts.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

/// `/etc/passwd` is a fifo, a device, a folder, endless, or leads outside.
/// Red without O_NONBLOCK in `read_passwd` of
/// `src/child/src/identity.rs`.
#[test]
fn cve_2022_23648_2024_9676_accounts_are_read_from_files_alone() {
    let Some((trial, bundle)) = trial!(
        cve_2022_23648_2024_9676_accounts_are_read_from_files_alone,
        "sh",
        "-c",
        "echo $HOME"
    ) else {
        return;
    };
    let passwd = trial.path("b/rootfs/etc/passwd");
    let outside = trial.path("passwd");
    fs::write(&outside, "root:x:0:0::/outside:/bin/sh\n").expect("outside");
    let nodes = [("zero", 1, 5), ("random", 1, 8), ("tty", 5, 0)];
    for (name, major, minor) in nodes {
        let place = trial.path(&format!("b/rootfs/etc/{name}"));
        let (major, minor) = (format!("{major}"), format!("{minor}"));
        let made = Command::new("mknod").arg(place).args(["c", &major, &minor]).status();
        assert!(made.expect("mknod").success());
    }
    trial.change(|config| {
        let process = &mut config["process"];
        process["env"] = json!(["PATH=/bin"]);
    });
    let check = |what: &str, home: &str| {
        for verb in ["run", "exec"] {
            let begun = Instant::now();
            let done = match verb {
                "run" => trial.oci(&["run", "--bundle", &bundle, "c"]),
                _ => trial.oci(&["exec", "held", "sh", "-c", "echo $HOME"]),
            };
            assert_eq!(done.out, format!("{home}\n"), "{what}, {verb}: {done:?}");
            assert!(begun.elapsed() < Duration::from_secs(3), "{what}, {verb}");
        }
    };
    trial.change(|config| config["process"]["args"] = json!(["sleep", "100"]));
    trial.oci(&["run", "-d", "--bundle", &bundle, "held"]).ok();
    trial.change(|config| config["process"]["args"] = json!(["sh", "-c", "echo $HOME"]));
    fs::write(&passwd, "root:x:0:0::/root:/bin/sh\n").expect("passwd");
    check("a file", "/root");
    fs::remove_file(&passwd).expect("remove");
    let outside = outside.display().to_string();
    for link in ["/dev/zero", "zero", "random", "/dev/tty", "/proc/kmsg", "passwd", &outside] {
        symlink(link, &passwd).expect("symlink");
        check(link, "/");
        fs::remove_file(&passwd).expect("remove");
    }
    for make in ["mkfifo", "mkdir"] {
        assert!(Command::new(make).arg(&passwd).status().expect("make").success());
        check(make, "/");
        Command::new("rm").arg("-r").arg(&passwd).status().expect("rm");
    }
    File::create(&passwd).expect("passwd").set_len(10 << 30).expect("sparse");
    check("10 GiB of nothing", "/");
    fs::write(&passwd, format!("root:x:0:0::/{}:/bin/sh\n", "a".repeat(300))).expect("passwd");
    check("a home too long", "/");
    trial.oci(&["delete", "--force", "held"]).ok();
}
