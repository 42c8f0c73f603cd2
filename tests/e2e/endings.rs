//! Ends of `up` and of the supervisor: Ctrl-C, once and twice, and kill -9 in the middle of work.

use std::collections::BTreeMap;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{Host, is_ready};
use crate::supervise::{SLEEPER, member_pid, restarts};

/// Longer than any test waits.
const DEAF: &str = "
apiVersion: v1
kind: Pod
metadata: {name: deaf}
spec:
  terminationGracePeriodSeconds: 60
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'trap : TERM; while :; do sleep 0.1; done']
";

fn interrupt(child: &Child) {
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// The pods, where a supervisor answers.
fn pods(host: &Host) -> Vec<Value> {
    let listed = host.podvisor(&["get", "pods", "-o", "json"]);
    serde_json::from_str(&listed.out).unwrap_or_default()
}

/// `up` in the foreground, once its pod is ready.
fn up(host: &Host, manifest: &str) -> Child {
    let file = host.file("up.yaml", manifest);
    let up = host.command(&["up", "-f", &file]).spawn().expect("up");
    host.until("the pod is ready", || pods(host).iter().any(is_ready).then_some(()));
    up
}

#[test]
fn a_foreground_up_cleans_up_on_interrupt() {
    let Some(scope) = scope::enter("endings::a_foreground_up_cleans_up_on_interrupt") else {
        return;
    };
    let host = Host::with_busybox(scope);
    let mut up = up(&host, SLEEPER);
    interrupt(&up);
    let status = up.wait().expect("wait");
    assert!(status.success() || status.code() == Some(130), "{status}");
}

/// Interrupts twice; how long after the second one it took, and how it ended.
fn twice(host: &Host, mut up: Child) -> (Duration, ExitStatus) {
    interrupt(&up);
    let told = host.until("the pod is told to end", || {
        let told = pods(host).iter().any(|pod| pod["metadata"]["deletionTimestamp"].is_string());
        told.then(Instant::now)
    });
    // What comes at once is one stroke.
    host.until("the next stroke", || (told.elapsed() > Duration::from_millis(300)).then_some(()));
    assert!(up.try_wait().expect("up").is_none(), "it waits for its pod");
    let begun = Instant::now();
    interrupt(&up);
    let status = up.wait().expect("wait");
    (begun.elapsed(), status)
}

/// Red where `up` does not listen on after the first one, or does not hand on the second.
#[test]
fn a_second_interrupt_leaves_no_time() {
    let Some(scope) = scope::enter("endings::a_second_interrupt_leaves_no_time") else { return };
    let mut host = Host::with_busybox(scope);
    // Under its own supervisor, and under another's, where something else goes on.
    let (took, status) = twice(&host, up(&host, DEAF));
    assert!(status.success() && took < Duration::from_secs(20), "{status}, {took:?}");
    host.serve();
    host.apply(SLEEPER);
    host.ready("sleeper");
    let file = host.file("deaf.yaml", DEAF);
    let deaf = host.command(&["up", "-f", &file]).spawn().expect("up");
    host.ready("deaf");
    let (took, status) = twice(&host, deaf);
    assert!(status.success() && took < Duration::from_secs(20), "{status}, {took:?}");
    assert!(host.pod("deaf").is_none() && host.pod("sleeper").is_some());
    host.down();
}

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: busybox
        command: [sh, -c, 'httpd -p 80 -h /bin; sleep 1000']
        readinessProbe: {httpGet: {path: /busybox, port: 80}, periodSeconds: 1}
";

/// Name, first process and address of each pod of the deployment that is ready.
fn replicas(host: &Host) -> BTreeMap<String, (Option<i32>, String)> {
    let web = host.pods().into_iter().filter(|pod| pod["metadata"]["labels"]["app"] == "web");
    web.filter(is_ready)
        .map(|pod| {
            let name = pod["metadata"]["name"].as_str().expect("name").to_owned();
            let address = pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
            let pid = member_pid(host, &name, "main.0");
            (name, (pid, address))
        })
        .collect()
}

/// Red without the world that `recover` makes of the database and of what runs.
#[test]
fn kill_9_in_the_middle_of_work_is_made_up_for() {
    let name = "endings::kill_9_in_the_middle_of_work_is_made_up_for";
    let Some(scope) = scope::enter(name) else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(WEB);
    host.apply(&DEAF.replace("Seconds: 60", "Seconds: 3"));
    let before = host.until("both replicas are ready", || {
        Some(replicas(&host)).filter(|found| found.len() == 2)
    });
    host.ready("deaf");
    // More are wanted, and one is to end: neither is done when nobody supervises any more.
    host.podvisor(&["scale", "deployment/web", "--replicas", "5"]).ok();
    host.podvisor(&["delete", "pod", "deaf", "--wait=false"]).ok();
    host.kill_supervisor();
    assert_ne!(host.podvisor(&["get", "pods"]).code, 0, "nobody answers");
    host.serve();
    // A second one sees that it is not alone.
    host.podvisor(&["serve"]).fails(100, &[]);
    host.until("what was to end has ended", || host.pod("deaf").is_none().then_some(()));
    let after = host.until("five replicas are ready", || {
        Some(replicas(&host)).filter(|found| found.len() == 5)
    });
    for (name, facts) in &before {
        assert_eq!(after.get(name), Some(facts), "{name} was adopted: {after:?}");
        assert_eq!(restarts(&host.container(name, "main").expect("status")), 0, "{name}");
    }
    let addresses: std::collections::BTreeSet<_> = after.values().map(|facts| &facts.1).collect();
    assert_eq!(addresses.len(), 5, "{after:?}");
    assert_eq!(host.pods().len(), 5);
    // It supervises those, too: probes, exec, scale.
    let (pod, (_, address)) = before.first_key_value().expect("a replica");
    let fetched = format!("http://{address}/busybox");
    let words = ["exec", pod, "--", "wget", "-q", "-O", "/dev/null", &fetched];
    host.podvisor(&words).ok();
    host.podvisor(&["scale", "deployment/web", "--replicas", "1"]).ok();
    host.until("one is left", || (host.pods().len() == 1).then_some(()));
    host.down();
}
