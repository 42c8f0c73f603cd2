//! Tables: a manifest, an image, and what stands in config.json.

use super::*;
use crate::options::Paths;
use std::path::PathBuf;

/// A pod of the container `{name: a, image: web:1, <container>}` and other fields of the spec.
fn pod(container: &str, spec: &str) -> pod::Pod {
    let text = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: shop, uid: u1, \
         labels: {{tier: front}}}}, spec: {{{spec} containers: \
         [{{name: a, image: 'web:1', {container}}}]}}}}"
    );
    let parsed = pod::manifest::parse("test", &text, pod::Strictness::Strict);
    let parsed = parsed.unwrap_or_else(|findings| panic!("{findings:?}"));
    let Some(pod::Object::Pod(pod)) = parsed.into_iter().next() else { panic!("a pod") };
    pod
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

struct World {
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    env: Vec<String>,
    working_dir: Option<&'static str>,
    user: ResolvedUser,
    volumes: Vec<ResolvedVolumeMount>,
    files: PodFiles,
}

impl World {
    fn new() -> World {
        let etc = |name: &str| PathBuf::from("/run/p/u1/etc").join(name);
        World {
            entrypoint: texts(&["/entry"]),
            cmd: texts(&["--cmd"]),
            env: Vec::new(),
            working_dir: None,
            user: ResolvedUser {
                uid: 0,
                gid: 0,
                groups: Vec::new(),
                home: "/root".to_owned(),
                name: None,
            },
            volumes: Vec::new(),
            files: PodFiles {
                hosts: etc("hosts"),
                resolv_conf: etc("resolv.conf"),
                hostname: etc("hostname"),
            },
        }
    }

    fn build(&self, pod: &pod::Pod) -> Result<Value, BundleError> {
        let facts = Facts {
            pod_dir: Path::new("/run/p/u1"),
            attempt: 2,
            uid: "u1",
            pod_ip: Some(Ipv4Addr::new(10, 77, 0, 2)),
            host_ip: Some(Ipv4Addr::new(192, 0, 2, 1)),
            node_name: "node",
            capacity_bytes: 1 << 30,
            thermal: &["/sys/devices/system/cpu/cpu0/thermal_throttle".to_owned()],
            cgroup_parent: "/podvisor/podu1",
            user: self.user.clone(),
            volumes: &self.volumes,
            files: &self.files,
        };
        let image = Defaults {
            entrypoint: &self.entrypoint,
            cmd: &self.cmd,
            env: &self.env,
            working_dir: self.working_dir,
        };
        let container = &pod.spec.containers[0];
        let spec = build(Subject { pod, container }, &image, &facts)?;
        Ok(serde_json::to_value(spec).unwrap())
    }
}

fn config(container: &str, spec: &str) -> Value {
    World::new().build(&pod(container, spec)).unwrap()
}

fn mount<'a>(config: &'a Value, target: &str) -> Option<&'a Value> {
    config["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == target)
}

fn has(list: &Value, word: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|item| item == word))
}

#[test]
fn commands_follow_the_rules_of_kubernetes() {
    for (container, want) in [
        ("", json!(["/entry", "--cmd"])),
        ("args: [x]", json!(["/entry", "x"])),
        ("command: [run]", json!(["run"])),
        ("command: [run], args: [x, y]", json!(["run", "x", "y"])),
        (
            "env: [{name: N, value: v}], command: [run, $(N)], args: ['$(PATH)', '$$(N)']",
            json!(["run", "v", "$(PATH)", "$(N)"]),
        ),
    ] {
        assert_eq!(config(container, "")["process"]["args"], want, "{container}");
    }
    let nothing = World { entrypoint: Vec::new(), cmd: Vec::new(), ..World::new() };
    let error = nothing.build(&pod("", "")).unwrap_err();
    assert!(matches!(error, BundleError::NoCommand { .. }), "{error:?}");
    assert!(error.to_string().contains("web:1") && error.hint().is_some());
}

#[test]
fn variables_are_defaults_then_the_images_then_the_manifests() {
    let world =
        World { env: texts(&["PATH=/img", "A=1", "nonsense", "=x", "B=2"]), ..World::new() };
    let pod = pod(
        "tty: true, env: [{name: B, value: '3'}, {name: C, value: $(B)}, \
         {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, \
         {name: T, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['tier']\"}}}, \
         {name: H, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}, \
         {name: O, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]",
        "",
    );
    let want = [
        "PATH=/img",
        "HOSTNAME=web",
        "HOME=/root",
        "TERM=xterm",
        "A=1",
        "B=3",
        "C=3",
        "IP=10.77.0.2",
        "T=front",
        "H=192.0.2.1",
        "O=node",
    ];
    let config = world.build(&pod).unwrap();
    assert_eq!(config["process"]["env"], json!(want));
    assert_eq!(config["process"]["terminal"], true);
}

#[test]
fn folders_are_the_manifests_or_the_images_and_absolute() {
    let world = |working_dir| World { working_dir, ..World::new() };
    for (container, image, want) in [
        ("", None, "/"),
        ("", Some("/srv"), "/srv"),
        ("", Some("srv"), "/srv"),
        ("workingDir: /own", Some("/srv"), "/own"),
    ] {
        let config = world(image).build(&pod(container, "")).unwrap();
        assert_eq!(config["process"]["cwd"], want, "{container} {image:?}");
    }
}

#[test]
fn identities_are_the_containers_the_pods_the_images() {
    let user = ResolvedUser {
        uid: 5,
        gid: 6,
        groups: vec![7, 8],
        home: "/home/five".to_owned(),
        name: Some("five".to_owned()),
    };
    let world = World { user, ..World::new() };
    let pods = "securityContext: {runAsUser: 9, runAsGroup: 10, supplementalGroups: [11, 8], \
                fsGroup: 12},";
    for (container, spec, want) in [
        ("", "", json!({"uid": 5, "gid": 6, "additionalGids": [6, 7, 8]})),
        (
            "securityContext: {runAsUser: 5, runAsGroup: 1}",
            "",
            json!({"uid": 5, "gid": 1, "additionalGids": [1, 7, 8]}),
        ),
        ("securityContext: {runAsUser: 0}", "", json!({"uid": 0, "gid": 0, "additionalGids": [0]})),
        ("", pods, json!({"uid": 9, "gid": 10, "additionalGids": [10, 11, 8, 12]})),
        (
            "securityContext: {runAsUser: 5}",
            pods,
            json!({"uid": 5, "gid": 10, "additionalGids": [10, 7, 8, 11, 12]}),
        ),
    ] {
        let config = world.build(&pod(container, spec)).unwrap();
        assert_eq!(config["process"]["user"], want, "{container} {spec}");
    }
    let config = world.build(&pod("securityContext: {runAsUser: 0}", "")).unwrap();
    assert!(has(&config["process"]["env"], "HOME=/"), "another user's home is not known");
    for (container, refused) in [
        ("securityContext: {runAsNonRoot: true}", false),
        ("securityContext: {runAsNonRoot: true, runAsUser: 0}", true),
    ] {
        assert_eq!(world.build(&pod(container, "")).is_err(), refused, "{container}");
    }
    let root = World::new().build(&pod("", "securityContext: {runAsNonRoot: true},"));
    assert!(matches!(root, Err(BundleError::Root { .. })), "{root:?}");
}

#[test]
fn capabilities_are_added_and_dropped() {
    let default = 11;
    for (change, count, has_one, has_not) in [
        ("", default, "CAP_CHOWN", "CAP_NET_ADMIN"),
        ("capabilities: {add: [net_admin]}", default + 1, "CAP_NET_ADMIN", "CAP_SYS_ADMIN"),
        ("capabilities: {drop: [CAP_CHOWN]}", default - 1, "CAP_KILL", "CAP_CHOWN"),
        ("capabilities: {drop: [ALL], add: [NET_RAW]}", 1, "CAP_NET_RAW", "CAP_CHOWN"),
        ("capabilities: {add: [ALL], drop: [CHOWN]}", 40, "CAP_BPF", "CAP_CHOWN"),
        ("privileged: true", 41, "CAP_SYS_ADMIN", "none"),
    ] {
        let config = config(&format!("securityContext: {{{change}}}"), "");
        let caps = &config["process"]["capabilities"];
        assert_eq!(caps["bounding"].as_array().unwrap().len(), count, "{change}");
        assert!(has(&caps["effective"], has_one) && !has(&caps["effective"], has_not), "{change}");
        assert!(caps["inheritable"].is_null() && caps["ambient"].is_null(), "{change}");
    }
}

#[test]
fn new_privileges_are_off_unless_asked_for() {
    for (context, want) in [
        ("", true),
        ("allowPrivilegeEscalation: true", false),
        ("allowPrivilegeEscalation: false", true),
        ("privileged: true", false),
        ("capabilities: {add: [CAP_SYS_ADMIN]}", false),
    ] {
        let config = config(&format!("securityContext: {{{context}}}"), "");
        assert_eq!(config["process"]["noNewPrivileges"], want, "{context}");
    }
}

#[test]
fn privileged_lifts_masks_filter_and_devices() {
    let plain = config("", "");
    for path in ["/proc/kcore", "/sys/devices/system/cpu/cpu0/thermal_throttle"] {
        assert!(has(&plain["linux"]["maskedPaths"], path), "{path}");
    }
    assert!(has(&plain["linux"]["readonlyPaths"], "/proc/sys"));
    assert!(has(&mount(&plain, "/sys").unwrap()["options"], "ro"));
    assert_eq!(plain["linux"]["seccomp"]["defaultErrnoRet"], 38);
    let denied = json!([{"allow": false, "access": "rwm"}]);
    assert_eq!(plain["linux"]["resources"]["devices"], denied);

    let lifted = config("securityContext: {privileged: true}", "");
    assert_eq!(lifted["linux"]["maskedPaths"], json!([]));
    assert_eq!(lifted["linux"]["readonlyPaths"], json!([]));
    assert!(!has(&mount(&lifted, "/sys/fs/cgroup").unwrap()["options"], "ro"));
    assert!(lifted["linux"]["seccomp"].is_null());
    assert_eq!(lifted["linux"]["resources"]["devices"][0]["allow"], true);

    let unconfined = "securityContext: {seccompProfile: {type: Unconfined}}";
    assert!(config(unconfined, "")["linux"]["seccomp"].is_null());
    let by_pod = config("", &format!("{unconfined},"));
    assert!(by_pod["linux"]["seccomp"].is_null());
    let own = "securityContext: {seccompProfile: {type: RuntimeDefault}}";
    assert!(config(own, &format!("{unconfined},"))["linux"]["seccomp"].is_object());
}

#[test]
fn namespaces_are_the_pods_pins() {
    let of = |spec: &str| config("", spec)["linux"]["namespaces"].clone();
    let pin =
        |kind: &str, name: &str| json!({"type": kind, "path": format!("/run/p/u1/ns/{name}")});
    let plain = of("");
    for namespace in [
        json!({"type": "mount"}),
        json!({"type": "cgroup"}),
        json!({"type": "pid"}),
        pin("ipc", "ipc"),
        pin("uts", "uts"),
        pin("network", "net"),
    ] {
        assert!(plain.as_array().unwrap().contains(&namespace), "{namespace}");
    }
    assert_eq!(plain.as_array().unwrap().len(), 6);
    let host = of("hostNetwork: true,");
    assert!(host.as_array().unwrap().iter().all(|ns| ns["type"] != "network"));
    let shared = of("shareProcessNamespace: true,");
    assert!(shared.as_array().unwrap().contains(&pin("pid", "pid")));
}

#[test]
fn mounts_stand_in_order_and_the_manifests_win() {
    let at = |destination: &str, read_only, recursive| ResolvedVolumeMount {
        source: "/run/p/u1/volumes/v".into(),
        destination: destination.into(),
        read_only,
        recursive,
    };
    let volumes = vec![
        at("/srv/a/b", true, false),
        at("/etc/", false, true),
        at("/srv//a", false, true),
        at("/dev/shm", false, true),
    ];
    let world = World { volumes, ..World::new() };
    let config = world.build(&pod("terminationMessagePath: /srv/end", "")).unwrap();
    let targets: Vec<&str> = config["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    let place = |target: &str| {
        let found: Vec<usize> =
            targets.iter().enumerate().filter(|(_, t)| **t == target).map(|(i, _)| i).collect();
        assert_eq!(found.len(), 1, "{target} in {targets:?}");
        found[0]
    };
    for (above, below) in [
        ("/dev", "/dev/pts"),
        ("/dev", "/dev/shm"),
        ("/sys", "/sys/fs/cgroup"),
        ("/etc", "/etc/hosts"),
        ("/srv/a", "/srv/a/b"),
        ("/proc", "/srv/end"),
    ] {
        assert!(place(above) < place(below), "{above} before {below}: {targets:?}");
    }
    let volume = mount(&config, "/srv/a/b").unwrap();
    assert_eq!(volume["options"], json!(["bind", "rprivate", "ro"]));
    assert_eq!(mount(&config, "/etc").unwrap()["options"], json!(["rbind", "rprivate", "rw"]));
    assert_eq!(mount(&config, "/dev/shm").unwrap()["source"], "/run/p/u1/volumes/v");
    assert_eq!(mount(&config, "/srv/end").unwrap()["source"], "/run/p/u1/termination/a.2");

    let plain = World::new().build(&pod("securityContext: {readOnlyRootFilesystem: true}", ""));
    let plain = plain.unwrap();
    assert_eq!(plain["root"]["readonly"], true);
    assert_eq!(mount(&plain, "/dev/shm").unwrap()["source"], "/run/p/u1/shm");
    let hosts = mount(&plain, "/etc/hosts").unwrap();
    assert_eq!(hosts["source"], "/run/p/u1/etc/hosts");
    assert_eq!(hosts["options"], json!(["bind", "rprivate", "ro"]));
    assert!(mount(&plain, "/dev/termination-log").is_some());
}

#[test]
fn limits_become_numbers_of_the_cgroup() {
    let plain = config("", "");
    assert_eq!(plain["linux"]["cgroupsPath"], "/podvisor/podu1/a.2");
    let resources = &plain["linux"]["resources"];
    assert_eq!(resources["cpu"], json!({"shares": 2}));
    assert_eq!(resources["pids"], json!({"limit": 2048}));
    assert!(resources["memory"].is_null());
    assert_eq!(plain["process"]["oomScoreAdj"], 1000);

    let limited = config("resources: {limits: {cpu: 500m, memory: 64Mi}}", "");
    let resources = &limited["linux"]["resources"];
    let cpu = json!({"shares": 512, "quota": 50_000, "period": 100_000});
    assert_eq!(resources["cpu"], cpu);
    assert_eq!(resources["memory"], json!({"limit": 67_108_864, "swap": 67_108_864}));
    assert_eq!(limited["process"]["oomScoreAdj"], -997);
    let burst = config("resources: {requests: {memory: 512Mi}}", "");
    assert_eq!(burst["process"]["oomScoreAdj"], 500);
}

#[test]
fn values_that_the_runtime_would_refuse_are_told_by_place() {
    let world = World { env: texts(&["A=\0"]), ..World::new() };
    let error = world.build(&pod("", "")).unwrap_err();
    assert!(error.to_string().contains("process.env"), "{error}");
}

#[test]
fn stop_signals_are_names_or_numbers() {
    for (said, want) in
        [(None, 15), (Some("SIGQUIT"), 3), (Some("int"), 2), (Some("9"), 9), (Some("0"), 15)]
    {
        assert_eq!(signal_of(said), want, "{said:?}");
    }
    assert_eq!(signal_of(Some("SIGRTMIN+3")), signal_of(Some("RTMIN")) + 3);
    assert_eq!(signal_of(Some("FROB")), 15);
    assert_eq!(runtime_id("u", "web", 3), "u.web.3");
}

#[test]
fn the_sandbox_has_what_the_pod_asks_for() {
    let of_host = pod("", "hostNetwork: true, hostname: db,");
    let pod = pod(
        "resources: {limits: {cpu: '1', memory: 64Mi}}",
        "hostname: db, shareProcessNamespace: true, \
         securityContext: {sysctls: [{name: net.core.somaxconn, value: '5'}]},",
    );
    let paths = Paths { root: "/r".into(), state: "/run".into(), log_dir: "/l".into() };
    let options = Options::new(paths);
    assert_eq!(sandbox(&of_host, "u1", "node", &options).hostname, "node");
    let sandbox = sandbox(&pod, "u1", "node", &options);
    let want = json!({
        "uid": "u1", "hostname": "db", "host_network": false, "share_process_namespace": true,
        "sysctl": {"net.core.somaxconn": "5"}, "cgroup_parent": "/podvisor/podu1",
        "resources": {
            "cpu": {"shares": 1024, "quota": 100_000, "period": 100_000},
            "memory": {"limit": 67_108_864, "swap": 67_108_864},
        },
        "oci_root": "/run/oci",
    });
    assert_eq!(serde_json::to_value(sandbox).unwrap(), want);
}
