//! A podvisor of one test: its own folders below the scope, its own bridge in the scope's network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use scope::Done;
use scope::Scope;
use serde_json::Value;

/// How long any condition may take before a test calls it failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A scope with podvisor's folders in it.
pub(crate) struct Host {
    /// Kept for its drop, which takes the inner census.
    scope: Scope,
    serving: Option<Child>,
}

/// The folder of the release binaries: PODVISOR_BIN, else beside this test's own build.
pub(crate) fn binaries() -> PathBuf {
    std::env::var_os("PODVISOR_BIN").map_or_else(
        || {
            let exe = std::env::current_exe().expect("current_exe");
            exe.ancestors().nth(3).expect("target folder").join("release")
        },
        PathBuf::from,
    )
}

/// A recipe of rootfs/, by name.
pub(crate) fn recipe(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rootfs").join(name).join("recipe.sh")
}

impl Host {
    pub(crate) fn new(scope: Scope) -> Host {
        Host { scope, serving: None }
    }

    /// A host that has busybox:latest.
    pub(crate) fn with_busybox(scope: Scope) -> Host {
        let host = Host::new(scope);
        host.import("busybox");
        host
    }

    /// Makes a root file system by recipe and imports it as NAME:latest.
    pub(crate) fn import(&self, name: &str) {
        let tar = self.path(&format!("{name}.tar"));
        let made = Command::new(recipe(name)).arg(&tar).status().expect("recipe");
        assert!(made.success());
        self.podvisor(&["import", tar.to_str().expect("path"), &format!("{name}:latest")]).ok();
        fs::remove_file(tar).expect("remove the tar");
    }

    /// A path in the scope's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scope.folder().join(name)
    }

    /// A file in the scope's folder with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("write");
        path.display().to_string()
    }

    /// The command, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binaries().join("podvisor"));
        command
            .args(args)
            .env("PODVISOR_ROOT", self.path("root"))
            .env("PODVISOR_STATE", self.path("state"))
            .env("PODVISOR_LOG_DIR", self.path("log"))
            .stdin(Stdio::null());
        command
    }

    /// Runs `podvisor ARGS` to its end.
    pub(crate) fn podvisor(&self, args: &[&str]) -> Done {
        Done::of(self.command(args).output().expect("podvisor"))
    }

    /// Starts a supervisor and waits until it answers.
    pub(crate) fn serve(&mut self) -> u32 {
        let log = fs::File::options().create(true).append(true).open(self.path("serve.log"));
        let log = log.expect("serve.log");
        let child = self
            .command(&["serve"])
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("serve");
        let pid = child.id();
        self.serving = Some(child);
        self.until("the supervisor answers", || {
            (self.podvisor(&["get", "pods", "-o", "json"]).code == 0).then_some(())
        });
        pid
    }

    /// Kills the supervisor with SIGKILL and reaps it.
    pub(crate) fn kill_supervisor(&mut self) {
        let mut child = self.serving.take().expect("a supervisor");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// Applies a manifest.
    pub(crate) fn apply(&self, manifest: &str) {
        let file = self.file("manifest.yaml", manifest);
        self.podvisor(&["apply", "-f", &file]).ok();
    }

    /// The pods as Kubernetes objects.
    pub(crate) fn pods(&self) -> Vec<Value> {
        let text = self.podvisor(&["get", "pods", "-o", "json"]).ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// One pod, when it exists.
    pub(crate) fn pod(&self, name: &str) -> Option<Value> {
        self.pods().into_iter().find(|p| p["metadata"]["name"] == name)
    }

    /// The status of one container of a pod, when both exist.
    pub(crate) fn container(&self, pod: &str, name: &str) -> Option<Value> {
        let pod = self.pod(pod)?;
        let all = pod["status"]["containerStatuses"].as_array()?.clone();
        all.into_iter().find(|c| c["name"] == name)
    }

    /// Waits until every container of the pod is ready; the pod.
    #[track_caller]
    pub(crate) fn ready(&self, name: &str) -> Value {
        self.until(&format!("pod {name} is ready"), || self.pod(name).filter(is_ready))
    }

    /// Waits for a phase; the pod.
    #[track_caller]
    pub(crate) fn phase(&self, name: &str, phase: &str) -> Value {
        self.until(&format!("pod {name} is {phase}"), || {
            self.pod(name).filter(|pod| pod["status"]["phase"] == phase)
        })
    }

    /// Repeats a question until it is answered, or fails with what the host looks like.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            if Instant::now() > deadline {
                let pods = self.podvisor(&["get", "pods", "-o", "json"]);
                let log = fs::read_to_string(self.path("serve.log")).unwrap_or_default();
                panic!("never: {what}\npods: {}{}\nserve.log: {log}", pods.out, pods.err);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Stops everything and ends the supervisor; the scope's census then tells what was left.
    pub(crate) fn down(&mut self) {
        self.end(&["down"]);
    }

    /// Stops everything but keeps what is wanted; nothing else is left.
    pub(crate) fn down_keeping(&mut self) {
        self.end(&["down", "--keep"]);
        let leaks = self.scope.leaks();
        assert!(leaks.is_empty(), "left behind: {leaks:#?}");
    }

    fn end(&mut self, words: &[&str]) {
        self.podvisor(words).ok();
        if let Some(mut child) = self.serving.take() {
            assert!(child.wait().expect("wait").success(), "serve did not end well");
        }
    }
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    let containers = pod["status"]["containerStatuses"].as_array();
    containers.is_some_and(|all| !all.is_empty() && all.iter().all(|c| c["ready"] == true))
}
