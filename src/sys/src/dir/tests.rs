//! The refusals of `dir`: links, escapes, names that are no names.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use scope::Folder;

use super::*;

fn errno<T: std::fmt::Debug>(result: Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

#[test]
fn nothing_below_a_link_or_outside_is_opened() {
    let folder = Folder::new("beneath");
    fs::create_dir(folder.join("in")).unwrap();
    symlink("/etc", folder.join("abs")).unwrap();
    symlink("in", folder.join("rel")).unwrap();
    let root = open_root(&folder).unwrap();
    assert!(open_folder(&root, b"in").is_ok());
    assert!(open_folder(&root, b"").is_ok());
    assert_eq!(errno(open_folder(&root, b"abs")), libc::ENOTDIR);
    assert_eq!(errno(open_folder(&root, b"rel")), libc::ENOTDIR);
    assert_eq!(errno(open_folder(&root, b"rel/x")), libc::ELOOP);
    assert_eq!(errno(open_beneath(&root, b"abs/passwd")), libc::ELOOP);
    assert_eq!(errno(open_folder(&root, b"in/../..")), libc::EXDEV);
    assert_eq!(errno(open_folder(&root, b"/etc")), libc::EXDEV);
}

#[test]
fn a_name_is_one_component() {
    let folder = Folder::new("names");
    let root = open_root(&folder).unwrap();
    for name in [b"".as_slice(), b".", b"..", b"a/b", b"/a"] {
        assert_eq!(errno(create_file(&root, name, 0o600)), libc::EINVAL, "{name:?}");
        assert_eq!(errno(make_folder(&root, name, 0o700)), libc::EINVAL, "{name:?}");
        assert_eq!(errno(remove_file(&root, name)), libc::EINVAL, "{name:?}");
    }
    symlink("/nowhere", folder.join("taken")).unwrap();
    assert_eq!(errno(create_file(&root, b"taken", 0o600)), libc::EEXIST);
}

#[test]
fn the_umask_is_the_threads_own() {
    let folder = Folder::new("umask");
    let root = open_root(&folder).unwrap();
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            private_umask().unwrap();
            create_file(&root, b"open", 0o666).unwrap();
        });
    });
    create_file(&root, b"masked", 0o666).unwrap();
    assert_eq!(mode("open") & MODE_MASK, 0o666);
    assert_eq!(mode("masked") & 0o022, 0, "the tests run under the usual umask 022");
}

#[test]
fn device_numbers_are_checked() {
    let folder = Folder::new("devices");
    let root = open_root(&folder).unwrap();
    let wild = Node::Char { major: 1 << 12, minor: 0 };
    assert_eq!(errno(make_node(&root, b"wild", wild, 0o600)), libc::EINVAL);
    make_node(&root, b"pipe", Node::Fifo, 0o600).unwrap();
    assert_eq!(kind(&root, b"pipe").unwrap(), Kind::Other);
}

/// Red where `resolved` does not try again: the kernel refuses a walk over `..` during which
/// anything was renamed anywhere (openat2(2), EAGAIN).
#[test]
fn renames_elsewhere_disturb_no_walk() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (folder, other) = (Folder::new("walk"), Folder::new("renamed"));
    fs::create_dir(folder.join("a")).unwrap();
    let root = open_root(&folder).unwrap();
    let path = "a/../".repeat(400);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let (one, two) = (other.join("one"), other.join("two"));
            fs::create_dir(&one).unwrap();
            while !done.load(Ordering::Relaxed) {
                fs::rename(&one, &two).unwrap();
                fs::rename(&two, &one).unwrap();
            }
        });
        let walks = (0..3000).map(|_| {
            find_in_root(&root, path.as_bytes()).and(open_in_root(&root, path.as_bytes()))
        });
        let failed = walks.filter(|walk| walk.is_err()).count();
        done.store(true, Ordering::Relaxed);
        assert_eq!(failed, 0);
    });
}
