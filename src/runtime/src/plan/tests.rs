//! Plans by table: what a document becomes, without root and without a kernel.

use super::*;
use child::Op;
use serde_json::{Value, json};
use sys::tree::Shape;

fn spec(patch: Value) -> Spec {
    let mut document = json!({
        "ociVersion": "1.2.0", "root": {"path": "rootfs", "readonly": true},
        "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0},
            "env": ["PATH=/a:/b", "PATH=/bin:"]},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "cgroup"}]}
    });
    for (key, value) in patch.as_object().unwrap() {
        document[key] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

/// A host with pure cgroup v2.
pub(crate) fn layout() -> Layout {
    Layout::parse("25 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/own\n").unwrap()
}

/// What a plain `run` says besides the document.
pub(crate) fn facts(layout: &Layout) -> Facts<'_> {
    Facts {
        bundle: Path::new("/b"),
        rootfs: &Rootfs::Bundle,
        layout,
        tasks: 2,
        cgroup: Some("/c"),
        cgroup_namespace: true,
        streams: Streams::Inherit,
        waits: false,
        hooks: false,
        start_hooks: false,
        preserve_fds: 0,
        listen_fds: 0,
        notify: None,
        pivot: true,
        revealing: Vec::new(),
        keyring: false,
        unprivileged: false,
        no_groups: false,
        late_network: false,
        root_parent: None,
    }
}

fn planned(patch: Value) -> (Draft, Birthplace) {
    container(&spec(patch), &facts(&layout()))
}

fn words(draft: &Draft) -> Vec<String> {
    (0..draft.program.ops.len()).map(|i| step(&draft.program, i as u32)).collect()
}

fn position(all: &[String], text: &str) -> usize {
    all.iter().position(|w| w == text).unwrap_or_else(|| panic!("{text:?} in {all:#?}"))
}

#[test]
fn a_plain_container_is_one_clone_and_its_cgroup_namespace_comes_after_its_cgroups() {
    let (draft, birth) = planned(json!({}));
    let new = (sys::abi::CLONE_NEWNS | sys::abi::CLONE_NEWPID).cast_unsigned();
    assert_eq!(birth, Birthplace { flags: u64::from(new), ..Birthplace::default() });
    let all = words(&draft);
    assert_eq!(all[0], "enter the cgroups");
    assert_eq!(all[1], "make a namespace");
    let order = [
        "take /b/rootfs as the root",
        "make device /dev/null",
        "make the root read-only",
        "pivot_root",
        "become uid 0, gid 0",
        "set capabilities",
        "find the command",
        "exec",
    ];
    let at: Vec<usize> = order.iter().map(|text| position(&all, text)).collect();
    assert!(at.is_sorted(), "{at:?} {all:#?}");
}

#[test]
fn the_command_is_looked_for_in_the_last_path() {
    let (draft, _) = planned(json!({}));
    let mut at = draft.program.candidates.at;
    let mut found = Vec::new();
    for _ in 0..draft.program.candidates.count {
        let text = crate::draft::text_at(&draft.program, at);
        at += u32::try_from(text.len()).unwrap() + 1;
        found.push(text);
    }
    assert_eq!(found, ["/bin/sh", "./sh"]);
    assert_eq!(draft.program.envp.count, 1);
}

#[test]
fn a_network_of_its_own_is_joined_when_it_is_needed() {
    let join = "join the new network namespace";
    let new = u64::from(sys::abi::CLONE_NEWNET.cast_unsigned());
    let mount = |destination: &str, kind: &str, options: Value| json!({"destination": destination, "type": kind, "source": "/s", "options": options});
    let mounts = |second: Value| json!([mount("/proc", "proc", json!([])), second]);
    let plan = |kinds: Value, mounts: Value| {
        let spec = spec(json!({"linux": {"namespaces": kinds}, "mounts": mounts}));
        let layout = layout();
        let late_network = network_may_be_late(&spec, false);
        container(&spec, &Facts { late_network, ..facts(&layout) })
    };
    let own = || json!([{"type": "mount"}, {"type": "pid"}, {"type": "network"}]);
    // Made beside the child, which joins it before whatever may ask for it.
    for kind in ["sysfs", "nfs", "bind"] {
        let (draft, birth) = plan(own(), mounts(mount("/x", kind, json!([]))));
        let all = words(&draft);
        assert_eq!(birth.flags & new, 0);
        let next = &all[position(&all, join) + 1];
        assert!(next.ends_with(" to rootfs at \"/x\""), "{all:#?}");
    }
    // At the latest before the parent is asked, whose answer would be taken for it.
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let inner = json!({"destination": "/y", "type": "bind", "source": "rootfs/x/z",
        "options": ["bind", "idmap"], "uidMappings": map, "gidMappings": map});
    let mut both = mounts(mount("/x", "tmpfs", json!([])));
    both.as_array_mut().unwrap().push(inner);
    let (draft, _) = plan(own(), both);
    let ops = &draft.program.ops;
    let late = ops.iter().position(|op| matches!(op, Op::Network)).unwrap();
    assert_eq!(draft.maps.len(), 1);
    for deferred in &draft.maps {
        assert!(late < deferred.index);
        assert!(matches!(ops[deferred.index], Op::Bind { mapped: true, .. }));
    }
    let all = words(&plan(own(), json!([])).0);
    assert!(position(&all, join) < position(&all, "pivot_root"));
    // Made with the child where that would not have the right to it, or could be taken meanwhile.
    for kinds in [
        json!([{"type": "mount"}, {"type": "network"}]),
        json!([{"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "user"}]),
    ] {
        let (draft, birth) = plan(kinds, mounts(mount("/x", "sysfs", json!([]))));
        assert_eq!(birth.flags & new, new);
        let all = words(&draft);
        assert!(!all.iter().any(|w| w == join), "{all:#?}");
        assert!(position(&all, "set link lo up") < position(&all, "pivot_root"));
    }
}

#[test]
fn user_namespaces_decide_the_order() {
    let maps = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let linux = |namespaces: Value| json!({"linux": {"namespaces": namespaces, "uidMappings": maps, "gidMappings": maps}});
    // All new: one clone.
    let (draft, birth) = planned(linux(json!([{"type": "mount"}, {"type": "user"}])));
    assert!(birth.mapped && birth.flags & sys::abi::CLONE_NEWUSER as u64 != 0);
    assert!(!draft.program.ops.iter().any(|op| matches!(op, Op::Fork { .. })));
    assert!(matches!(draft.sources[2], Source::Tree { shape: Shape { recursive: true, .. }, .. }));
    // New beside a joined one: join, unshare, fork.
    let namespaces =
        json!([{"type": "mount"}, {"type": "user"}, {"type": "network", "path": "/n"}]);
    let (draft, birth) = planned(linux(namespaces));
    assert_eq!(birth.flags, 0);
    let kinds: Vec<&Op> = draft.program.ops.iter().skip(2).take(5).collect();
    assert!(
        matches!(
            kinds[..],
            [
                Op::Setns { .. },
                Op::Unshare { .. },
                Op::Sync { tell: true, .. },
                Op::BecomeRoot { .. },
                Op::Fork { .. }
            ]
        ),
        "{:?}",
        words(&draft)
    );
}

#[test]
fn a_time_namespace_with_offsets_needs_a_second_process() {
    let time = |offsets: Value| {
        let namespaces = json!([{"type": "mount"}, {"type": "time"}]);
        planned(json!({"linux": {"namespaces": namespaces, "timeOffsets": offsets}}))
    };
    let flags = u64::from((sys::abi::CLONE_NEWNS | sys::abi::CLONE_NEWTIME).cast_unsigned());
    // One clone is enough while no clock is moved.
    let (draft, birth) = time(json!({"monotonic": {"secs": 0}}));
    assert_eq!(birth.flags, flags);
    assert!(!draft.program.ops.iter().any(|op| matches!(op, Op::Fork { .. })));
    let (draft, birth) = time(json!({"monotonic": {"secs": -5, "nanosecs": 7}}));
    assert_eq!(birth.flags, 0);
    let all = words(&draft);
    let lines = r#"write "monotonic -5 7\n" to /proc/self/timens_offsets"#;
    assert_eq!(all[2..5], ["make a namespace", lines, "go on in the new namespaces"]);
}

#[test]
fn a_pid_namespace_is_joined_before_the_user_namespace() {
    let maps = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let namespaces = json!([{"type": "mount"}, {"type": "user"}, {"type": "pid", "path": "/p"}]);
    let linux = json!({"namespaces": namespaces, "uidMappings": maps, "gidMappings": maps});
    let (draft, birth) = planned(json!({"linux": linux}));
    assert_eq!(birth.flags, 0);
    let pid = sys::abi::CLONE_NEWPID.cast_unsigned();
    assert!(matches!(draft.program.ops[2], Op::Setns { kind, .. } if kind == pid));
    assert!(matches!(draft.program.ops[3], Op::Unshare { .. }));
}

/// Red when the clone itself is born into the PID namespace of others.
#[test]
fn cve_2019_5736_a_pid_namespace_of_others_is_entered_by_the_childs_own_program() {
    let entered = |draft: &Draft| {
        let all = &draft.program.ops;
        let pid = sys::abi::CLONE_NEWPID.cast_unsigned();
        let joins = |op: &Op| matches!(op, Op::Setns { kind, .. } if kind & pid != 0);
        let joined = all.iter().position(joins).expect("joins");
        all.iter().skip(joined).any(|op| matches!(op, Op::Fork { .. }))
    };
    let namespaces = json!([{"type": "mount"}, {"type": "pid", "path": "/p"}]);
    let (draft, birth) = planned(json!({"linux": {"namespaces": namespaces}}));
    assert!(entered(&draft) && birth.flags == 0);
    let spec = spec(json!({}));
    let process = spec.process().clone().unwrap();
    assert!(entered(&joined(&spec, &process, &joining()).0));
}

fn joining() -> Joining {
    Joining {
        keyring: false,
        tasks: 0,
        streams: Streams::Inherit,
        preserve_fds: 0,
        unprivileged: false,
        no_groups: false,
        first: 0,
    }
}

#[test]
fn cores_are_shared_within_the_container() {
    let annotations = json!({"annotations": {"org.podvisor.core-scheduling": "true"}});
    let spec = spec(annotations);
    let of = |draft: &Draft| {
        let ops = draft.program.ops.iter();
        ops.filter_map(|op| if let Op::Cores { of } = op { Some(*of) } else { None }).collect()
    };
    let process = spec.process().clone().unwrap();
    let exec: Vec<u32> = of(&joined(&spec, &process, &Joining { first: 7, ..joining() }).0);
    assert_eq!(exec, [7]);
}

#[test]
fn who_shares_a_pid_namespace_is_hidden_before_it_joins_anything() {
    let at = |draft: &Draft| draft.program.ops.iter().position(|op| matches!(op, Op::Hide));
    assert_eq!(at(&planned(json!({})).0), None);
    let shared = json!([{"type": "mount"}, {"type": "pid", "path": "/p"}]);
    for namespaces in [json!([{"type": "mount"}]), shared] {
        let (draft, _) = planned(json!({"linux": {"namespaces": namespaces}}));
        assert_eq!(at(&draft), Some(0), "{:?}", words(&draft));
    }
    // What needs hold of it for an unprivileged caller comes before.
    for (unprivileged, first) in [(false, true), (true, false)] {
        let (layout, spec) =
            (layout(), spec(json!({"linux": {"namespaces": [{"type": "mount"}]}})));
        let facts = Facts { unprivileged, hooks: true, ..facts(&layout) };
        let (draft, _) = container(&spec, &facts);
        let all = words(&draft);
        let (hidden, joined) = (at(&draft), position(&all, "wait for the runtime"));
        let given_up = position(&all, "set capabilities");
        assert!(hidden.is_some_and(|hidden| hidden < given_up), "{all:#?}");
        assert_eq!(hidden.is_some_and(|hidden| hidden < joined), first, "{all:#?}");
    }
    // Labels and scores are written to procfs, whose files are then root's.
    let spec = spec(json!({"process": {"args": ["sh"], "cwd": "/", "oomScoreAdj": 7,
        "user": {"uid": 0, "gid": 0}, "selinuxLabel": "a_t"}}));
    for (unprivileged, writes) in [(false, 1), (true, 2)] {
        let joining = Joining { unprivileged, ..joining() };
        let (draft, _) = joined(&spec, spec.process().as_ref().unwrap(), &joining);
        let before = draft.program.ops.iter().take_while(|op| matches!(op, Op::Write { .. }));
        assert_eq!((before.count(), at(&draft)), (writes, Some(writes)), "{:?}", words(&draft));
    }
}

#[test]
fn mount_options_become_flags_attributes_and_data() {
    let read = |text: &str| {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        options::read(&words)
    };
    let plain = read("nosuid ro size=1k mode=700 rw");
    assert_eq!((plain.flags, plain.data.as_str()), (sys::abi::MS_NOSUID, "size=1k,mode=700"));
    assert_eq!(plain.own.set, sys::abi::MOUNT_ATTR_NOSUID);
    assert_eq!(plain.own.clear, sys::abi::MOUNT_ATTR_RDONLY);
    let bind = read("rbind rro rprivate noexec noatime relatime");
    assert_eq!((bind.bind, bind.data.as_str()), (Some(true), ""));
    assert_eq!(bind.deep.set, sys::abi::MOUNT_ATTR_RDONLY);
    assert_eq!(bind.deep.propagation, sys::abi::MS_PRIVATE);
    assert_eq!(bind.own.set, sys::abi::MOUNT_ATTR_NOEXEC);
    assert_eq!(bind.own.clear, sys::abi::MOUNT_ATTR__ATIME);
    // A bind mount with any flag loses what its source has, and atime where it was spoken of.
    let cleared = |text: &str| read(text).of_bind();
    assert_eq!(cleared("bind").1, 0);
    let (own, implied) = cleared("bind rw nosuid diratime");
    assert_eq!((own.set, own.clear), (sys::abi::MOUNT_ATTR_NOSUID, sys::abi::MOUNT_ATTR_RDONLY));
    assert_eq!(implied, 0x20_000c);
    let (own, _) = cleared("bind nodiratime norelatime");
    assert_eq!((own.set, own.clear), (0x80, sys::abi::MOUNT_ATTR__ATIME));
}

#[test]
fn a_known_mount_option_is_nothing_for_the_file_system() {
    for word in options::known() {
        let read = options::read(std::slice::from_ref(&word));
        assert_eq!(read.data, "", "{word}");
        let says = word == "defaults" || read != options::Options::default();
        let off = ["async", "loud", "noacl", "noiversion", "nolazytime", "nomand"];
        assert!(says || off.contains(&word.as_str()), "{word}");
    }
    assert_eq!(options::read(&["frob".to_owned()]).data, "frob");
}

#[test]
fn id_mapped_mounts_are_made_by_the_parent() {
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let mapped = |linux: Value, mount: Value| {
        let mounts = json!([mount]);
        let (draft, _) = planned(json!({"linux": linux, "mounts": mounts}));
        draft.sources.into_iter().find_map(|source| match source {
            Source::MappedTree { map, shape: Shape { recursive: true, .. }, .. } => Some(map),
            _ => None,
        })
    };
    let by = Users::New { uids: "0 1000 10\n".into(), gids: "0 1000 10\n".into() };
    let own = json!({"namespaces": [{"type": "mount"}]});
    let mount = json!({"destination": "/x", "source": "/y", "options": ["rbind"],
        "uidMappings": map, "gidMappings": map});
    let found = mapped(own.clone(), mount);
    assert_eq!(found, Some(crate::idmaps::Mapping { deep: false, by: by.clone() }));
    // The container's own maps are the default.
    let user = json!({"namespaces": [{"type": "mount"}, {"type": "user"}],
        "uidMappings": map, "gidMappings": map});
    let mount = json!({"destination": "/x", "source": "/y", "options": ["rbind", "ridmap"]});
    assert_eq!(mapped(user, mount), Some(crate::idmaps::Mapping { deep: true, by }));
    let plain = json!({"destination": "/x", "source": "/y", "options": ["rbind"]});
    assert_eq!(mapped(own, plain), None);
}

#[test]
fn the_scheduler_is_set_and_cpus_are_those_of_exec_alone() {
    let process = json!({"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0},
        "scheduler": {"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_RESET_ON_FORK"]},
        "execCPUAffinity": {"initial": "0", "final": "1-2"}});
    let (draft, birth) = planned(json!({"process": process}));
    let found = draft.program.ops.iter().find_map(|op| match op {
        Op::Scheduler(to) => Some(*to),
        _ => None,
    });
    let expected = child::Scheduling { policy: 3, flags: 1, nice: 5, ..Default::default() };
    assert_eq!((found, birth.cpus), (Some(expected), None));
    assert!(!draft.program.ops.iter().any(|op| matches!(op, Op::Affinity { .. })));
    let spec = spec(json!({"process": process}));
    let (draft, birth) = joined(&spec, spec.process().as_ref().unwrap(), &joining());
    assert_eq!(birth.cpus.as_deref(), Some(&[1, 0, 0, 0, 0, 0, 0, 0][..]));
    let Op::Affinity { mask, length: 8 } = draft.program.ops[1] else { panic!() };
    assert_eq!(draft.program.text[mask as usize], 6);
}

#[test]
fn every_field_of_the_scheduler_reaches_the_call() {
    let process = json!({"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "scheduler":
        {"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_KEEP_POLICY"],
            "priority": 0, "runtime": 1, "deadline": 2, "period": 3}});
    let (draft, _) = planned(json!({"process": process}));
    let wanted = child::Scheduling {
        policy: 6,
        flags: 0x0a,
        runtime: 1,
        deadline: 2,
        period: 3,
        ..Default::default()
    };
    assert!(draft.program.ops.contains(&Op::Scheduler(wanted)));
}

#[test]
fn memory_nodes_become_a_mask() {
    let linux = json!({"namespaces": [{"type": "mount"}], "memoryPolicy":
        {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]}});
    let (draft, _) = planned(json!({"linux": linux}));
    let found = draft.program.ops.iter().find_map(|op| match *op {
        Op::MemoryPolicy { mode, nodes, length: 8 } => Some((mode, nodes as usize)),
        _ => None,
    });
    let Some((mode, nodes)) = found else { panic!() };
    assert_eq!((mode, draft.program.text[nodes]), (2 | 1 << 15, 3));
}

#[test]
fn links_are_moved_once_the_namespaces_are_there() {
    let linux = json!({"namespaces": [{"type": "mount"}, {"type": "network"}],
        "netDevices": {"eth0": {}}});
    let (draft, _) = planned(json!({"linux": linux}));
    let waits = Op::Sync { point: point::LINKS, tell: true };
    let at = draft.program.ops.iter().position(|op| *op == waits);
    assert_eq!(at, Some(3), "{:?}", words(&draft));
}

#[test]
fn a_filter_is_loaded_as_late_as_its_privileges_allow() {
    let with = |unprivileged: bool| {
        let process = json!({"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": unprivileged});
        let linux = json!({"namespaces": [{"type": "mount"}],
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}});
        let (draft, _) = planned(json!({"process": process, "linux": linux}));
        let all = words(&draft);
        (
            position(&all, "load the seccomp filter"),
            position(&all, "find the command"),
            position(&all, "become uid 0, gid 0"),
        )
    };
    let (load, find, _) = with(true);
    assert!(load > find);
    let (load, _, user) = with(false);
    assert!(load < user);
}

#[test]
fn mounts_get_the_label_that_is_asked_for() {
    let label = "system_u:object_r:x:s0:c1,c2";
    let mount = |kind: &str, options: Value| {
        json!({"destination": format!("/{kind}"), "type": kind,
        "source": kind, "options": options})
    };
    let (draft, _) = planned(json!({
        "mounts": [mount("proc", json!([])), mount("tmpfs", json!(["size=1k"])),
            mount("devpts", json!([])), mount("mqueue", json!([])),
            mount("ext4", json!(["context=own"]))],
        "linux": {"namespaces": [{"type": "mount"}], "mountLabel": label, "maskedPaths": ["/x"]}}));
    let options = draft.program.ops.iter().filter_map(|op| match *op {
        Op::Mount { options, .. } | Op::Mask { options, .. } => {
            Some(crate::draft::text_at(&draft.program, options))
        }
        _ => None,
    });
    let context = format!("context=\"{label}\"");
    let tmpfs = format!("size=1k,{context}");
    let mask = format!("size=0k,mode=0555,{context}");
    assert_eq!(options.collect::<Vec<_>>(), ["", &tmpfs, &context, "", "context=own", &mask]);
    let labels = |op: &&Op| matches!(op, Op::Label { length: 28, .. });
    assert_eq!(draft.program.ops.iter().filter(labels).count(), 1);
}

#[test]
fn a_mount_namespace_by_path_is_joined_before_the_root_is_touched() {
    let namespaces = json!([{"type": "mount", "path": "/m"}, {"type": "pid"}]);
    let (draft, birth) = planned(json!({"linux": {"namespaces": namespaces}}));
    let mount = sys::abi::CLONE_NEWNS.cast_unsigned();
    assert_eq!(birth.flags & u64::from(mount), 0);
    assert!(matches!(draft.program.ops[1], Op::Setns { kind, .. } if kind == mount));
}

#[test]
fn shared_roots_stop_at_the_root() {
    let linux = json!({"namespaces": [{"type": "mount"}], "rootfsPropagation": "rshared"});
    let (draft, _) = planned(json!({"linux": linux}));
    assert!(draft.program.ops.iter().any(|op| matches!(op, Op::Pivot { detach: true })));
    let (draft, _) = planned(json!({}));
    assert!(draft.program.ops.iter().any(|op| matches!(op, Op::Pivot { detach: false })));
}

#[test]
fn a_read_only_mount_that_another_covers_is_so_at_once() {
    let late = |second: &str| {
        let first = json!({"destination": "/m", "type": "tmpfs", "options": ["ro"]});
        let mounts = json!([first, {"destination": second, "type": "tmpfs"}]);
        let (draft, _) = planned(json!({"mounts": mounts}));
        draft.program.ops.iter().filter(|op| matches!(op, Op::Change { .. })).count()
    };
    assert_eq!((late("/m/below"), late("/m")), (1, 0));
}
