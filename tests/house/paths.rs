//! Paths of a container are opened in one place, `child::target`: what looks one up by name
//! elsewhere can be led to the host by a link (CVE-2019-19921 and all that came after it).
//!
//! Read from the text of the sources. Each exception says what the path is instead.

use std::collections::BTreeMap;

use crate::{files, text};

/// System calls that take a path whose start is the working folder, or the process's root.
const PLAIN: &[&str] = &[
    "open",
    "creat",
    "mkdir",
    "mknod",
    "rmdir",
    "unlink",
    "rename",
    "link",
    "symlink",
    "readlink",
    "chown",
    "lchown",
    "chmod",
    "stat",
    "lstat",
    "access",
    "chdir",
    "chroot",
    "truncate",
    "mount",
    "umount2",
    "pivot_root",
    "execve",
    "swapon",
    "acct",
    "setxattr",
    "lsetxattr",
    "getxattr",
    "statfs",
    "utimensat",
    "name_to_handle_at",
    "inotify_add_watch",
    "quotactl",
    "uselib",
];
/// Those that take a folder first.
const AT: &[&str] = &[
    "openat",
    "openat2",
    "mkdirat",
    "mknodat",
    "unlinkat",
    "renameat",
    "renameat2",
    "linkat",
    "symlinkat",
    "readlinkat",
    "fchownat",
    "fchmodat",
    "fchmodat2",
    "newfstatat",
    "statx",
    "faccessat",
    "faccessat2",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "execveat",
    "fspick",
];

/// Calls by a name below an open folder, `*at` with no AT_FDCWD and no empty or own path.
const NAMES: &[(&str, &str)] = &[
    ("target.rs", "the one place: RESOLVE_IN_ROOT, or one component with O_NOFOLLOW or O_EXCL"),
    ("device.rs", "one component in the folder that `parent` opened; never followed"),
    (
        "mount.rs",
        "`clone_tree` and `clone_itself`, whose callers are counted where they say AT_FDCWD",
    ),
    ("copy.rs", "names that getdents64 has given, in a tree that nobody else has; never followed"),
];

/// file, call or `AT_FDCWD` given to a function, how often, and whose path it is.
const EXCEPTIONS: &[(&str, &str, usize, &str)] = &[
    ("device.rs", "AT_FDCWD", 3, "one name in the folder that `Enter` opened; the host's device"),
    ("device.rs", "umount2", 1, "`.`, the file system of devices by its handle"),
    ("device.rs", "chdir", 1, "`/`, away from that file system"),
    ("device.rs", "symlinkat", 1, "one name in the folder that `Enter` opened; never followed"),
    ("device.rs", "unlinkat", 1, "one name in the folder that `Enter` opened; never followed"),
    ("identity.rs", "chdir", 2, "the container's, after pivot_root; looked at afterwards"),
    ("identity.rs", "openat", 1, "/etc/passwd after pivot_root, regular files alone"),
    ("landlock.rs", "openat", 1, "the container's, after pivot_root, as a handle"),
    ("launch.rs", "newfstatat", 1, "the command, after pivot_root, as the user"),
    ("launch.rs", "faccessat", 1, "the command, after pivot_root, as the user"),
    ("launch.rs", "faccessat2", 1, "the command, after pivot_root, as the user"),
    ("launch.rs", "execve", 2, "the command, after pivot_root, as the user"),
    ("mount.rs", "AT_FDCWD", 3, "what is bound: the host's, before pivot_root"),
    ("mount.rs", "mkdirat", 2, "one name in the tmpfs that `Enter` opened by its handle"),
    ("mount.rs", "mount", 3, "`/` of the host; `.` in an opened folder; a name in that tmpfs"),
    ("mount.rs", "move_mount", 1, "one name in the tmpfs that `Enter` opened by its handle"),
    ("netns.rs", "openat", 1, "its own namespace's, with no container there yet"),
    ("pid1.rs", "mount", 1, "`/`, `/proc` and `.` in a namespace that has no container yet"),
    ("pid1.rs", "chdir", 1, "`/proc` and `/` in a namespace that has no container yet"),
    ("pid1.rs", "pivot_root", 1, "`.`, its own empty root"),
    ("pid1.rs", "umount2", 1, "`.`, the old root"),
    ("pid1.rs", "chroot", 1, "`.`, its own empty root"),
    ("procfs.rs", "openat", 1, "/proc, which must be the root of a procfs"),
    ("root.rs", "AT_FDCWD", 2, "the root's source, /dev/null: the host's, before pivot_root"),
    ("root.rs", "chdir", 4, "overlay's folder: the host's; `/`, once it is the container's"),
    ("root.rs", "chroot", 2, "`.`, the root by its handle"),
    ("root.rs", "mount", 5, "the host's: the root's place, its procfs; `.` in an opened folder"),
    ("root.rs", "openat", 1, "`/`, or the root's place, not followed: the host's"),
    ("root.rs", "pivot_root", 1, "`.`, the root by its handle"),
    (
        "root.rs",
        "umount2",
        2,
        "`.`, the old root by its handle; the host's procfs, before the root is moved",
    ),
    ("unmount.rs", "umount2", 1, "one name in the folder that `folder_of` opened; never followed"),
    ("visit.rs", "AT_FDCWD", 1, "sources of bind mounts: the host's, with no container there yet"),
    ("visit.rs", "openat", 1, "`/` and the kernel's procfs, with no container there yet"),
    ("visit.rs", "chroot", 1, "`.`, the caller's root in its copy"),
];

/// A call's name, and its arguments, wherever one is made by `syscall!` or `libc::syscall`.
fn calls(text: &str) -> Vec<(String, String)> {
    let code: String = text
        .lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join(" ");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("libc::SYS_") {
        let rest = &code[at + "libc::SYS_".len()..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let mut depth = 0;
        let arguments: String = rest[name.len()..]
            .chars()
            .take_while(|c| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth >= 0
            })
            .collect();
        found.push((name, arguments));
    }
    found
}

/// `AT_FDCWD` that is no argument of a system call: a function makes one of it.
fn passed_on(text: &str) -> usize {
    let of_calls: usize = calls(text).iter().map(|(_, a)| a.matches("AT_FDCWD").count()).sum();
    text.matches("libc::AT_FDCWD").count() - of_calls
}

#[test]
fn paths_of_a_container_are_opened_in_one_place() {
    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in files().iter().filter(|path| path.starts_with("src/child/src")) {
        let file = path.strip_prefix("src/child/src").expect("child").display().to_string();
        let text = text(path);
        let mut count = |what: &str, times: usize| {
            *found.entry((file.clone(), what.to_owned())).or_insert(0) += times;
        };
        count("AT_FDCWD", passed_on(&text));
        for (name, arguments) in calls(&text) {
            let by_name = AT.contains(&name.as_str());
            if PLAIN.contains(&name.as_str()) || by_name && arguments.contains("AT_FDCWD") {
                count(&name, 1);
            } else if by_name && !arguments.contains("c\"\"") && !arguments.contains("c\".\"") {
                let fine = NAMES.iter().any(|(module, _)| *module == file);
                if !fine {
                    wrong.push(format!("{file}: {name}({arguments}): open it by child::target"));
                }
            }
        }
    }
    for ((file, call), times) in &found {
        let allowed = EXCEPTIONS.iter().find(|(f, c, _, _)| f == file && c == call);
        let expected = allowed.map_or(0, |(_, _, times, _)| *times);
        if *times != expected {
            wrong.push(format!(
                "{file}: {call} by path, {times} times, not {expected}: open it by child::target, \
                 or say in tests/house/paths.rs whose path it is"
            ));
        }
    }
    for (file, call, times, _) in EXCEPTIONS {
        if *times > 0 && !found.contains_key(&((*file).to_owned(), (*call).to_owned())) {
            wrong.push(format!("{file}: no {call} by path any more: take the exception out"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Modules of the runtime that open files by path, and whose files those are.
const TOUCHING: &[(&str, &str)] = &[
    ("bundle.rs", "config.json of the bundle: the caller's"),
    ("cgroup.rs", "cgroup file systems of the host"),
    ("cgroup/", "cgroup file systems of the host"),
    ("around.rs", "the host's: its table of mounts, the folders above a root"),
    ("create.rs", "sockets of ours; the kernel's procfs"),
    ("exec.rs", "the kernel's procfs; cgroup folders"),
    ("handover.rs", "pid file and sockets of the caller"),
    ("hooks.rs", "the bundle's folder: the caller's"),
    ("hooks/session.rs", "files in memory, pipes"),
    ("idmaps.rs", "the kernel's procfs"),
    ("nodes.rs", "a file system of its own, by its handle"),
    ("trees.rs", "sources of bind mounts, as handles"),
    ("checkpoint.rs", "the images' folder; procfs; what is mounted in a container, as handles"),
    ("criu.rs", "criu's log, and where criu is"),
    ("restore.rs", "the images' folder; procfs; sources of bind mounts"),
    ("mounts.rs", "the kernel's procfs"),
    ("modules.rs", "what the kernel says of itself"),
    ("rdt.rs", "resctrl of the host"),
    ("rdt/usage.rs", "resctrl of the host"),
    ("readiness.rs", "a folder of the runtime's own, which the container may not change"),
    ("seccomp/cache.rs", "the runtime's own folder"),
    ("spawn.rs", "the kernel's procfs"),
    ("start.rs", "the runtime's own folder"),
    ("store.rs", "the runtime's own folder"),
    ("systemd.rs", "the kernel's procfs; the bus"),
    ("systemd/", "the bus"),
];
/// What looks a path up.
const LOOKS: &[&str] = &[
    "fs::",
    "File::",
    ".exists()",
    ".is_file()",
    ".is_dir()",
    ".metadata()",
    ".symlink_metadata()",
    ".read_link()",
    ".read_dir()",
    ".canonicalize()",
    "sys::tree::",
    "sys::kernel_file::",
    "sys::dir::",
    "UnixStream::",
    "UnixListener::",
];
/// What a path of the container's root comes from.
const ROOTS: &[&str] = &["rootfs", ".root()"];
/// Lines of those modules that speak of it, and what they do with it.
const SPEAKING: &[(&str, &str, &str)] = &[
    ("bundle.rs", "let root = spec.root().as_ref()", "compared as text with destinations"),
    ("checkpoint.rs", "asked.text(Field::Root, record.rootfs", "handed to criu"),
    ("restore.rs", "asked.text(Field::Root, making.record.rootfs", "handed to criu"),
    ("restore.rs", "draft.path(&making.record.rootfs)", "handed to the child"),
    ("create.rs", "pub rootfs: Rootfs,", "an option"),
    ("create.rs", "rootfs: &self.options.rootfs,", "handed to the plan"),
    ("create.rs", "revealing(&self.record.rootfs)", "below which no mount of the host's is"),
    ("create.rs", "mount_above(&self.record.rootfs)", "whose mounts the folders above it are"),
    ("store.rs", "pub(crate) rootfs: PathBuf,", "shown by `list`"),
    ("store.rs", "map_or(Path::new(\"rootfs\"), |root| root.path());", "shown by `list`"),
    ("store.rs", "rootfs: bundle.path.join(root),", "shown by `list`"),
];

/// The code of a file without comments, imports and its own tests.
fn code(text: &str) -> String {
    let before = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let plain = |line: &&str| {
        let line = line.trim_start();
        !line.starts_with("//") && !line.starts_with("use ") && !line.starts_with("pub use ")
    };
    before.lines().filter(plain).collect::<Vec<_>>().join("\n")
}

/// Whether one of the words is there, and is no part of a longer one.
fn has(text: &str, words: &[&str]) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    words.iter().any(|word| {
        text.match_indices(word).any(|(at, _)| {
            let begins = !word.starts_with(letter) || !text[..at].ends_with(letter);
            begins && (!word.ends_with(letter) || !text[at + word.len()..].starts_with(letter))
        })
    })
}

#[test]
fn the_runtime_opens_nothing_of_a_container() {
    let mut wrong = Vec::new();
    let mut touching = Vec::new();
    for path in files().iter().filter(|path| path.starts_with("src/runtime/src")) {
        let file = path.strip_prefix("src/runtime/src").expect("runtime").display().to_string();
        if file.ends_with("tests.rs") || file == "fuzz.rs" {
            continue;
        }
        let code = code(&text(path));
        if has(&code, LOOKS) {
            touching.push(file.clone());
            let listed = |entry: &&(&str, &str)| file == entry.0 || file.starts_with(entry.0);
            if !TOUCHING.iter().any(|entry| listed(&entry)) {
                wrong.push(format!("{file} looks paths up: say in tests/house/paths.rs whose"));
            }
        }
        let speaks = |line: &&str| has(&code, LOOKS) && has(line, ROOTS);
        for line in code.lines().filter(speaks) {
            let known = |(at, words, _): &(&str, &str, &str)| file == *at && line.contains(words);
            if !SPEAKING.iter().any(known) {
                wrong.push(format!("{file}: a path of the root is the child's: {}", line.trim()));
            }
        }
    }
    for (file, _) in TOUCHING {
        if !touching.iter().any(|touched| touched.starts_with(file)) {
            wrong.push(format!("{file} looks no path up any more: take it out"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
