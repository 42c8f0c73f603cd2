//! A container that shares the root file system of others exchanges what they are mounted on, by
//! renames, while they are made: whatever it hits, nothing of the host changes, nothing of it comes
//! in, and what is to be hidden is hidden.
//!
//! PODVISOR_RACE_ROUNDS is how many containers are made for each target (30); `make race` makes
//! 20,000. The others may fail to start; they never hang.
//!
//! See it red, by what is taken out: `IN_ROOT` of `open_in` in `src/child/src/target.rs` for every
//! target that is made or mounted on; there O_EXCL and O_NOFOLLOW of `make_file`; `make_file` of
//! `bind_console`; `Keep::Always` of `keep` in `src/runtime/src/plan/mounts.rs` for what is masked
//! or read-only below /proc; the single look-up of `copy_up` in `src/child/src/copy.rs`, and the
//! O_NOFOLLOW of `copy_file` and OPEN_FOLDER there for what is copied; the handle of `make_node` in
//! `src/child/src/device.rs` for the owned device; `inside` of `src/child/src/identity.rs` for the
//! working folder of exec, O_NONBLOCK of `read_passwd` there for the accounts; `is_same` of
//! `src/child/src/root.rs` for the root; NO_XDEV of `open_beneath` for the sysctl; NO_SYMLINKS of
//! `open_in` and UMOUNT_NOFOLLOW of `src/child/src/unmount.rs` for a container that lives.

mod joined;
mod live;
mod round;

use serde_json::{Value, json};

use round::race;

/// What is exchanged, and how the container is made that is mounted there.
struct Scenario {
    /// A path of the bundle: a folder when it ends with a slash, else a file.
    target: &'static str,
    /// What takes its place, each in turn.
    partners: &'static [Partner],
    change: fn(&mut Value),
    /// What its shell runs, if there is anything to see; it says WRONG when that should not be.
    script: &'static str,
    kind: Kind,
}

/// What takes the place of a target.
enum Partner {
    /// A link; `/CANARY` is a folder of the host.
    Link(&'static str),
    /// The same, that comes and goes by itself: what is made in its place meanwhile is gone.
    Over(&'static str),
    /// A folder, empty where the target has one file.
    Folder,
    Fifo,
}

/// What a round is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A container without cgroups.
    Plain,
    /// One with.
    Cgroups,
    /// One with a terminal.
    Terminal,
    /// One more process in /work of a container; its input is the host's root.
    Exec,
    /// A mount that comes to a container, and goes: its destination.
    Live(&'static str),
}

/// Links to what is there on the host and to what is not.
const FOLDERS: &[Partner] = &[
    Partner::Link("/CANARY/folder"),
    Partner::Link("/CANARY/new/deep"),
    Partner::Link("../../../../../../../../../../../../CANARY/other"),
    Partner::Link("/proc/1/root/CANARY/folder"),
];
const FILES: &[Partner] = &[
    Partner::Link("/CANARY/file"),
    Partner::Link("/CANARY/new/deep"),
    Partner::Link("../../../../../../../../../../../../CANARY/other"),
    Partner::Link("/proc/1/root/CANARY/file"),
];

/// What a mount that comes late must not be led to, and what it may be on.
const LATE: &[Partner] = &[
    Partner::Link("/proc"),
    Partner::Link("/tmp"),
    Partner::Link("/CANARY/folder"),
    Partner::Link("/proc/1/root/CANARY/folder"),
    Partner::Folder,
];

/// A scenario of links to the host.
const fn links(target: &'static str, change: fn(&mut Value)) -> Scenario {
    let folder = matches!(target.as_bytes(), [.., b'/']);
    let partners = if folder { FOLDERS } else { FILES };
    Scenario { target, partners, change, script: "", kind: Kind::Plain }
}

fn add(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().expect("mounts").push(mount);
}

/// The image's own /dev: what is mounted on in it can be exchanged.
fn own_dev(config: &mut Value) {
    let below = |mount: &Value| mount["destination"].as_str() == Some("/dev");
    config["mounts"].as_array_mut().expect("mounts").retain(|mount| !below(mount));
}

/// A user namespace, with the others that what is mounted in it needs.
fn user_namespace(config: &mut Value) {
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65_536}]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
    namespaces.extend(["user", "network", "ipc"].map(|kind| json!({"type": kind})));
}

/// In the caller's mount namespace: its root is built apart and mounted nowhere.
fn no_mount_namespace(config: &mut Value) {
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
    namespaces.retain(|namespace| namespace["type"] != "mount");
}

fn lives(config: &mut Value) {
    config["process"]["args"] = json!(["sleep", "100000"]);
}

fn copying_tmpfs(config: &mut Value) {
    add(
        config,
        json!({"type": "tmpfs", "source": "tmpfs", "destination": "/scratch",
            "options": ["tmpcopyup"]}),
    );
}

fn owned_node(config: &mut Value, path: &str) {
    config["linux"]["devices"] = json!([{"type": "c", "path": path, "major": 1, "minor": 5,
        "uid": 1000, "gid": 1000}]);
}

/// A test of one scenario.
macro_rules! race {
    ($($(#[$doc:meta])* $test:ident: $scenario:expr;)*) => { $(
        $(#[$doc])*
        #[test]
        fn $test() {
            race(concat!("race::", stringify!($test)), $scenario);
        }
    )* };
}

race! {
    proc: links("rootfs/proc/", |_| {});
    sys: links("rootfs/sys/", |_| {});
    dev: links("rootfs/dev/", |_| {});
    dev_of_the_image: links("rootfs/dev/", own_dev);
    dev_pts: links("rootfs/dev/pts/", own_dev);
    dev_mqueue: links("rootfs/dev/mqueue/", own_dev);
    default_device: links("rootfs/dev/null", own_dev);
    bind_on_a_folder: links("rootfs/volume/", |config| add(config, json!({"type": "bind",
        "source": "/etc", "destination": "/volume", "options": ["bind", "ro"]})));
    bind_on_a_file: links("rootfs/etc/file", |config| add(config, json!({"type": "bind",
        "source": "/etc/hostname", "destination": "/etc/file", "options": ["bind"]})));
    bind_below: links("rootfs/deep/", |config| add(config, json!({"type": "bind",
        "source": "/etc", "destination": "/deep/new/volume", "options": ["rbind", "rprivate"]})));
    bind_of_a_file_below: links("rootfs/deep/", |config| add(config, json!({"type": "bind",
        "source": "/etc/hostname", "destination": "/deep/new/file", "options": ["bind"]})));
    id_mapped_bind: links("rootfs/mapped/", |config| {
        user_namespace(config);
        add(config, json!({"type": "bind", "source": "rootfs/etc", "destination": "/mapped/new",
            "options": ["rbind", "idmap"]}));
    });
    tmpfs: links("rootfs/scratch/", |config| add(config, json!({"type": "tmpfs",
        "source": "tmpfs", "destination": "/scratch", "options": ["nosuid", "rprivate"]})));
    tmpfs_with_copies: links("rootfs/scratch/", copying_tmpfs);
    cgroup: Scenario { kind: Kind::Cgroups, ..links("rootfs/groups/", |config| {
        config["linux"]["namespaces"].as_array_mut().expect("namespaces")
            .push(json!({"type": "cgroup"}));
        add(config, json!({"type": "cgroup",
            "source": "cgroup", "destination": "/groups", "options": ["ro"]}));
    }) };
    cgroup_without_a_namespace: Scenario { kind: Kind::Cgroups, ..links("rootfs/groups/",
        |config| add(config, json!({"type": "cgroup",
            "source": "cgroup", "destination": "/groups"}))) };
    masked_file: links("rootfs/etc/secret",
        |config| config["linux"]["maskedPaths"] = json!(["/etc/secret"]));
    masked_folder: links("rootfs/secret/",
        |config| config["linux"]["maskedPaths"] = json!(["/secret"]));
    read_only_path: links("rootfs/frozen/",
        |config| config["linux"]["readonlyPaths"] = json!(["/frozen"]));
    device: links("rootfs/devices/", |config| owned_node(config, "/devices/below/zero"));
    /// The node itself, between its making and its owner.
    owned_device: Scenario {
        partners: &[Partner::Over("/CANARY/file"), Partner::Over("/CANARY/new/deep")],
        ..links("rootfs/devices/zero", |config| owned_node(config, "/devices/zero"))
    };
    device_in_a_user_namespace: links("rootfs/dev/zero", |config| {
        own_dev(config);
        user_namespace(config);
    });
    fifo: links("rootfs/pipes/", |config| config["linux"]["devices"] = json!([{"type": "p",
        "path": "/pipes/below/one"}]));
    working_folder: links("rootfs/work/",
        |config| config["process"]["cwd"] = json!("/work/below/new"));
    console: Scenario { kind: Kind::Terminal, ..links("rootfs/dev/console", own_dev) };
    terminals_folder: Scenario { kind: Kind::Terminal, ..links("rootfs/dev/pts/", own_dev) };

    /// What a tmpfs starts with is copied into it, and not into what has taken its place by then.
    copies_go_into_the_tmpfs_alone: Scenario {
        partners: &[Partner::Folder],
        ..links("rootfs/scratch/", copying_tmpfs)
    };
    /// A file that is copied is exchanged with links to the host's, and with what blocks.
    copied_file: Scenario {
        partners: &[Partner::Link("/CANARY/file"), Partner::Fifo],
        script: "[ -f /scratch/file ] && grep -q untouched /scratch/file && echo WRONG; true",
        ..links("rootfs/scratch/file", copying_tmpfs)
    };
    /// A folder that is copied is exchanged with links to the host's.
    copied_folder: Scenario {
        script: "[ ! -e /scratch/folder/secret ] || echo WRONG",
        ..links("rootfs/scratch/folder/", copying_tmpfs)
    };
    /// The place of /proc is exchanged with another folder once procfs is mounted there: what is to
    /// be masked is masked wherever procfs is by then.
    masks_go_where_proc_goes: Scenario {
        partners: &[Partner::Folder],
        script: "for f in /proc/* /proc.0/*; do case $f in */interrupts|*/kcore) \
                 [ $(head -c 1 $f 2>/dev/null | wc -c) = 0 ] || echo WRONG $f;; esac; done",
        ..links("rootfs/proc/", |config| {
            config["linux"]["maskedPaths"] = json!(["/proc/interrupts", "/proc/kcore"]);
        })
    };
    /// The same of what is to be read-only there.
    read_only_goes_where_proc_goes: Scenario {
        partners: &[Partner::Folder],
        script: "for f in /proc /proc.0; do f=$f/sys/kernel/domainname; \
                 [ -e $f ] && (echo x >$f) 2>/dev/null && echo WRONG $f; done; true",
        ..links("rootfs/proc/", |config| {
            config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
            config["linux"]["namespaces"].as_array_mut().expect("namespaces")
                .push(json!({"type": "uts"}));
        })
    };
    /// The accounts are a fifo by then, which nobody writes to.
    accounts: Scenario {
        partners: &[Partner::Fifo, Partner::Link("/proc/kmsg")],
        ..links("rootfs/etc/passwd", |config| config["process"]["env"] = json!(["PATH=/bin"]))
    };
    /// The root itself is a link to another one by then.
    root: Scenario {
        partners: &[Partner::Link("/CANARY/root")],
        script: "[ ! -e /secret ] || echo WRONG",
        ..links("rootfs/", own_dev)
    };
    root_in_a_user_namespace: Scenario {
        partners: &[Partner::Link("/CANARY/root")],
        script: "[ ! -e /secret ] || echo WRONG",
        ..links("rootfs/", |config| {
            own_dev(config);
            user_namespace(config);
        })
    };
    root_without_a_mount_namespace: Scenario {
        partners: &[Partner::Link("/CANARY/root")],
        script: "[ ! -e /secret ] || echo WRONG",
        ..links("rootfs/", |config| {
            own_dev(config);
            no_mount_namespace(config);
        })
    };
    bind_without_a_mount_namespace: links("rootfs/deep/", |config| {
        no_mount_namespace(config);
        add(config, json!({"type": "bind", "source": "/etc", "destination": "/deep/new/volume",
            "options": ["rbind"]}));
    });
    working_folder_without_a_mount_namespace: links("rootfs/work/", |config| {
        no_mount_namespace(config);
        config["process"]["cwd"] = json!("/work/below/new");
    });
    /// What is joined is the root of a process, not a mount namespace's.
    exec_without_a_mount_namespace: Scenario {
        partners: &[Partner::Link("/proc/self/fd/0"), Partner::Link("/dev/stdin")],
        script: "[ ! -e usr ] || echo WRONG",
        kind: Kind::Exec,
        ..links("rootfs/work/", |config| {
            no_mount_namespace(config);
            lives(config);
        })
    };
    /// The working folder of an exec leads to a descriptor that is the host's root.
    exec_working_folder: Scenario {
        partners: &[Partner::Link("/proc/self/fd/0"), Partner::Link("/dev/stdin")],
        script: "[ ! -e usr ] || echo WRONG",
        kind: Kind::Exec,
        ..links("rootfs/work/", lives)
    };
    mounts_of_a_container_that_lives: Scenario {
        partners: LATE,
        kind: Kind::Live("/late"),
        ..links("rootfs/late/", lives)
    };
    mounts_below_in_a_container_that_lives: Scenario {
        partners: LATE,
        kind: Kind::Live("/deep/new"),
        ..links("rootfs/deep/", lives)
    };
}
