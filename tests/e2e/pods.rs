//! A pod: what its containers share, what they do not, its address, its ports, its logs.

use std::process::Command;

use crate::host::Host;

fn sh(line: &str) -> String {
    let out = Command::new("sh").args(["-c", line]).output().expect("sh");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

#[test]
fn nginx_in_one_container_answers_the_other_over_localhost() {
    let Some(scope) = scope::enter("pods::nginx_in_one_container_answers_the_other_over_localhost")
    else {
        return;
    };
    let mut host = Host::new(scope);
    host.import("nginx");
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: server
    image: nginx:latest
    command: [/usr/sbin/nginx]
    readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
    ports: [{containerPort: 8080, hostPort: 18080}]
  - name: client
    image: nginx:latest
    command: [sleep, '1000']
",
    );
    let pod = host.ready("web");
    let answer =
        host.podvisor(&["exec", "web/client", "--", "wget", "-qO-", "http://127.0.0.1:8080/"]).ok();
    assert_eq!(answer.trim(), "answered by nginx");
    // From the host, by the pod's address and by the published port on two of its addresses.
    let ip = pod["status"]["podIP"].as_str().expect("podIP");
    assert_eq!(sh(&format!("busybox wget -qO- http://{ip}:8080/")), "answered by nginx");
    assert_eq!(sh("timeout 5 busybox wget -qO- http://127.0.0.1:18080/"), "answered by nginx");
    let logs = host.podvisor(&["logs", "web", "-c", "server"]).ok();
    assert!(logs.contains("GET /"), "access log: {logs}");
    host.down();
}

#[test]
fn pods_reach_each_other_and_addresses_are_freed() {
    let Some(scope) = scope::enter("pods::pods_reach_each_other_and_addresses_are_freed") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: busybox, command: [sh, -c, 'httpd -f -p 80 -h /etc']}]
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: busybox, command: [sleep, '1000']}]
",
    );
    let a = host.ready("a")["status"]["podIP"].as_str().expect("podIP").to_owned();
    let b = host.ready("b")["status"]["podIP"].as_str().expect("podIP").to_owned();
    assert_ne!(a, b);
    let url = format!("http://{a}/hostname");
    assert_eq!(host.podvisor(&["exec", "b", "--", "wget", "-qO-", &url]).ok().trim(), "a");
    host.podvisor(&["delete", "pod", "a"]).ok();
    assert!(host.pod("a").is_none(), "a deletion is waited for");
    assert_eq!(sh("ip -o link show type veth | wc -l"), "1", "one link for one pod");
    host.down();
}

#[test]
fn ipc_is_shared_and_pid_namespaces_are_not_unless_asked() {
    let Some(scope) = scope::enter("pods::ipc_is_shared_and_pid_namespaces_are_not_unless_asked")
    else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    let pod = |name: &str, shared: bool| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  shareProcessNamespace: {shared}
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: one, image: busybox, command: [sleep, '1000']}}
  - {{name: two, image: busybox, command: [sleep, '1001']}}
---"
        )
    };
    host.apply(&format!("{}{}", pod("apart", false), pod("together", true)));
    for name in ["apart", "together"] {
        host.ready(name);
        let read = |container: &str, what: &str| {
            let target = format!("{name}/{container}");
            host.podvisor(&["exec", &target, "--", "readlink", what]).ok()
        };
        for shared in ["/proc/self/ns/net", "/proc/self/ns/ipc", "/proc/self/ns/uts"] {
            assert_eq!(read("one", shared), read("two", shared), "{name} {shared}");
        }
        assert_ne!(read("one", "/proc/self/ns/mnt"), read("two", "/proc/self/ns/mnt"));
        let same = read("one", "/proc/self/ns/pid") == read("two", "/proc/self/ns/pid");
        assert_eq!(same, name == "together", "{name}: pid namespace");
        // A POSIX message queue made in one is seen in the other.
        let make = "mkdir -p /tmp/q; touch /dev/mqueue/greeting && ls /dev/mqueue";
        let one = format!("{name}/one");
        assert_eq!(host.podvisor(&["exec", &one, "--", "sh", "-c", make]).ok().trim(), "greeting");
        let two = format!("{name}/two");
        let seen = host.podvisor(&["exec", &two, "--", "ls", "/dev/mqueue"]).ok();
        assert_eq!(seen.trim(), "greeting");
        let others = host.podvisor(&["exec", &one, "--", "ps"]).ok();
        assert_eq!(others.contains("sleep 1001"), name == "together", "{others}");
    }
    host.down();
}

#[test]
fn a_pod_on_the_hosts_network_has_the_nodes_name() {
    let Some(scope) = scope::enter("pods::a_pod_on_the_hosts_network_has_the_nodes_name") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: agent}
spec:
  hostNetwork: true
  hostname: agent
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: busybox, command: [sleep, '1000']}]
",
    );
    host.ready("agent");
    let node = sh("hostname");
    let script = "hostname; cat /etc/hostname; tr '\\0' '\\n' < /proc/1/environ | grep ^HOSTNAME=";
    let told = host.podvisor(&["exec", "agent", "--", "sh", "-c", script]).ok();
    assert_eq!(told, format!("{node}\n{node}\nHOSTNAME={node}\n"));
    host.down();
}

#[test]
fn logs_are_in_cri_format_with_streams_told_apart() {
    let Some(scope) = scope::enter("pods::logs_are_in_cri_format_with_streams_told_apart") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'echo to out; echo to err >&2; printf unfinished']
",
    );
    let pod = host.phase("talker", "Succeeded");
    let uid = pod["metadata"]["uid"].as_str().expect("uid");
    let file = host.path(&format!("log/default_talker_{uid}/main/0.log"));
    let text = std::fs::read_to_string(&file).expect("the CRI log file");
    let tails: Vec<&str> = text.lines().filter_map(|l| l.split_once(' ')).map(|(_, t)| t).collect();
    assert!(tails.contains(&"stdout F to out"), "{text}");
    assert!(tails.contains(&"stderr F to err"), "{text}");
    assert!(tails.contains(&"stdout P unfinished"), "{text}");
    let stamp = text.split(' ').next().expect("a time");
    assert!(stamp.len() > 25 && stamp.contains('T') && stamp.contains('.'), "{stamp}");
    host.down();
}

#[test]
fn each_member_has_a_cgroup_below_its_pods() {
    let Some(scope) = scope::enter("pods::each_member_has_a_cgroup_below_its_pods") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    command: [sleep, '1000']
    resources: {limits: {memory: 64Mi, cpu: 250m}}
",
    );
    let pod = host.ready("limited");
    let uid = pod["metadata"]["uid"].as_str().expect("uid");
    let member = format!("podvisor/pod{uid}/main.0");
    let limit = format!("/sys/fs/cgroup/memory/{member}/memory.limit_in_bytes");
    assert_eq!(std::fs::read_to_string(limit).expect("limit").trim(), "67108864");
    let quota = format!("/sys/fs/cgroup/cpu/{member}/cpu.cfs_quota_us");
    assert_eq!(std::fs::read_to_string(quota).expect("quota").trim(), "25000");
    host.down();
}
