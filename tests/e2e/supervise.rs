//! The supervisor: restarts, probes, replicas, OOM, ordered stop, its own death.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{Host, is_ready};

pub(crate) const SLEEPER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done']
";

pub(crate) fn restarts(container: &Value) -> u64 {
    container["restartCount"].as_u64().unwrap_or(0)
}

/// The pid of a member's first process, from its cgroup.
pub(crate) fn member_pid(host: &Host, pod: &str, member: &str) -> Option<i32> {
    let uid = host.pod(pod)?["metadata"]["uid"].as_str()?.to_owned();
    let file = format!("/sys/fs/cgroup/pids/podvisor/pod{uid}/{member}/cgroup.procs");
    fs::read_to_string(file).ok()?.lines().next()?.parse().ok()
}

#[test]
fn a_crashed_member_comes_back_and_backs_off() {
    let Some(scope) = scope::enter("supervise::a_crashed_member_comes_back_and_backs_off") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: crasher}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: busybox, command: [sh, -c, 'exit 7']}]
",
    );
    let status = host.until("a second crash backs off", || {
        host.container("crasher", "main")
            .filter(|c| c["state"]["waiting"]["reason"] == "CrashLoopBackOff")
    });
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 7, "{status}");
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error", "{status}");
    assert_eq!(restarts(&status), 1, "the first restart is at once, the second after ten seconds");
    let words = host.podvisor(&["describe", "pod", "crasher"]).ok();
    assert!(words.contains("CrashLoopBackOff") && words.contains('7'), "{words}");
    host.down();
}

#[test]
fn oom_is_told_from_error() {
    let Some(scope) = scope::enter("supervise::oom_is_told_from_error") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'head -c 200m /dev/zero | tail -c 200m | wc -c; exit 137']
    resources: {limits: {memory: 16Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: pretender}
spec:
  restartPolicy: Never
  containers: [{name: main, image: busybox, command: [sh, -c, 'exit 137']}]
",
    );
    host.phase("greedy", "Failed");
    host.phase("pretender", "Failed");
    let reason = |pod: &str| {
        let status = host.container(pod, "main").expect("status");
        status["state"]["terminated"]["reason"].as_str().unwrap_or("none").to_owned()
    };
    assert_eq!(reason("greedy"), "OOMKilled");
    assert_eq!(reason("pretender"), "Error");
    host.down();
}

#[test]
fn probes_gate_readiness_and_restart_the_dead() {
    let Some(scope) = scope::enter("supervise::probes_gate_readiness_and_restart_the_dead") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: probed}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: http
    image: busybox
    command: [sh, -c, 'mkdir /www; httpd -p 8080 -h /www; sleep 1000']
    readinessProbe: {httpGet: {path: /ok, port: 8080}, periodSeconds: 1}
    startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 30}
  - name: alive
    image: busybox
    command: [sh, -c, 'touch /alive; sleep 1000']
    livenessProbe:
      exec: {command: [test, -e, /alive]}
      periodSeconds: 1
      timeoutSeconds: 10
      failureThreshold: 2
",
    );
    let started =
        |name: &str| host.container("probed", name).filter(|c| c["state"]["running"].is_object());
    host.until("the http container has started", || {
        started("http").filter(|c| c["started"] == true)
    });
    assert_eq!(started("http").expect("http")["ready"], false, "404 is not ready");
    host.podvisor(&["exec", "probed/http", "--", "touch", "/www/ok"]).ok();
    host.until("it is ready", || started("http").filter(|c| c["ready"] == true));
    host.podvisor(&["exec", "probed/http", "--", "rm", "/www/ok"]).ok();
    host.until("it is not ready again", || started("http").filter(|c| c["ready"] == false));
    host.until("alive runs", || started("alive"));
    host.podvisor(&["exec", "probed/alive", "--", "rm", "/alive"]).ok();
    host.until("liveness restarted it", || started("alive").filter(|c| restarts(c) == 1));
    assert_eq!(restarts(&started("http").expect("http")), 0);
    host.down();
}

#[test]
fn a_deployment_keeps_its_replicas_and_scales() {
    let Some(scope) = scope::enter("supervise::a_deployment_keeps_its_replicas_and_scales") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: busybox, command: [sleep, '1000']}]
",
    );
    let ready = |host: &Host| host.pods().iter().filter(|p| is_ready(p)).count();
    let settled = |host: &Host, n: usize| {
        host.until(&format!("{n} replicas"), || {
            (host.pods().len() == n && ready(host) == n).then_some(())
        });
    };
    settled(&host, 3);
    let victim = host.pods()[0]["metadata"]["name"].as_str().expect("name").to_owned();
    host.podvisor(&["delete", "pod", &victim]).ok();
    host.until("the victim is gone", || host.pod(&victim).is_none().then_some(()));
    settled(&host, 3);
    host.podvisor(&["scale", "deployment/web", "--replicas", "5"]).ok();
    settled(&host, 5);
    host.podvisor(&["scale", "deployment/web", "--replicas", "1"]).ok();
    settled(&host, 1);
    host.podvisor(&["delete", "deployment", "web"]).ok();
    host.until("all are gone", || host.pods().is_empty().then_some(()));
    host.down();
}

#[test]
fn kill_9_of_the_supervisor_loses_nothing() {
    let Some(scope) = scope::enter("supervise::kill_9_of_the_supervisor_loses_nothing") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(SLEEPER);
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: ends-alone}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'until [ -e /tmp/go ]; do sleep 0.05; done; exit 9']
",
    );
    host.ready("sleeper");
    host.ready("ends-alone");
    let before = member_pid(&host, "sleeper", "main.0").expect("pid");
    let other = member_pid(&host, "ends-alone", "main.0").expect("pid");
    host.kill_supervisor();
    // It ends while nobody supervises.
    fs::write(format!("/proc/{other}/root/tmp/go"), "").expect("go");
    host.until("the member has ended", || (!alive(other)).then_some(()));
    host.serve();
    let pod = host.phase("ends-alone", "Failed");
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(ended["exitCode"], 9, "{pod}");
    assert_eq!(member_pid(&host, "sleeper", "main.0"), Some(before), "adopted, not restarted");
    assert_eq!(restarts(&host.container("sleeper", "main").expect("status")), 0);
    // Every line of the log is there, in order.
    let numbers = host.until("it goes on writing", || {
        let log = host.podvisor(&["logs", "sleeper"]).ok();
        let numbers: Vec<u64> =
            log.lines().filter_map(|l| l.strip_prefix("line ")?.parse().ok()).collect();
        (numbers.len() > 20).then_some(numbers)
    });
    assert!(numbers.iter().enumerate().all(|(i, n)| *n == i as u64 + 1), "a gap: {numbers:?}");
    host.down();
}

pub(crate) fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| !s.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

#[test]
fn a_deaf_member_is_killed_when_its_grace_ends() {
    let Some(scope) = scope::enter("supervise::a_deaf_member_is_killed_when_its_grace_ends") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    let pod = |name: &str, trap: &str, grace: u32| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: {grace}
  containers: [{{name: main, image: busybox, command: [sh, -c, 'trap \"{trap}\" TERM; while :; do sleep 0.1; done']}}]
---"
        )
    };
    host.apply(&format!("{}{}", pod("deaf", ":", 3), pod("polite", "exit 0", 30)));
    host.ready("deaf");
    host.ready("polite");
    let began = Instant::now();
    host.podvisor(&["delete", "pod", "polite"]).ok();
    host.until("polite is gone", || host.pod("polite").is_none().then_some(()));
    let polite = began.elapsed();
    let began = Instant::now();
    host.podvisor(&["delete", "pod", "deaf", "--wait=false"]).ok();
    assert!(host.pod("deaf").is_some(), "nobody has waited");
    host.until("deaf is gone", || host.pod("deaf").is_none().then_some(()));
    assert!(began.elapsed() >= Duration::from_secs(3), "killed before its grace ended");
    assert!(polite < Duration::from_secs(25), "polite was waited for to the end of its grace");
    host.down();
}
