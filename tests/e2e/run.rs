//! `podvisor run`: a pod of one.

use std::io::Write;
use std::process::Stdio;

use crate::host::Host;

#[test]
fn exit_codes_are_those_of_the_command() {
    let Some(scope) = scope::enter("run::exit_codes_are_those_of_the_command") else { return };
    let host = Host::with_busybox(scope);
    let run = |args: &[&str]| {
        let mut all = vec!["run", "--rm", "busybox"];
        all.extend_from_slice(args);
        host.podvisor(&all)
    };
    assert_eq!(run(&["true"]).code, 0);
    assert_eq!(run(&["sh", "-c", "exit 42"]).code, 42);
    // Process 1 of a PID namespace cannot kill itself: pid_namespaces(7).
    let shared = ["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"];
    assert_eq!(host.podvisor(&shared).code, 137);
    let bare = ["run", "--rm", "--entrypoint", "", "busybox", "sh", "-c", "exit 4"];
    assert_eq!(host.podvisor(&bare).code, 4);
    run(&["no-such-command"]).fails(127, &["no-such-command", "not found"]);
    run(&["/etc/passwd"]).fails(126, &["/etc/passwd", "permission denied"]);
    host.podvisor(&["run", "--no-such-flag", "busybox"]).fails(125, &["--no-such-flag"]);
    let never = ["run", "--pull", "never", "no-such-image"];
    host.podvisor(&never).fails(125, &["no-such-image", "podvisor load"]);
    // This scope has no network.
    host.podvisor(&["run", "no-such-image"]).fails(125, &["docker.io", "library/no-such-image"]);
    assert!(host.pods_left().is_empty());
}

#[test]
fn flags_reach_the_container() {
    let Some(scope) = scope::enter("run::flags_reach_the_container") else { return };
    let host = Host::with_busybox(scope);
    let dir = host.path("shared");
    std::fs::create_dir(&dir).expect("mkdir");
    let volume = format!("{}:/shared", dir.display());
    let script = "id -u; pwd; echo $GREETING; echo from inside > /shared/f; \
                  touch /x 2>&1 | grep -o 'Read-only'; cat /proc/1/comm; true";
    let out = host
        .podvisor(&[
            "run",
            "--rm",
            "--name",
            "flags",
            "-e",
            "GREETING=hello",
            "-v",
            &volume,
            "--user",
            "root",
            "--workdir",
            "/tmp",
            "--read-only",
            "--memory",
            "64m",
            "--cpus",
            "0.5",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    assert_eq!(out.lines().collect::<Vec<_>>(), ["0", "/tmp", "hello", "Read-only", "sh"], "{out}");
    let written = std::fs::read_to_string(dir.join("f")).expect("the volume's file");
    assert_eq!(written.trim(), "from inside");
    let out = host.podvisor(&["run", "--rm", "--user", "nobody", "busybox", "id", "-u"]).ok();
    assert_eq!(out.trim(), "65534");
    let init = "ps -o pid,args | grep -c '^ *1 .*sh -c' || :";
    let out = host.podvisor(&["run", "--rm", "--init", "busybox", "sh", "-c", init]).ok();
    assert_eq!(out.trim(), "0", "with --init, pid 1 is not the command");
}

#[test]
fn standard_input_and_both_outputs_are_connected() {
    let Some(scope) = scope::enter("run::standard_input_and_both_outputs_are_connected") else {
        return;
    };
    let host = Host::with_busybox(scope);
    let mut child = host
        .command(&["run", "--rm", "-i", "busybox", "sh", "-c", "tr a-z A-Z; echo aside >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run");
    child.stdin.take().expect("stdin").write_all(b"quietly\n").expect("write");
    let out = child.wait_with_output().expect("wait");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "QUIETLY\n");
    assert_eq!(String::from_utf8_lossy(&out.stderr), "aside\n");
}

#[test]
fn a_terminal_is_a_terminal() {
    let Some(scope) = scope::enter("run::a_terminal_is_a_terminal") else { return };
    let host = Host::with_busybox(scope);
    // `script` gives the program under test a terminal of its own.
    let line = "stty size; tty && echo yes";
    let podvisor = crate::host::binaries().join("podvisor");
    let inner =
        format!("stty rows 33 cols 77; {} run --rm -it busybox sh -c '{line}'", podvisor.display());
    let out = std::process::Command::new("script")
        .args(["-qec", &inner, "/dev/null"])
        .envs([
            ("PODVISOR_ROOT", host.path("root")),
            ("PODVISOR_STATE", host.path("state")),
            ("PODVISOR_LOG_DIR", host.path("log")),
        ])
        .stdin(Stdio::null())
        .output()
        .expect("script");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("33 77") && text.contains("yes"), "{text}");
}

#[test]
fn a_terminal_without_input_ends_a_shell() {
    let Some(scope) = scope::enter("run::a_terminal_without_input_ends_a_shell") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    let other = ["run", "-d", "--grace-period", "0", "--name", "other", "busybox"];
    host.podvisor(&[&other[..], &["sleep", "1000"]].concat()).ok();
    // Each shell changes the terminal's mode, and so loses the end of input that came before.
    let line = "sleep 0.3; exec sh -i";
    for words in [["run", "--rm", "-it", "busybox"], ["exec", "-it", "other", "--"]] {
        let words = [&words[..], &["sh", "-c", line]].concat();
        let mut child = host.command(&words).stdout(Stdio::null()).spawn().expect("podvisor");
        host.until(&format!("{words:?} ends"), || child.try_wait().expect("wait"));
    }
    host.down();
}

#[test]
fn detached_runs_go_on_and_can_be_deleted() {
    let Some(scope) = scope::enter("run::detached_runs_go_on_and_can_be_deleted") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.podvisor(&["run", "-d", "--name", "quiet", "busybox", "sleep", "1000"]).ok();
    host.ready("quiet");
    assert_eq!(host.podvisor(&["exec", "quiet", "--", "sh", "-c", "exit 5"]).code, 5);
    host.podvisor(&["run", "-d", "--name", "quiet", "busybox", "true"]).fails(125, &["quiet"]);
    // What cannot start is told at once, and nothing is left of it.
    host.podvisor(&["run", "-d", "--name", "none", "busybox", "no-such"]).fails(127, &["no-such"]);
    assert!(host.pod("none").is_none());
    host.podvisor(&["delete", "pod", "quiet", "--grace-period", "0"]).ok();
    host.until("it is gone", || host.pod("quiet").is_none().then_some(()));
    host.down();
}

#[test]
fn signals_are_passed_on_as_they_are() {
    let Some(scope) = scope::enter("run::signals_are_passed_on_as_they_are") else { return };
    let host = Host::with_busybox(scope);
    let line = "trap 'exit 9' TERM; trap 'exit 8' INT; echo up; while :; do sleep 0.1; done";
    for (signal, code) in [("-TERM", 9), ("-INT", 8)] {
        let mut child = host
            .command(&["run", "--rm", "busybox", "sh", "-c", line])
            .stdout(Stdio::piped())
            .spawn()
            .expect("run");
        let mut up = [0; 3];
        let mut stdout = child.stdout.take().expect("stdout");
        std::io::Read::read_exact(&mut stdout, &mut up).expect("it says that it is up");
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill").success());
        assert_eq!(child.wait().expect("wait").code(), Some(code), "{signal}");
    }
    assert!(host.pods_left().is_empty());
}

impl Host {
    /// What a finished foreground run may have left in its state folder.
    fn pods_left(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.path("state/pods"));
        entries.into_iter().flatten().flatten().map(|e| e.path()).collect()
    }
}
