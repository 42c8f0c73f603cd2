//! Accounts of hostile images.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

struct Layers(scope::Folder);

impl Layers {
    fn new(name: &str) -> Layers {
        let path = scope::Folder::new(name);
        fs::create_dir_all(path.join("top/etc")).unwrap();
        fs::create_dir_all(path.join("low/etc")).unwrap();
        fs::write(
            path.join("low/etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/srv/web:/bin/sh\nbad:x:x:0::/:\n",
        )
        .unwrap();
        fs::write(path.join("low/etc/group"), "www:x:33:web,other\nweb:x:1001:web\nlog:x:4:web\n")
            .unwrap();
        Layers(path)
    }

    fn lower(&self) -> Vec<PathBuf> {
        vec![self.0.join("top"), self.0.join("low")]
    }
}

#[test]
fn names_and_numbers_are_resolved() {
    let layers = Layers::new("names");
    for (user, uid, gid, groups, home) in [
        ("", 0, 0, vec![], "/root"),
        ("root", 0, 0, vec![], "/root"),
        ("web", 1000, 1001, vec![4, 33], "/srv/web"),
        ("1000", 1000, 1001, vec![4, 33], "/srv/web"),
        ("web:www", 1000, 33, vec![], "/srv/web"),
        ("web:7", 1000, 7, vec![], "/srv/web"),
        ("4000", 4000, 0, vec![], "/"),
        ("4000:www", 4000, 33, vec![], "/"),
    ] {
        let found = lookup(&layers.lower(), user).unwrap();
        assert_eq!((found.uid, found.gid), (uid, gid), "{user}");
        assert_eq!((found.groups, found.home.as_str()), (groups, home), "{user}");
    }
}

#[test]
fn what_is_no_id_is_an_error_and_never_root() {
    let layers = Layers::new("ids");
    for user in [
        "nobody",
        "2147483648",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "-1",
        "+1",
        "web:",
        "web:none",
        "web:4294967296",
        "1000:-1",
        "a\nb",
        "bad",
    ] {
        assert!(lookup(&layers.lower(), user).is_err(), "{user:?}");
    }
}

#[test]
fn hostile_files_are_refused_in_time() {
    let layers = Layers::new("files");
    let passwd = layers.0.join("top/etc/passwd");
    let refused = |words: &str| {
        let error = lookup(&layers.lower(), "web").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        fs::remove_file(&passwd).unwrap();
    };
    let done = std::process::Command::new("mkfifo").arg(&passwd).status().unwrap();
    assert!(done.success());
    refused("no regular file");
    fs::File::create(&passwd).unwrap().set_len(10 << 30).unwrap();
    refused("over 1048576");
    symlink("/proc/self/environ", &passwd).unwrap();
    // In the image's root there is no such file: the layer below is asked.
    assert_eq!(lookup(&layers.lower(), "web").unwrap().uid, 1000);
    fs::remove_file(&passwd).unwrap();
    symlink("../../../../../../etc/passwd", &passwd).unwrap();
    refused("reading");
}

/// The first line is the user asked for, then passwd, a line `---`, and group.
pub(crate) fn accounts(text: &[u8]) {
    let layers = Layers::new("fuzz");
    let text = String::from_utf8_lossy(text);
    let (user, files) = text.split_once('\n').unwrap_or((&text, ""));
    let (passwd, group) = files.split_once("---\n").unwrap_or((files, ""));
    fs::write(layers.0.join("top/etc/passwd"), passwd).unwrap();
    fs::write(layers.0.join("top/etc/group"), group).unwrap();
    if let Ok(found) = lookup(&layers.lower(), user) {
        // A name never turns into a number of its own.
        let wanted = user.split(':').next().unwrap_or_default();
        let known = passwd.lines().any(|line| line.split(':').next() == Some(wanted));
        let numeric = wanted.bytes().all(|b| b.is_ascii_digit());
        assert!(known || numeric, "{user:?} is {}", found.uid);
    }
}
