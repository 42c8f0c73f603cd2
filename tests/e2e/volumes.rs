//! What a container is given: volumes, files of its pod, and no more privileges than it needs.

use std::fs;

use crate::host::Host;

#[test]
fn members_share_volumes_and_memory() {
    let Some(scope) = scope::enter("volumes::members_share_volumes_and_memory") else { return };
    let mut host = Host::with_busybox(scope);
    let shown = host.path("shown");
    fs::create_dir(&shown).expect("mkdir");
    fs::write(shown.join("file"), "of the host\n").expect("write");
    host.serve();
    host.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: sharing}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {{fsGroup: 777}}
  volumes:
  - {{name: disk, emptyDir: {{}}}}
  - {{name: ram, emptyDir: {{medium: Memory, sizeLimit: 1Mi}}}}
  - {{name: shown, hostPath: {{path: {}, type: Directory}}}}
  containers:
  - name: one
    image: busybox
    command: [sleep, '1000']
    securityContext: {{runAsUser: 65534}}
    volumeMounts:
    - {{name: disk, mountPath: /disk}}
    - {{name: ram, mountPath: /ram}}
    - {{name: shown, mountPath: /shown, readOnly: true}}
  - name: two
    image: busybox
    command: [sleep, '1000']
    volumeMounts:
    - {{name: disk, mountPath: /part, subPath: a/b}}
    - {{name: disk, mountPath: /part/whole}}
    - {{name: ram, mountPath: /ram, readOnly: true}}
",
        shown.display()
    ));
    host.ready("sharing");
    let sh = |container: &str, script: &str| {
        let target = format!("sharing/{container}");
        host.podvisor(&["exec", &target, "--", "sh", "-c", script]).ok().trim().to_owned()
    };
    let made = sh("one", "echo hi > /disk/a/b/f; stat -c %g /disk/a/b/f; id -G");
    assert_eq!(made, "777\n65534 29 777", "the image's groups and fsGroup");
    assert_eq!(sh("two", "cat /part/f; cat /part/whole/a/b/f"), "hi\nhi");
    let full = sh("one", "echo ram > /ram/f; dd if=/dev/zero of=/ram/g bs=1k count=2k 2>&1 || :");
    assert!(full.contains("No space left"), "{full}");
    let refused = sh("two", "cat /ram/f; (echo x > /ram/f) 2>&1 || :");
    assert!(refused.starts_with("ram\n") && refused.contains("Read-only"), "{refused}");
    let refused = sh("one", "cat /shown/file; (echo x > /shown/file) 2>&1 || :");
    assert!(refused.starts_with("of the host") && refused.contains("Read-only"), "{refused}");
    assert_eq!(fs::read_to_string(shown.join("file")).expect("read"), "of the host\n");
    // POSIX shared memory is the pod's, as System V's is.
    sh("one", "echo segment > /dev/shm/s");
    assert_eq!(sh("two", "cat /dev/shm/s"), "segment");
    host.podvisor(&["delete", "pod", "sharing"]).ok();
    host.until("it is gone", || host.pod("sharing").is_none().then_some(()));
    assert!(shown.join("file").exists(), "what a hostPath shows stays");
    host.down();
}

#[test]
fn an_empty_dir_lives_as_long_as_its_pod() {
    let Some(scope) = scope::enter("volumes::an_empty_dir_lives_as_long_as_its_pod") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    let manifest = |hostname: &str| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: keeper}}
spec:
  hostname: {hostname}
  terminationGracePeriodSeconds: 0
  volumes:
  - {{name: disk, emptyDir: {{}}}}
  - {{name: ram, emptyDir: {{medium: Memory}}}}
  containers:
  - name: main
    image: busybox
    command: [sleep, '1000']
    volumeMounts: [{{name: disk, mountPath: /disk}}, {{name: ram, mountPath: /ram}}]
"
        )
    };
    host.apply(&manifest("first"));
    let pod = host.ready("keeper");
    let volumes = host.path("root/volumes");
    let folder = volumes.join(pod["metadata"]["uid"].as_str().expect("uid"));
    let sh =
        |host: &Host, script: &str| host.podvisor(&["exec", "keeper", "--", "sh", "-c", script]);
    sh(&host, "echo on disk > /disk/f; echo in memory > /ram/f").ok();
    assert_eq!(fs::read_to_string(folder.join("disk/f")).expect("the host's file"), "on disk\n");
    assert!(!folder.join("ram").exists(), "what is in memory is not on disk");
    // Another host name is another sandbox.
    host.apply(&manifest("second"));
    host.until("the sandbox is made anew", || {
        (sh(&host, "hostname").out == "second\n").then_some(())
    });
    assert_eq!(sh(&host, "cat /disk/f /ram/f").ok(), "on disk\nin memory\n");
    // What belongs to nobody goes; what is no pod's stays.
    host.kill_supervisor();
    let orphan = volumes.join("00000000-0000-4000-8000-000000000001");
    fs::create_dir_all(orphan.join("v/w")).expect("mkdir");
    fs::create_dir(volumes.join("mine")).expect("mkdir");
    host.serve();
    host.until("the orphan's volumes are gone", || (!orphan.exists()).then_some(()));
    assert_eq!(sh(&host, "cat /disk/f /ram/f").ok(), "on disk\nin memory\n");
    assert!(volumes.join("mine").exists());
    fs::remove_dir(volumes.join("mine")).expect("rmdir");
    host.podvisor(&["delete", "pod", "keeper"]).ok();
    assert!(!folder.exists(), "the pod's deletion takes its volumes along");
    host.down();
    assert!(!volumes.exists());
}

#[test]
fn a_container_has_what_it_needs_and_no_more() {
    let Some(scope) = scope::enter("volumes::a_container_has_what_it_needs_and_no_more") else {
        return;
    };
    let host = Host::with_busybox(scope);
    let run = |script: &str| {
        let done =
            host.podvisor(&["run", "--rm", "--name", "modest", "busybox", "sh", "-c", script]);
        done.ok().trim().to_owned()
    };
    let status = run("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -d '\\t'");
    // podman's eleven: chown dac_override fowner fsetid kill setgid setuid setpcap
    // net_bind_service sys_chroot setfcap.
    let want = "CapInh:0000000000000000\nCapPrm:00000000800405fb\nCapEff:00000000800405fb\n\
                CapBnd:00000000800405fb\nCapAmb:0000000000000000\nNoNewPrivs:1\nSeccomp:2";
    assert_eq!(status, want);
    for (script, words) in [
        ("unshare -m true 2>&1 || :", "not permitted"),
        ("mount -t tmpfs t /tmp 2>&1 || :", "permission denied"),
        ("(echo 1 > /proc/sys/kernel/panic) 2>&1 || :", "Read-only"),
        ("(: > /sys/power/state) 2>&1 || :", "Read-only"),
        ("mkdir /sys/fs/cgroup/pids/x 2>&1 || mkdir /sys/fs/cgroup/x 2>&1 || :", "Read-only"),
        ("wc -c < /proc/interrupts; wc -c < /proc/keys", "0\n0"),
        ("ls /sys/firmware | wc -l", "0"),
        ("mknod /x b 8 0 && head -c 1 /x 2>&1 || echo refused", "refused"),
        ("cat /etc/hostname; hostname; echo $HOSTNAME", "modest\nmodest\nmodest"),
        ("grep -c modest /etc/hosts; test -f /etc/resolv.conf && echo $HOME", "1\n/root"),
    ] {
        let got = run(script);
        assert!(got.contains(words), "{script}: {got}");
    }
}

#[test]
fn last_words_are_in_the_status() {
    let Some(scope) = scope::enter("volumes::last_words_are_in_the_status") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: speaks}
spec:
  restartPolicy: Never
  containers:
  - {name: file, image: busybox, command: [sh, -c, 'echo -n why > /dev/termination-log; exit 3']}
  - name: log
    image: busybox
    command: [sh, -c, 'echo out; echo err >&2; exit 4']
    terminationMessagePolicy: FallbackToLogsOnError
",
    );
    host.phase("speaks", "Failed");
    let message = |name: &str| {
        let status = host.container("speaks", name).expect("status");
        status["state"]["terminated"]["message"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(message("file"), "why");
    let log = message("log");
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
    host.down();
}
