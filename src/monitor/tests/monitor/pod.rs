//! A pod for a test: folder, sandbox.json, monitor process, bundles of busybox, client.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use monitor::protocol::{
    ContainerRecord, ExitRecord, RecordState, Request, Response, Rootfs, RunContainer,
};
use monitor::{Client, SandboxConfig};
use serde_json::{Value, json};

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Pod {
    pub(crate) dir: PathBuf,
    pub(crate) config: SandboxConfig,
    pub(crate) client: Client,
    pub(crate) monitor: Child,
    rootfs: PathBuf,
    logs: PathBuf,
}

impl Pod {
    pub(crate) fn start(folder: &Path) -> Pod {
        Pod::start_with(folder, |_| {})
    }

    pub(crate) fn start_with(folder: &Path, change: impl FnOnce(&mut SandboxConfig)) -> Pod {
        let dir = folder.join("pods/u1");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).unwrap();
        let mut config = SandboxConfig {
            uid: "u1".into(),
            hostname: "testpod".into(),
            host_network: false,
            ids: None,
            share_process_namespace: false,
            sysctl: BTreeMap::new(),
            cgroup_parent: "/podvisor/podu1".into(),
            resources: None,
            oci_root: folder.join("oci"),
        };
        change(&mut config);
        fs::write(dir.join("sandbox.json"), serde_json::to_vec(&config).unwrap()).unwrap();
        let rootfs = folder.join("rootfs");
        make_rootfs(&rootfs);
        let monitor = spawn_monitor(&dir);
        let client = Client::connect(&dir.join("monitor.sock")).unwrap();
        client.set_timeout_ms(Some(DEADLINE.as_millis().try_into().unwrap())).unwrap();
        Pod { dir, config, client, monitor, rootfs, logs: folder.join("logs") }
    }

    /// One more connection.
    pub(crate) fn connect(&self) -> Client {
        let client = Client::connect(&self.dir.join("monitor.sock")).unwrap();
        client.set_timeout_ms(Some(DEADLINE.as_millis().try_into().unwrap())).unwrap();
        client
    }

    /// What it takes to run `script` as container `name`; its bundle is made.
    pub(crate) fn request(&self, name: &str, script: &str) -> RunContainer {
        self.request_with(name, script, |_| {})
    }

    pub(crate) fn request_with(
        &self,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut Value),
    ) -> RunContainer {
        let id = format!("u1.{name}.0");
        let bundle = self.dir.join("bundles").join(&id);
        fs::create_dir_all(&bundle).unwrap();
        let mut spec = self.spec(name, script);
        change(&mut spec);
        fs::write(bundle.join("config.json"), serde_json::to_vec(&spec).unwrap()).unwrap();
        RunContainer {
            log_path: self.logs.join(name).join("0.log"),
            log_max_bytes: 0,
            log_max_files: 1,
            terminal: spec["process"]["terminal"].as_bool().unwrap_or(false),
            stdin: false,
            stdin_once: false,
            name: name.into(),
            attempt: 0,
            rootfs: Rootfs::Bundle,
            bundle,
            id,
        }
    }

    fn spec(&self, name: &str, script: &str) -> Value {
        let pin = |kind: &str| self.dir.join("ns").join(kind);
        let mut namespaces = vec![
            json!({"type": "mount"}),
            json!({"type": "ipc", "path": pin("ipc")}),
            json!({"type": "uts", "path": pin("uts")}),
        ];
        namespaces.push(match self.config.share_process_namespace {
            true => json!({"type": "pid", "path": pin("pid")}),
            false => json!({"type": "pid"}),
        });
        if !self.config.host_network {
            namespaces.push(json!({"type": "network", "path": pin("net")}));
        }
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": {"uid": 0, "gid": 0},
                "args": ["/bin/sh", "-c", script],
                "env": ["PATH=/bin", "WHO=container"],
                "cwd": "/",
            },
            "root": {"path": self.rootfs, "readonly": false},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
            ],
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": format!("{}/{name}.0", self.config.cgroup_parent),
                "resources": {"devices": [{"allow": true, "access": "rwm"}]},
            },
        })
    }

    /// Runs `script` as container `name`; its id.
    pub(crate) fn run(&mut self, name: &str, script: &str) -> String {
        let request = self.request(name, script);
        self.run_request(request)
    }

    pub(crate) fn run_request(&mut self, request: RunContainer) -> String {
        let id = request.id.clone();
        match self.ask(&Request::Run(request)) {
            Response::Started { pid, .. } => assert!(pid > 0),
            other => panic!("{id}: {other:?}"),
        }
        id
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        self.client.call(request, &[]).unwrap().0
    }

    pub(crate) fn list(&mut self) -> Vec<ContainerRecord> {
        match self.ask(&Request::List) {
            Response::Containers(list) => list,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn record(&mut self, id: &str) -> ContainerRecord {
        self.list().into_iter().find(|record| record.id == id).unwrap()
    }

    /// Waits until the container has ended.
    pub(crate) fn wait_exit(&mut self, id: &str) -> ExitRecord {
        let mut found = None;
        wait_for(&format!("the end of {id}"), || {
            if let RecordState::Exited(exit) = self.record(id).state {
                found = Some(exit);
            }
            found.is_some()
        });
        found.unwrap()
    }

    pub(crate) fn kill(&mut self, id: &str, signal: i32) {
        let kill = Request::Kill { id: id.into(), signal, all: false };
        assert_eq!(self.ask(&kill), Response::Ok);
    }

    /// The contents of a container's log lines, without times.
    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = fs::read(self.logs.join(name).join("0.log")).unwrap_or_default();
        // What stands behind the last line break is being written just now.
        let whole = text.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
        let lines = text[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let line = monitor::log::parse(line).unwrap();
                let tag = if line.piece.full { "" } else { "~" };
                let text = String::from_utf8_lossy(line.piece.bytes).into_owned();
                format!("{} {text}{tag}", line.stream.name())
            })
            .collect()
    }

    pub(crate) fn wait_log(&self, name: &str, line: &str) {
        wait_for(&format!("{line:?} in the log of {name}"), || {
            self.log(name).iter().any(|found| found == line)
        });
    }

    /// Kills the monitor and starts a new one on the same pod.
    pub(crate) fn replace_monitor(&mut self) {
        self.monitor.kill().unwrap();
        self.monitor.wait().unwrap();
        self.monitor = spawn_monitor(&self.dir);
        self.client = self.connect();
    }

    /// The monitor's own memory.
    pub(crate) fn private_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.monitor.id()));
        let status = status.unwrap();
        let private = status.lines().filter(|line| line.starts_with("Private_"));
        private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
    }

    /// Kills and removes every container and shuts the monitor down; nothing of the pod is left.
    pub(crate) fn end(mut self) {
        for record in self.list() {
            if record.state == RecordState::Running {
                let kill = Request::Kill { id: record.id.clone(), signal: 9, all: true };
                assert_eq!(self.ask(&kill), Response::Ok);
                self.wait_exit(&record.id);
            }
            assert_eq!(self.ask(&Request::Remove { id: record.id }), Response::Ok);
        }
        assert_eq!(self.ask(&Request::Shutdown), Response::Ok);
        assert!(self.monitor.wait().unwrap().success());
        let mut left: Vec<_> = fs::read_dir(&self.dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert!(
            left.iter().all(|n| ["bundles", "monitor.log", "sandbox.json"].contains(&n.as_str()))
        );
    }
}

pub(crate) fn spawn_monitor(dir: &Path) -> Child {
    let mut child = monitor_command(dir).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0u8; 1];
    let got = child.stdout.take().unwrap().read(&mut ready).unwrap();
    if got == 0 {
        panic!("no monitor: {:?}", fs::read_to_string(dir.join("monitor.log")));
    }
    child
}

pub(crate) fn monitor_command(dir: &Path) -> Command {
    let mut command = Command::new(example());
    command.arg(dir).arg("1").stdin(Stdio::null());
    command
}

/// `target/…/debug/examples/monitor`, beside the folder of this test program.
fn example() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().and_then(Path::parent).unwrap().join("examples/monitor")
}

fn make_rootfs(rootfs: &Path) {
    for folder in ["bin", "proc", "dev", "tmp"] {
        fs::create_dir_all(rootfs.join(folder)).unwrap();
    }
    let busybox = rootfs.join("bin/busybox");
    if !busybox.exists() {
        fs::copy("/bin/busybox", &busybox).unwrap();
        for applet in [
            "sh", "sleep", "cat", "echo", "seq", "head", "tail", "hostname", "readlink", "ip",
            "id", "ps", "stty", "tty", "wc", "yes", "true", "kill", "setsid", "grep", "dd",
            "touch", "ls",
        ] {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
    }
}

/// Waits on a condition, with a deadline.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        pause();
    }
}

/// Lets others run between two looks.
fn pause() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let _ = receiver.recv_timeout(Duration::from_millis(10));
    drop(sender);
}
