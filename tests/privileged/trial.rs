//! A bundle in a scope, podvisor-oci run on it within a time limit, and what it leaves.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use scope::{Done, Scope};
use serde_json::{Value, json};

/// No verb may take longer.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
/// Nor what is run on the way, which may run many of them.
const WHOLE: Duration = Duration::from_secs(600);

/// A bundle `b` in the scope's folder, with its own state below `state`.
pub(crate) struct Trial {
    scope: Scope,
    program: PathBuf,
    /// The socket of the service manager of podvisor-oci's caller.
    manager: Option<PathBuf>,
}

/// A verb of one of the programs.
pub(crate) enum Verb<'a> {
    /// podvisor-oci's.
    Oci(&'a [&'a str]),
    /// podvisor's.
    Podvisor(&'a [&'a str]),
}

impl Verb<'_> {
    fn words(&self) -> &[&str] {
        match self {
            Verb::Oci(words) | Verb::Podvisor(words) => words,
        }
    }
}

impl Hit {
    /// What nothing has happened to has worked, or the sweep was one of errors.
    #[track_caller]
    pub(crate) fn works_alone(&self) {
        assert!(!self.over || self.code == 0, "not even alone: {}: {}", self.what, self.said);
    }
}

/// One interruption of a verb.
pub(crate) struct Hit {
    /// In words.
    pub(crate) what: String,
    /// The verb has no call of that number: nothing has happened to it.
    pub(crate) over: bool,
    /// How it ended.
    pub(crate) code: i32,
    /// What the verb said on stderr.
    pub(crate) said: String,
}

/// The distance of the calls that a sweep interrupts: PODVISOR_SWEEP_STRIDE, else `usual`.
pub(crate) fn stride(usual: usize) -> usize {
    std::env::var("PODVISOR_SWEEP_STRIDE").ok().and_then(|s| s.parse().ok()).unwrap_or(usual)
}

/// Interrupts a verb at every call, and at the first that it does not have, in each of `ways` with
/// the distance given beside it; how often that was.
pub(crate) fn sweep(ways: &[(&str, usize)], mut once: impl FnMut(usize, &str) -> Hit) -> usize {
    let mut tried = 0;
    for (how, step) in ways {
        for number in (1..).step_by(stride(*step)) {
            tried += 1;
            if once(number, how).over {
                break;
            }
        }
    }
    tried
}

/// PODVISOR_BIN, else the release folder beside this test's own build.
fn program() -> PathBuf {
    let beside = || {
        let exe = std::env::current_exe().expect("current_exe");
        exe.ancestors().nth(3).expect("target folder").join("release")
    };
    std::env::var_os("PODVISOR_BIN").map_or_else(beside, PathBuf::from).join("podvisor-oci")
}

/// The repository, or in a machine without it PODVISOR_TEST_HOUSE, which has of it what is needed.
fn house() -> PathBuf {
    let here = || env!("CARGO_MANIFEST_DIR").into();
    std::env::var_os("PODVISOR_TEST_HOUSE").map_or_else(here, PathBuf::from)
}

impl Trial {
    /// A bundle whose container runs `args`, of busybox.
    pub(crate) fn new(scope: Scope, args: &[&str]) -> Trial {
        let trial = Trial { scope, program: program(), manager: None };
        trial.host("ro");
        let rootfs = trial.path("b/rootfs");
        for folder in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
            fs::create_dir_all(rootfs.join(folder)).expect("mkdir");
        }
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox");
        for applet in
            ["sh", "sleep", "cat", "echo", "mkdir", "ls", "true", "grep", "head", "kill", "wc"]
        {
            symlink("busybox", rootfs.join("bin").join(applet)).expect("symlink");
        }
        trial.run(Command::new(&trial.program).arg("spec").current_dir(trial.path("b"))).ok();
        trial.change(|config| {
            config["process"]["terminal"] = json!(false);
            config["process"]["rlimits"] = json!([]);
            config["process"]["args"] = json!(args);
        });
        trial
    }

    /// What the scope sees of the host's files cannot be changed, or can again: where a defence has
    /// been taken out, to see a test red, only the scope suffers.
    fn host(&self, access: &str) {
        for place in ["/", "/dev"] {
            let options = format!("remount,bind,{access}");
            let status = Command::new("mount").args(["-o", &options, place]).status();
            assert!(status.expect("mount").success(), "{options} {place}");
        }
    }

    /// The same with a copy of the program that nobody else needs.
    pub(crate) fn with_own_copy(mut self) -> Trial {
        let copy = self.path("program");
        fs::copy(&self.program, &copy).expect("copy");
        self.program = copy;
        self
    }

    /// The same with a service manager, whose socket is to be at a path in the scope's folder.
    pub(crate) fn with_manager(mut self, socket: &str) -> Trial {
        self.manager = Some(self.path(socket));
        self
    }

    /// The program under test.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Changes config.json.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path("b/config.json");
        let mut config = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        change(&mut config);
        fs::write(path, config.to_string()).expect("write");
    }

    /// Has the bundle's container join the PID namespace of the container `id`.
    pub(crate) fn join_pids_of(&self, id: &str) {
        let state: Value = serde_json::from_str(&self.oci(&["state", id]).ok()).expect("JSON");
        let pids = format!("/proc/{}/ns/pid", state["pid"]);
        self.change(|config| {
            for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
                if namespace["type"] == "pid" {
                    namespace["path"] = Value::from(pids.as_str());
                }
            }
        });
    }

    /// A path in the scope's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scope.folder().join(name)
    }

    /// podvisor-oci with these arguments; a container gets files, never a pipe that it would hold.
    pub(crate) fn oci(&self, args: &[&str]) -> Done {
        self.oci_with(Stdio::null(), args)
    }

    /// The same with another input.
    pub(crate) fn oci_with(&self, input: Stdio, args: &[&str]) -> Done {
        let mut command = Command::new(&self.program);
        command.envs(self.manager.iter().map(|socket| ("NOTIFY_SOCKET", socket)));
        self.run_with(input, command.args(self.with_root(args)), WITHIN)
    }

    fn with_root(&self, args: &[&str]) -> Vec<String> {
        let root = ["--root".to_owned(), self.path("state").display().to_string()];
        root.into_iter().chain(self.placed(args)).collect()
    }

    /// Words with the scope's folder for `AT/`.
    fn placed(&self, args: &[&str]) -> Vec<String> {
        let at = self.path("").display().to_string();
        args.iter().map(|word| word.replace("AT/", &at)).collect()
    }

    /// The same beneath the program `tool` with the arguments `first`.
    pub(crate) fn oci_under(&self, tool: &Path, first: &[&str], args: &[&str]) -> Done {
        let mut command = Command::new(tool);
        command.args(first).arg(&self.program).args(self.with_root(args));
        self.run_with(Stdio::null(), &mut command, 2 * WITHIN)
    }

    /// `podvisor ARGS`, with folders of its own.
    pub(crate) fn podvisor(&self, args: &[&str]) -> Done {
        let program = self.program.with_file_name("podvisor");
        self.run(self.with_folders(&mut Command::new(program)).args(self.placed(args)))
    }

    /// The same beneath the program `tool` with the arguments `first`.
    pub(crate) fn podvisor_under(&self, tool: &Path, first: &[&str], args: &[&str]) -> Done {
        let program = self.program.with_file_name("podvisor");
        let mut command = Command::new(tool);
        let command = self.with_folders(&mut command).args(first).arg(program);
        self.run(command.args(self.placed(args)))
    }

    /// A verb with its call `number` treated as `how` by `inject` ([`Trial::tool`]): SIGKILL before
    /// it (`kill`), or its failure with a number.
    pub(crate) fn interrupt(&self, inject: &Path, call: (usize, &str), verb: &Verb<'_>) -> Hit {
        let report = self.path("report");
        let (number, how) = call;
        let first = [report.to_str().expect("path"), &number.to_string(), how];
        let done = match verb {
            Verb::Oci(words) => self.oci_under(inject, &first, words),
            Verb::Podvisor(words) => self.podvisor_under(inject, &first, words),
        };
        let text = fs::read_to_string(&report).expect("report");
        let hit: i64 = text.split_whitespace().nth(1).expect("hit").parse().expect("number");
        let what = format!("{:?}, call {number} ({hit}) treated as {how}", verb.words());
        assert_ne!(done.code, 124, "{what}: hangs");
        Hit { what, over: hit < 0, code: done.code, said: done.err }
    }

    fn with_folders<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, folder) in [("ROOT", "store"), ("STATE", "run"), ("LOG_DIR", "log")] {
            command.env(format!("PODVISOR_{name}"), self.path(folder));
        }
        command
    }

    /// Gives podvisor an image busybox:latest.
    pub(crate) fn import_busybox(&self) {
        let recipe = house().join("rootfs/busybox/recipe.sh");
        let tar = self.path("busybox.tar");
        self.run(Command::new(recipe).arg(&tar).env("TMPDIR", self.scope.folder())).ok();
        self.podvisor(&["import", tar.to_str().expect("path"), "busybox:latest"]).ok();
    }

    fn run(&self, command: &mut Command) -> Done {
        self.run_with(Stdio::null(), command, WHOLE)
    }

    /// Runs a command; what takes longer than `within` is killed, which is code 137.
    fn run_with(&self, input: Stdio, command: &mut Command, within: Duration) -> Done {
        let (out, err) = (self.path("out"), self.path("err"));
        let mut child = command
            .stdin(input)
            .stdout(File::create(&out).expect("out"))
            .stderr(File::create(&err).expect("err"))
            .spawn()
            .expect("run");
        let (ended, end) = mpsc::channel::<()>();
        let pid = child.id().to_string();
        let watch = std::thread::spawn(move || {
            if end.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        });
        let status = child.wait().expect("wait");
        drop(ended);
        watch.join().expect("watch");
        let text = |path| String::from_utf8_lossy(&fs::read(path).expect("read")).into_owned();
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Done { code: code.unwrap_or(-1), out: text(out), err: text(err) }
    }

    /// A mount namespace, and a network of its own, in which `make` has been run by sh.
    pub(crate) fn mount_namespace(&self, make: &str) -> MountNamespace {
        let ready = self.path("ready");
        let _ = fs::remove_file(&ready);
        let script = format!("set -e; {make}; : >{}; exec sleep 1000", ready.display());
        let mut unshare = Command::new("unshare");
        let holder =
            unshare.args(["--mount", "--net", "--propagation", "slave", "sh", "-c", &script]);
        let holder = holder.spawn().expect("unshare");
        self.wait_for(make, || ready.exists());
        MountNamespace { holder }
    }

    /// Compiles a C program of `tools/`, unless it is compiled there.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        let folder = house().join("tests/privileged/tools");
        let (source, made) = (folder.join(format!("{name}.c")), self.path(name));
        if let Ok(bytes) = fs::read(folder.join(name)) {
            fs::write(&made, bytes).expect("tool");
            fs::set_permissions(&made, Permissions::from_mode(0o755)).expect("chmod");
            return made;
        }
        let mut gcc = Command::new("gcc");
        gcc.env("TMPDIR", self.scope.folder());
        gcc.args(["-static", "-O1", "-Wall", "-Werror", "-o"]).arg(&made).arg(source);
        assert!(gcc.status().expect("gcc").success(), "{name}.c");
        made
    }

    /// Everything that a container could leave: mounts, cgroups, processes, links, state.
    pub(crate) fn traces(&self) -> BTreeSet<String> {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut found: BTreeSet<String> =
            text("/proc/self/mountinfo").lines().map(|line| after_ids(line).to_owned()).collect();
        found.extend(
            text("/proc/net/dev").lines().filter_map(|l| l.split(':').next()).map(str::to_owned),
        );
        folders(Path::new("/sys/fs/cgroup"), &mut found);
        for entry in fs::read_dir(self.path("state")).into_iter().flatten().flatten() {
            found.insert(format!("state {}", entry.file_name().display()));
        }
        found.remove("state seccomp");
        for entry in fs::read_dir("/proc").expect("proc").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.bytes().all(|b| b.is_ascii_digit()) {
                let command = text(&format!("/proc/{name}/comm"));
                found.insert(format!("process {name} {}", command.trim()));
            }
        }
        found
    }

    /// Waits until nothing is there that was not in `before`.
    #[track_caller]
    pub(crate) fn clean(&self, before: &BTreeSet<String>, what: &str) {
        let left = || self.traces().difference(before).cloned().collect::<Vec<_>>();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !left().is_empty() {
            assert!(Instant::now() < deadline, "{what} left {:#?}", left());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits for a condition.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, mut is: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is() {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.host("rw");
        }
    }
}

/// A socket at a path, where whatever is sent is taken; descriptors are closed at once.
pub(crate) struct Sink {
    path: PathBuf,
    over: Arc<AtomicBool>,
    taker: Option<JoinHandle<()>>,
}

impl Sink {
    pub(crate) fn new(path: impl AsRef<Path>) -> Sink {
        let (path, over) = (path.as_ref().to_owned(), Arc::new(AtomicBool::new(false)));
        let listener = UnixListener::bind(&path).expect("bind");
        let end = Arc::clone(&over);
        let taker = std::thread::spawn(move || {
            for mut peer in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let _ = std::io::copy(&mut peer, &mut std::io::sink());
            }
        });
        Sink { path, over, taker: Some(taker) }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.path);
        self.taker.take().map(JoinHandle::join);
    }
}

/// A mount namespace that ends with this.
pub(crate) struct MountNamespace {
    holder: Child,
}

impl MountNamespace {
    /// Makes the bundle join it with its network namespace: files of /proc/sys/net are each
    /// network's own, and so is what is mounted on them.
    pub(crate) fn join(&self, trial: &Trial) {
        let paths = [("mount", "mnt"), ("network", "net")];
        trial.change(|config| {
            for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
                let path = paths.iter().find(|(kind, _)| namespace["type"] == **kind);
                if let Some((_, file)) = path {
                    namespace["path"] = json!(format!("/proc/{}/ns/{file}", self.holder.id()));
                }
            }
        });
    }
}

impl Drop for MountNamespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A line of mountinfo without the ids, which any mount elsewhere changes.
fn after_ids(line: &str) -> &str {
    line.splitn(3, ' ').nth(2).unwrap_or(line)
}

fn folders(top: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(format!("cgroup {}", entry.path().display()));
            folders(&entry.path(), found);
        }
    }
}
