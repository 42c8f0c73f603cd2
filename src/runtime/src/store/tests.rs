//! What a container's folder is called and who its process is.

use super::*;

#[test]
fn ids_are_names() {
    for good in ["a", "web.0", "A_b-c+d", "7"] {
        assert!(is_valid_id(good), "{good}");
    }
    for bad in ["", ".", "..", ".a", "a/b", "a b", "ä", "a\n", "seccomp"] {
        assert!(!is_valid_id(bad), "{bad:?}");
    }
}

#[test]
fn a_process_is_known_by_either_birth() {
    let record = |pid: u32, start_time: u64, inode: u64| {
        let text = format!(
            r#"{{"version": 1, "id": "c", "boot": "{}", "pid": {pid}, "start_time": {start_time},
                "pidfd_inode": {inode}, "bundle": "/b", "rootfs": "/b/rootfs",
                "created_unix_ns": 1, "uid": 0, "cgroup": "/c"}}"#,
            boot_id()
        );
        serde_json::from_str::<Record>(&text).expect("a record")
    };
    let me = std::process::id();
    let pid = me.cast_signed();
    // What is written before Linux 6.9, and was before this field.
    let started = sys::children::start_time(pid).expect("stat");
    assert!(record(me, started, 0).process().is_some());
    assert!(record(me, started + 1, 0).process().is_none());
    let mut own = record(0, 0, 0);
    assert!(own.process().is_none());
    own.begins_with(pid).expect("it lives");
    assert!(own.process().is_some());
    if own.pidfd_inode != 0 {
        assert!(record(me, 0, own.pidfd_inode).process().is_some());
        assert!(record(me, 0, own.pidfd_inode + 1).process().is_none());
    }
}
