//! Who an image says that it runs as, on the way through `podvisor run`.

use std::fs;
use std::process::Command;

use crate::trial::Trial;

/// An image of busybox with these lines in its accounts.
fn with_accounts(trial: &Trial, passwd: &str, group: &str) {
    let tree = trial.path("tree");
    fs::create_dir_all(tree.join("etc")).expect("mkdir");
    fs::create_dir_all(tree.join("bin")).expect("mkdir");
    fs::copy("/bin/busybox", tree.join("bin/busybox")).expect("busybox");
    for applet in ["sh", "id", "grep"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).expect("symlink");
    }
    fs::write(tree.join("etc/passwd"), passwd).expect("passwd");
    fs::write(tree.join("etc/group"), group).expect("group");
    let tar = trial.path("tree.tar");
    let mut pack = Command::new("tar");
    pack.arg("-C").arg(&tree).args(["--owner=0", "--group=0", "-cf"]).arg(&tar).arg(".");
    assert!(pack.status().expect("tar").success());
    trial.podvisor(&["import", tar.to_str().expect("path"), "users:1"]).ok();
}

/// Names that are numbers, and numbers that are none: neither is root by an entry of the image.
/// Red when `number` of `src/image/src/user.rs` takes what does not fit for a name.
#[test]
fn cve_2016_3697_2024_40635_2026_46680_a_number_is_no_name() {
    let name = "cve::image_user::cve_2016_3697_2024_40635_2026_46680_a_number_is_no_name";
    let Some(scope) = scope::enter(name) else { return };
    let trial = Trial::new(scope, &["true"]);
    let wrong = ["4294967296", "4294967295", "18446744073709551616", "-1", "+0", "0x0"];
    let passwd: String =
        ["1000"].iter().chain(&wrong).map(|n| format!("{n}:x:0:0::/:/bin/sh\n")).collect();
    with_accounts(&trial, &format!("root:x:0:0::/:/bin/sh\n{passwd}"), "root:x:0:\n1000:x:0:\n");
    let id = |user: &str| trial.podvisor(&["run", "--rm", "--user", user, "users:1", "id", "-u"]);
    assert_eq!(id("1000").ok(), "1000\n");
    for user in &wrong[..3] {
        let done = id(user);
        assert!(done.code != 0 && done.out != "0\n", "{user}: {done:?}");
    }
    let group = ["run", "--rm", "--user", "1000:1000", "users:1", "id", "-g"];
    assert_eq!(trial.podvisor(&group).ok(), "1000\n");
    trial.podvisor(&["rmi", "--force", "users:1"]).ok();
}

/// Further groups are the image's, the primary one among them, and none is the caller's.
/// Red when `identity` of `src/supervisor/src/bundle/process.rs` leaves further groups out.
#[test]
fn cve_2022_36109_2023_25173_groups_are_those_of_the_image() {
    let name = "cve::image_user::cve_2022_36109_2023_25173_groups_are_those_of_the_image";
    let Some(scope) = scope::enter(name) else { return };
    let trial = Trial::new(scope, &["true"]);
    with_accounts(
        &trial,
        "root:x:0:0::/:/bin/sh\nweb:x:1000:1001::/:/bin/sh\n",
        "root:x:0:\nweb:x:1001:\nkept:x:50:\ndenied:x:60:web\n",
    );
    let groups =
        ["run", "--rm", "--user", "web", "users:1", "grep", "^Groups:", "/proc/self/status"];
    let done = trial.podvisor_under("/usr/bin/setpriv".as_ref(), &["--groups", "5,6"], &groups);
    let words: Vec<String> = done.ok().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["Groups:", "60", "1001"]);
    trial.podvisor(&["rmi", "--force", "users:1"]).ok();
}

/// Nothing is inheritable or ambient, for root and for others.
/// Red when `process` of `src/supervisor/src/bundle/process.rs` lists `inheritable`, too.
#[test]
fn cve_2022_24769_2022_27649_2022_27650_nothing_is_inheritable() {
    let name = "cve::image_user::cve_2022_24769_2022_27649_2022_27650_nothing_is_inheritable";
    let Some(scope) = scope::enter(name) else { return };
    let trial = Trial::new(scope, &["true"]);
    with_accounts(&trial, "root:x:0:0::/:/bin/sh\n", "root:x:0:\n");
    let look = ["grep", "-E", "^Cap(Inh|Amb):", "/proc/self/status"];
    for more in [&[][..], &["--user", "1000"]] {
        let words = [&["run", "--rm"], more, &["users:1"], &look].concat();
        let out = trial.podvisor(&words).ok();
        let sets: Vec<&str> = out.split_whitespace().filter(|w| !w.ends_with(':')).collect();
        assert_eq!(sets, ["0000000000000000"; 2], "{more:?}");
    }
    trial.podvisor(&["rmi", "--force", "users:1"]).ok();
}
