//! Conversions and plans by table, layouts from texts, and real cgroups inside a scope.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oci::runtime::LinuxResources;
use serde_json::{Value, json};

use super::convert::{cpu_max, io_weight, swap_from_total, weight_from_shares};
use super::setting::Setting;
use super::{Cgroup, Error, Layout, Mode, v1, v2};

fn resources(value: Value) -> LinuxResources {
    serde_json::from_value(value).expect("resources")
}

#[test]
fn shares_become_weights() {
    for (shares, weight) in [
        (0, None),
        (1, Some(1)),
        (2, Some(1)),
        (102, Some(17)),
        (1024, Some(100)),
        (2048, Some(174)),
        (262_144, Some(10_000)),
        (1_000_000, Some(10_000)),
    ] {
        assert_eq!(weight_from_shares(shares), weight, "{shares}");
    }
    let all: Vec<_> = (2..=262_144).map(|s| weight_from_shares(s).expect("set")).collect();
    assert!(all.is_sorted(), "more shares never weigh less");
}

#[test]
fn quota_and_period_become_cpu_max() {
    for (quota, period, max) in [
        (None, None, None),
        (Some(0), Some(0), None),
        (Some(50_000), None, Some("50000 100000")),
        (Some(50_000), Some(20_000), Some("50000 20000")),
        (Some(-1), None, Some("max 100000")),
        (None, Some(50_000), Some("max 50000")),
    ] {
        assert_eq!(cpu_max(quota, period).as_deref(), max, "{quota:?} {period:?}");
    }
}

#[test]
fn swap_totals_become_swap_alone() {
    for (total, limit, swap) in [
        (0, Some(100), Ok(None)),
        (-1, None, Ok(Some("max"))),
        (100, Some(100), Ok(Some("0"))),
        (150, Some(100), Ok(Some("50"))),
        (50, Some(100), Err(())),
        (50, None, Err(())),
        (50, Some(-1), Err(())),
    ] {
        let got = swap_from_total(total, limit).map_err(drop);
        assert_eq!(got, swap.map(|s| s.map(str::to_owned)), "{total} {limit:?}");
    }
}

#[test]
fn block_weights_keep_their_ends() {
    for (blkio, io) in [(0, None), (10, Some(1)), (1000, Some(10_000)), (500, Some(4950))] {
        assert_eq!(io_weight(blkio), io);
    }
}

fn lines(plan: &[Setting]) -> Vec<String> {
    plan.iter().map(|s| format!("{}={}", s.file, s.value)).collect()
}

#[test]
fn both_versions_say_the_same_limits() {
    let limits = resources(json!({
        "memory": {"limit": 200, "reservation": 100, "swap": 300},
        "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "burst": 1000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 64},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
        "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}]},
    }));
    assert_eq!(
        lines(&v2::plan(&limits).expect("v2")),
        [
            "memory.swap.max=100",
            "memory.max=200",
            "memory.low=100",
            "cpu.weight=100",
            "cpu.max=50000 100000",
            "cpu.max.burst=1000",
            "cpuset.cpus=0",
            "cpuset.mems=0",
            "pids.max=64",
            "io.weight=default 4950",
            "io.max=8:0 rbps=1000",
            "hugetlb.2MB.max=4096",
            "hugetlb.2MB.rsvd.max=4096",
        ]
    );
    assert_eq!(
        lines(&v1::plan(&limits, Some(1 << 60)).expect("v1")),
        [
            "memory.limit_in_bytes=200",
            "memory.memsw.limit_in_bytes=300",
            "memory.soft_limit_in_bytes=100",
            "cpu.shares=1024",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "cpu.cfs_burst_us=1000",
            "cpuset.cpus=0",
            "cpuset.mems=0",
            "pids.max=64",
            "blkio.weight=500",
            "blkio.throttle.read_bps_device=8:0 1000",
            "hugetlb.2MB.limit_in_bytes=4096",
            "hugetlb.2MB.rsvd.limit_in_bytes=4096",
        ]
    );
}

#[test]
fn what_is_rare_has_its_files() {
    let device = |rest: Value| {
        let mut all = json!({"major": 8, "minor": 0});
        rest.as_object().into_iter().flatten().for_each(|(k, v)| all[k] = v.clone());
        json!([all])
    };
    let limits = resources(json!({
        "memory": {"kernelTCP": 1, "swappiness": 2, "disableOOMKiller": true},
        "cpu": {"realtimePeriod": 3, "realtimeRuntime": 4, "idle": 1},
        "network": {"classID": 5, "priorities": [{"name": "lo", "priority": 6}]},
        "rdma": {"mlx5": {"hcaHandles": 7, "hcaObjects": 8}},
        "blockIO": {"leafWeight": 9, "weightDevice": device(json!({"weight": 10, "leafWeight": 11})),
            "throttleWriteBpsDevice": device(json!({"rate": 12})),
            "throttleReadIOPSDevice": device(json!({"rate": 13})),
            "throttleWriteIOPSDevice": device(json!({"rate": 14}))},
    }));
    let v1 = "memory.kmem.tcp.limit_in_bytes=1 memory.oom_control=1 memory.swappiness=2 \
        cpu.idle=1 cpu.rt_period_us=3 cpu.rt_runtime_us=4 blkio.leaf_weight=9 \
        blkio.weight_device=8:0_10 blkio.leaf_weight_device=8:0_11 \
        blkio.throttle.write_bps_device=8:0_12 blkio.throttle.read_iops_device=8:0_13 \
        blkio.throttle.write_iops_device=8:0_14 net_cls.classid=5 net_prio.ifpriomap=lo_6 \
        rdma.max=mlx5_hca_handle=7_hca_object=8";
    let words = |plan: &[Setting]| lines(plan).join(";").replace(' ', "_").replace(';', " ");
    assert_eq!(words(&v1::plan(&limits, None).expect("v1")), v1);
    let limits = resources(json!({"rdma": {"mlx5": {"hcaHandles": 7}}, "cpu": {"idle": 1},
        "blockIO": {"weightDevice": device(json!({"weight": 1000})),
            "throttleWriteIOPSDevice": device(json!({"rate": 14}))},
        "unified": {"memory.high": "15"}}));
    let v2 = "cpu.idle=1 io.weight=8:0_10000 io.max=8:0_wiops=14 \
        rdma.max=mlx5_hca_handle=7 memory.high=15";
    assert_eq!(words(&v2::plan(&limits).expect("v2")), v2);
}

#[test]
fn v1_raises_the_total_before_the_limit_and_lowers_it_after() {
    let limits = resources(json!({"memory": {"limit": 200, "swap": 300}}));
    let first = |now| lines(&v1::plan(&limits, Some(now)).expect("plan"))[0].clone();
    assert_eq!(first(100), "memory.memsw.limit_in_bytes=300");
    assert_eq!(first(1000), "memory.limit_in_bytes=200");
    let unlimited = resources(json!({"memory": {"limit": -1}}));
    assert_eq!(lines(&v1::plan(&unlimited, Some(100)).expect("plan")).len(), 2);
}

#[test]
fn v2_refuses_what_it_has_no_word_for() {
    for (value, field) in [
        (json!({"memory": {"swappiness": 10}}), "memory.swappiness"),
        (json!({"memory": {"disableOOMKiller": true}}), "memory.disableOOMKiller"),
        (json!({"memory": {"limit": 10, "swap": 5}}), "memory.swap"),
        (json!({"cpu": {"realtimeRuntime": 10}}), "cpu.realtimeRuntime"),
        (json!({"network": {"classID": 1}}), "network.classID"),
        (json!({"network": {"priorities": [{"name": "lo", "priority": 1}]}}), "network.priorities"),
        (json!({"unified": {"../x": "1"}}), "unified"),
        (json!({"unified": {"frob.max": "1"}}), "unified"),
    ] {
        let error = v2::plan(&resources(value.clone())).expect_err("refused").to_string();
        assert!(error.starts_with(&format!("linux.resources.{field}")), "{value}: {error}");
    }
}

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/a /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
99 31 0:32 / /mnt/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw
";
const HYBRID_OWN: &str =
    "4:memory:/docker/a/b\n3:cpu,cpuacct:/x\n1:name=systemd:/user\n0::/init.scope\n";

#[test]
fn layouts_are_read_from_two_texts() {
    let layout = Layout::parse(HYBRID, HYBRID_OWN).expect("hybrid");
    assert_eq!(layout.mode(), Mode::Hybrid);
    assert_eq!(layout.hierarchies().len(), 4);
    let memory = layout.with_controller("memory").expect("memory");
    assert_eq!(memory.mount, Path::new("/sys/fs/cgroup/memory"), "the usual place wins");
    let folder = |path: &str| memory.folder(path).expect("folder").to_string_lossy().into_owned();
    assert_eq!(folder("/a/b"), "/sys/fs/cgroup/memory/a/b");
    assert_eq!(
        folder("c"),
        "/sys/fs/cgroup/memory/b/c",
        "below the own one, as the mount shows it"
    );
    let v2 = layout.hierarchies().last().expect("v2");
    assert_eq!(v2.mount, Path::new("/sys/fs/cgroup/uni fied"));
    assert_eq!(v2.folder("c").expect("folder"), Path::new("/sys/fs/cgroup/uni fied/c"));
    let pure = "30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    let layout = Layout::parse(pure, "0::/user.slice/a.scope\n").expect("pure");
    assert_eq!(layout.mode(), Mode::V2);
    let folder = layout.hierarchies()[0].folder("c").expect("folder");
    assert_eq!(
        folder,
        Path::new("/sys/fs/cgroup/user.slice/c"),
        "beside the own one, which is full"
    );
    assert!(matches!(Layout::parse("", ""), Err(Error::NotMounted)));
    let over = format!("{HYBRID}\n99 30 0:99 / /sys/fs/cgroup rw - cgroup2 none rw\n");
    let layout = Layout::parse(&over, HYBRID_OWN).expect("mounted over the others");
    assert_eq!(layout.mode(), Mode::V2);
    // Version 2 has a successor of the one, and none of the other.
    let beside = format!(
        "{pure}40 23 0:40 / /mnt/freezer rw - cgroup f rw,freezer\n41 23 0:41 / /mnt/marks rw - cgroup m rw,net_cls,net_prio\n"
    );
    let layout = Layout::parse(&beside, "0::/user.slice/a.scope\n").expect("beside");
    let mounts: Vec<_> = layout.hierarchies().iter().map(|h| h.mount.as_path()).collect();
    assert_eq!(mounts, [Path::new("/mnt/marks"), Path::new("/sys/fs/cgroup")]);
}

#[test]
fn paths_stay_inside_the_hierarchy() {
    let layout = Layout::parse(HYBRID, HYBRID_OWN).expect("hybrid");
    for bad in ["", "/", ".", "..", "/../x", "a/../../b", "/a\0b", "/a\nb"] {
        assert!(matches!(layout.hierarchies()[0].folder(bad), Err(Error::Path { .. })), "{bad:?}");
    }
    let outside = Layout::parse(HYBRID, "4:memory:/../../other\n").expect("hybrid");
    let memory = outside.with_controller("memory").expect("memory");
    assert_eq!(memory.folder("c").expect("folder"), Path::new("/sys/fs/cgroup/memory/c"));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn sleeper() -> Child {
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null()).spawn().expect("sleep")
}

#[test]
fn a_cgroup_takes_limits_and_processes_and_goes() {
    let Some(_scope) = scope::enter("cgroup::tests::a_cgroup_takes_limits_and_processes_and_goes")
    else {
        return;
    };
    let layout = Layout::detect().expect("layout");
    let limits = resources(json!({
        "memory": {"limit": 64 << 20}, "pids": {"limit": 32},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000},
    }));
    let cgroup = Cgroup::create_container(&layout, "/a/b", Some(&limits)).expect("create");
    let read = |controller: &str, file: &str| {
        let paths = cgroup.paths();
        let folder = paths.get(controller).unwrap_or_else(|| &paths[""]);
        fs::read_to_string(folder.join(file)).expect(file).trim().to_owned()
    };
    assert_eq!(read("pids", "pids.max"), "32");
    if layout.mode() == Mode::V2 {
        assert_eq!(read("", "cpu.max"), "50000 100000");
    } else {
        assert_eq!(read("cpu", "cpu.cfs_quota_us"), "50000");
        assert_eq!(read("memory", "memory.limit_in_bytes"), (64 << 20).to_string());
        assert!(!read("cpuset", "cpuset.cpus").is_empty());
        assert!(read("devices", "devices.list").contains("c 1:3 rwm"));
        assert!(!read("devices", "devices.list").contains('a'));
    }
    let mut child = sleeper();
    let pid = i32::try_from(child.id()).expect("pid");
    cgroup.enter(pid).expect("enter");
    assert_eq!(cgroup.pids().expect("pids"), [pid]);
    let again = Cgroup::create_container(&layout, "/a/b", None);
    assert!(matches!(again, Err(Error::Occupied { count: 1, .. })), "{again:?}");
    cgroup.freeze(soon()).expect("freeze");
    assert!(cgroup.is_frozen().expect("state"));
    assert_eq!(cgroup.oom_kills().expect("counter"), 0);
    let reopened = Cgroup::from_paths(&cgroup.paths()).expect("reopened");
    assert_eq!(reopened.paths(), cgroup.paths());
    // Frozen and alive: removal thaws, kills and is done long before the deadline.
    let start = Instant::now();
    reopened.remove(soon()).expect("remove");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(!child.wait().expect("wait").success());
    assert!(cgroup.paths().values().all(|p| !p.exists()));
    assert!(cgroup.pids().expect("none").is_empty());
    Cgroup::open(&layout, "/a").expect("parent").remove(soon()).expect("remove parent");
}

#[test]
fn sub_cgroups_and_fork_storms_go_too() {
    let Some(_scope) = scope::enter("cgroup::tests::sub_cgroups_and_fork_storms_go_too") else {
        return;
    };
    let layout = Layout::detect().expect("layout");
    let cgroup = Cgroup::create(&layout, "/storm", None).expect("create");
    let inner = Cgroup::create(&layout, "/storm/inner/most", None).expect("inner");
    let mut command = Command::new("sh");
    command.args(["-c", "read x; while :; do (sleep 5 &) ; done"]).stdin(Stdio::piped());
    let mut child = command.spawn().expect("sh");
    inner.enter(i32::try_from(child.id()).expect("pid")).expect("enter");
    drop(child.stdin.take());
    cgroup.remove(soon()).expect("remove");
    child.wait().expect("wait");
    assert!(inner.paths().values().all(|p| !p.exists()));
}

#[test]
fn a_failed_creation_leaves_nothing() {
    let Some(_scope) = scope::enter("cgroup::tests::a_failed_creation_leaves_nothing") else {
        return;
    };
    let layout = Layout::detect().expect("layout");
    let bad = resources(json!({"cpu": {"cpus": "4000"}}));
    let error = Cgroup::create(&layout, "/fails/here", Some(&bad)).expect_err("no such cpu");
    assert!(error.to_string().starts_with("linux.resources.cpu.cpus"), "{error}");
    for hierarchy in layout.hierarchies() {
        assert!(!hierarchy.mount.join("fails").exists(), "{}", hierarchy.mount.display());
    }
}

#[test]
fn a_missing_controller_is_named_with_a_way_out() {
    let Some(_scope) = scope::enter("cgroup::tests::a_missing_controller_is_named_with_a_way_out")
    else {
        return;
    };
    // Of all hierarchies only pids and v2 are seen: as on a host that lacks the rest.
    let text = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let keep = |l: &&str| l.ends_with(",pids") || l.contains(" - cgroup2 ");
    let few: Vec<&str> = text.lines().filter(keep).collect();
    let layout = Layout::parse(&few.join("\n"), "0::/\n").expect("layout");
    if layout.mode() != Mode::Hybrid {
        return;
    }
    let limits = resources(json!({"memory": {"limit": 1 << 20}}));
    let error = Cgroup::create(&layout, "/lacks", Some(&limits)).expect_err("no memory controller");
    let Error::MissingController { controller, field, .. } = &error else { panic!("{error}") };
    assert_eq!((controller.as_str(), field.as_str()), ("memory", "linux.resources.memory.limit"));
    assert!(
        error.hint().is_some_and(|h| h.contains("cgroup.subtree_control")),
        "{:?}",
        error.hint()
    );
    assert!(layout.hierarchies().iter().all(|h| !h.mount.join("lacks").exists()));
}

/// What a process in the cgroup can open for reading.
fn opens(cgroup: &Cgroup, device: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("read x; exec 3<{device}")]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("sh");
    cgroup.enter(i32::try_from(child.id()).expect("pid")).expect("enter");
    drop(child.stdin.take());
    child.wait().expect("wait").success()
}

#[test]
fn device_programs_hold_and_are_replaced() {
    let Some(_scope) = scope::enter("cgroup::tests::device_programs_hold_and_are_replaced") else {
        return;
    };
    // The v2 mount alone, whatever this host has besides: the program decides there.
    let text = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let v2: Vec<&str> = text.lines().filter(|l| l.contains(" - cgroup2 ")).collect();
    let layout = Layout::parse(&v2.join("\n"), "0::/\n").expect("a cgroup2 mount");
    assert_eq!(layout.mode(), Mode::V2);
    let cgroup = Cgroup::create_container(&layout, "/devices", None).expect("create");
    cgroup.confine(None).expect("confine");
    assert!(opens(&cgroup, "/dev/null") && opens(&cgroup, "/dev/urandom"));
    assert!(!opens(&cgroup, "/dev/kmsg"), "only the default devices");
    let kmsg = json!({"devices": [{"allow": false}, {"allow": true, "type": "c", "major": 1,
        "minor": 11, "access": "r"}]});
    cgroup.apply(&resources(kmsg)).expect("update");
    assert!(opens(&cgroup, "/dev/kmsg") && opens(&cgroup, "/dev/null"), "replaced, not added");
    cgroup.apply(&resources(json!({"devices": [{"allow": false}]}))).expect("update");
    assert!(!opens(&cgroup, "/dev/kmsg"));
    cgroup.remove(soon()).expect("remove");
}

#[test]
fn many_make_the_same_cgroup_at_once() {
    let name = "cgroup::tests::many_make_the_same_cgroup_at_once";
    let Some(_scope) = scope::enter(name) else { return };
    let layout = Layout::detect().expect("layout");
    for round in 0..40 {
        let gate = std::sync::Barrier::new(4);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                let (layout, gate) = (&layout, &gate);
                threads.spawn(move || {
                    gate.wait();
                    let path = format!("/shared{round}/monitors");
                    Cgroup::create(layout, &path, None).expect("made");
                });
            }
        });
        let shared = Cgroup::open(&layout, &format!("/shared{round}")).expect("parent");
        shared.remove(Instant::now() + Duration::from_secs(5)).expect("removed");
    }
}
