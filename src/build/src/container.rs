//! A RUN step's container: its config.json (pure), and running it by podvisor-oci.
//!
//! The capabilities are those that `docker build` gives, the seccomp profile and masks podvisor's
//! own. The container has a network namespace without a way out unless the host's is allowed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use image::user::ResolvedUser;
use serde_json::{Value, json};

use crate::error::{At, Result};
use crate::interrupt::Interrupt;

const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest line that is told in one piece, bytes.
const LINE_MAX: u64 = 64 << 10;

/// What a step's container is made of.
pub(crate) struct Process<'a> {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) user: ResolvedUser,
    /// Path of the network namespace; the host's when there is none.
    pub(crate) network: Option<String>,
    /// Beyond those that every container has.
    pub(crate) mounts: Vec<Value>,
    pub(crate) root: &'a Path,
    pub(crate) cgroup: String,
}

/// The config.json.
pub(crate) fn document(process: &Process<'_>) -> serde_json::Result<Value> {
    let mut config: Value = serde_json::from_str(oci::profile::SKELETON)?;
    let caps: BTreeSet<String> = CAPABILITIES.iter().map(|c| format!("CAP_{c}")).collect();
    let mut env = process.env.clone();
    for (name, default) in [("PATH", PATH), ("HOME", process.user.home.as_str())] {
        if !env.iter().any(|(known, _)| known == name) {
            env.insert(0, (name.to_owned(), default.to_owned()));
        }
    }
    let mut groups = vec![process.user.gid];
    groups.extend(process.user.groups.iter().filter(|gid| **gid != process.user.gid));
    config["process"] = json!({
        "terminal": false,
        "user": {
            "uid": process.user.uid, "gid": process.user.gid, "additionalGids": groups,
        },
        "args": process.argv,
        "env": env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "cwd": process.cwd,
        "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
        "noNewPrivileges": false,
    });
    config["root"] = json!({ "path": process.root, "readonly": false });
    config["hostname"] = json!("build");
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.extend(process.mounts.iter().cloned());
    }
    let kinds = ["mount", "cgroup", "ipc", "uts", "pid"].map(|kind| json!({ "type": kind }));
    let network = process.network.iter().map(|path| json!({ "type": "network", "path": path }));
    let linux = &mut config["linux"];
    linux["namespaces"] = kinds.into_iter().chain(network).collect();
    linux["cgroupsPath"] = json!(process.cgroup);
    linux["seccomp"] = oci::profile::seccomp(&caps)?;
    Ok(config)
}

/// A program and what it works on.
pub(crate) struct Runner<'a> {
    pub(crate) runtime: &'a Path,
    pub(crate) root: &'a Path,
    pub(crate) interrupt: &'a Interrupt,
}

impl Runner<'_> {
    /// Runs the bundle to its end; `told` gets each line with the seconds since the start. The
    /// result is the command's exit code.
    pub(crate) fn run(
        &self,
        id: &str,
        bundle: &Path,
        told: &mut dyn FnMut(f64, String),
    ) -> Result<i32> {
        let (reader, writer) = std::io::pipe().at("making a pipe for", bundle)?;
        let both = writer.try_clone().at("making a pipe for", bundle)?;
        let mut command = Command::new(self.runtime);
        command.arg("--root").arg(self.root).args(["run", "--bundle"]).arg(bundle).arg(id);
        // A terminal's Ctrl-C is ours: the container is then removed in order.
        command.stdin(Stdio::null()).stdout(writer).stderr(both).process_group(0);
        self.interrupt.begin(self.runtime, self.root, id)?;
        let started = Instant::now();
        let spawned = command.spawn();
        // It holds the pipe's other end.
        drop(command);
        let mut child =
            spawned.at("running", self.runtime).inspect_err(|_| self.interrupt.end(id))?;
        relay(BufReader::new(reader), |line| told(started.elapsed().as_secs_f64(), line));
        let ended = child.wait();
        self.interrupt.end(id);
        self.interrupt.check()?;
        let status = ended.at("waiting for", self.runtime)?;
        Ok(status.code().unwrap_or(255))
    }
}

/// Lines until the end; a carriage return ends one, too, as progress bars have it.
fn relay(mut input: impl BufRead, mut told: impl FnMut(String)) {
    loop {
        let mut bytes = Vec::new();
        // An error of a pipe is its end.
        let read = std::io::Read::take(&mut input, LINE_MAX).read_until(b'\n', &mut bytes);
        if !read.is_ok_and(|count| count > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        for line in text.trim_end_matches(['\n', '\r']).split('\r') {
            told(line.to_owned());
        }
    }
}
