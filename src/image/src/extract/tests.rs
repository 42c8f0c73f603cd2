//! What an honest layer becomes: compared field by field, and with what GNU tar makes of it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use super::forge::{Forge, Head};
use super::hostile_tests::{Yard, unpack_into};

fn xattr(path: &Path, key: &str) -> Option<Vec<u8>> {
    let file = fs::File::open(path).unwrap();
    sys::dir::xattr_fd(&file, key.as_bytes()).unwrap()
}

#[test]
fn whiteouts_and_opaque_folders_become_overlayfs_marks() {
    let yard = Yard::new("whiteouts");
    let layer = Forge::default()
        .folder("d")
        .file("d/.wh.gone")
        .file("kept")
        .file(".wh.kept")
        .folder("o")
        .file("o/new")
        .file("o/.wh..wh..opq")
        .file(".wh.made")
        .folder("made")
        .end();
    yard.unpack(&layer, false).unwrap();
    let gone = fs::symlink_metadata(yard.root().join("d/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(yard.root().join("kept").is_file(), "a whiteout never hides its own layer's file");
    assert_eq!(xattr(&yard.root().join("o"), "trusted.overlay.opaque").unwrap(), b"y");
    assert!(yard.root().join("o/new").is_file());
    assert_eq!(xattr(&yard.root().join("made"), "trusted.overlay.opaque").unwrap(), b"y");
    // At the bottom there is nothing to hide.
    yard.unpack(&layer, true).unwrap();
    assert!(!yard.root().join("d/gone").exists());
    assert!(xattr(&yard.root().join("o"), "trusted.overlay.opaque").is_none());
}

#[test]
fn owners_modes_times_and_attributes_are_kept() {
    let yard = Yard::new("metadata");
    let owned = |name: &[u8], flag: u8, mode: u32| Head {
        mode,
        uid: b"\x80\0\0\0\0\x01\x86\xa0".to_vec(),
        gid: b"0000012\0".to_vec(),
        ..Head::new(name, flag)
    };
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let layer = Forge::default()
        .head(&owned(b"tmp/", b'5', 0o3777))
        .head(&owned(b"tmp/su", b'0', 0o6755))
        .pax(&[
            ("mtime", b"1234567890.125"),
            ("SCHILY.xattr.user.a", b"1"),
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"x"),
        ])
        .with(b"tmp/plain", b'0', b"text")
        .head(&owned(b"tmp/pipe", b'6', 0o4622))
        .node("null", b'3', (1, 3))
        .link("l", "anywhere")
        .end();
    yard.unpack(&layer, true).unwrap();
    let at = |name: &str| fs::symlink_metadata(yard.root().join(name)).unwrap();
    for (name, mode) in [("tmp", 0o3777), ("tmp/su", 0o6755), ("tmp/pipe", 0o4622)] {
        assert_eq!(at(name).mode() & 0o7777, mode, "{name}");
        assert_eq!((at(name).uid(), at(name).gid()), (100_000, 10), "{name}");
    }
    assert_eq!(at("tmp/plain").gid(), 0, "a set-gid folder does not pass its group on");
    assert_eq!(
        (at("tmp/plain").mtime(), at("tmp/plain").mtime_nsec()),
        (1_234_567_890, 125_000_000)
    );
    assert_eq!(at("tmp").mtime(), 1_000_000_000);
    assert_eq!(at("l").mtime(), 1_000_000_000);
    assert_eq!(at("null").rdev(), 0x103);
    let plain = yard.root().join("tmp/plain");
    assert_eq!(xattr(&plain, "user.a").unwrap(), b"1");
    assert_eq!(xattr(&plain, "security.capability").unwrap(), capability);
    assert!(xattr(&plain, "trusted.overlay.opaque").is_none());
}

#[test]
fn implied_folders_are_told_parents_first() {
    let yard = Yard::new("implied");
    let layer = Forge::default().file("a/b/c").folder("a").file("z/y/x").end();
    let done = yard.unpack(&layer, false).unwrap();
    assert_eq!(done.implied, [&b""[..], b"a/b", b"z", b"z/y"]);
    assert_eq!(done.entries, 3);
}

/// A tree with everything that file systems have.
const TREE: &str = r#"
mkdir -p t/sub/deep t/empty; cd t
printf text >sub/a; ln sub/a sub/deep/hard; ln -s ../a sub/deep/soft; ln -s /etc/passwd abs
mkfifo pipe; mknod null c 1 3; mknod disk b 7 200
truncate -s 40M sparse; printf mid | dd of=sparse bs=1 seek=20000000 conv=notrunc status=none
printf end | dd of=sparse bs=1 seek=41943037 conv=notrunc status=none
truncate -s 5M hole
long=$(printf 'n%.0s' $(seq 200)); mkdir -p $long; printf x >$long/$long
ln -s $long/$long/$long/$long longlink
chown 1234:567 sub/deep/soft sub/a; chmod 4711 sub/a; chmod 1777 empty; chmod 2755 sub
python3 -c 'import os
os.setxattr("sub/a", "user.note", b"value"); os.setxattr("sub", "user.dir", b"value")
os.setxattr("sub/a", "security.capability", bytes([1,0,0,2,0,32] + [0]*14))'
touch -d '1999-12-31 23:59:59.25' sub/deep/soft -h; touch -d '2001-02-03' sub
"#;

/// Every fact of a tree as text.
fn facts(folder: &Path) -> String {
    let script = r#"find . -printf '%P %y %m %U %G %s %l %n %T@\n' | sort
        find . -type f -exec sha256sum {} + | sort
        find . ! -type l -exec stat -c '%n %t:%T' {} + | sort
        python3 -c 'import os
for d, ds, fs in os.walk(".", topdown=True):
    ds.sort()
    for f in sorted(ds + fs + ["."]):
        p = os.path.join(d, f)
        print(p, [(x, os.getxattr(p, x, follow_symlinks=False))
                  for x in sorted(os.listxattr(p, follow_symlinks=False))])'"#;
    let out = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn run(folder: &Path, line: &str) {
    let out = Command::new("sh").args(["-ec", line]).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn trees_come_out_as_gnu_tar_makes_them() {
    let yard = Yard::new("gnu");
    let work = yard.0.join("work");
    fs::create_dir(&work).unwrap();
    run(&work, TREE);
    for (form, options) in [
        ("gnu", "--format=gnu --sparse"),
        ("pax", "--format=pax --xattrs --xattrs-include='*' --sparse"),
        ("pax 0.0", "--format=pax --sparse --sparse-version=0.0"),
        ("pax 0.1", "--format=pax --sparse --sparse-version=0.1"),
    ] {
        run(&work, &format!("tar -C t {options} -cf t.tar . && rm -rf want && mkdir want"));
        run(&work, "tar -C want --xattrs --xattrs-include='*' --numeric-owner -xpf t.tar");
        fs::remove_dir_all(yard.root()).unwrap();
        fs::create_dir(yard.root()).unwrap();
        unpack_into(&yard.root(), &fs::read(work.join("t.tar")).unwrap(), true).unwrap();
        // Folders' sizes and fractions that a form cannot hold are the file system's and tar's.
        assert_eq!(facts(&yard.root()), facts(&work.join("want")), "{form}");
        let blocks = fs::metadata(yard.root().join("sparse")).unwrap().blocks();
        assert!(blocks < 2000, "{form}: holes stay holes, {blocks} blocks");
    }
}
