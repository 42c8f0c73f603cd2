//! One case on one runtime: a fresh bundle, a scope, a script, a verdict.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{Error, Result};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use scope::Folder;
use serde_json::{Value, json};

use crate::case::Case;
use crate::peers::Runtime;

/// The folder of all bundles; removed at the end.
pub(crate) struct Workshop {
    folder: Folder,
    alone: bool,
    /// The host's version of cgroups, as in `world:`.
    world: &'static str,
}

/// How a case went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    /// Its scope or its bundle could not be made or removed.
    Untried(String),
    /// It is about the other version of cgroups.
    NotHere,
}

/// What the host's part of a case may use. `leaks` compares mounts, cgroups and state with those
/// before the case; a line of it fails podvisor-oci.
const PRELUDE: &str = r#"
exec </dev/null
unset LD_PRELOAD
cd "$bundle"
oci() { env ${PRELOAD:+LD_PRELOAD="$PRELOAD"} "$RUNTIME" --root "$bundle/state" "$@"; }
field() { grep "\"$1\":" | head -n 1 | sed 's/.*: *"\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/'; }
status() { oci state "${1:-c}" | field status; }
within() { n=0; until "$@" >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 200 ] || return 1; sleep 0.02; done; }
is() { [ "$(status "${2:-c}")" = "$1" ]; }
groups() { find /sys/fs/cgroup -type d 2>/dev/null | sort; }
mounts() { cut -d' ' -f 3- /proc/self/mountinfo | sort; }
# Takes a terminal's master from the socket it makes, and prints what comes out of it.
receive() {
  python3 -c '
import array, os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen(1)
os.rename(sys.argv[1] + ".new", sys.argv[1])
listener.settimeout(10)
peer, _ = listener.accept()
_, control, _, _ = peer.recvmsg(4096, 1024)
master = array.array("i", control[0][2])[0]
try:
    while True:
        data = os.read(master, 4096)
        if not data:
            break
        os.write(1, data.replace(b"\r", b""))
except OSError:
    pass
' "$1"
}
# Binds a datagram socket and prints so many datagrams.
datagrams() {
  python3 -c '
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
listener.settimeout(10)
for _ in range(int(sys.argv[2])):
    os.write(1, listener.recv(65536) + b"\n")
' "$@"
}
groups >before.groups; mounts >before.mounts
"#;

const AFTERWARDS: &str = r#"
for left in state/*; do
  [ -d "$left" ] || continue
  case "$left" in */seccomp) ;; *) oci delete --force "${left##*/}" >/dev/null 2>&1 ;; esac
done
{
  groups | comm -13 before.groups - | sed 's/^/left cgroup: /'
  mounts | comm -13 before.mounts - | sed 's/^/left mount: /'
  ls state 2>/dev/null | grep -v '^seccomp$' | sed 's/^/left state: /'
} >leaks 2>&1
"#;

impl Workshop {
    pub(crate) fn open() -> Workshop {
        let alone = std::env::var_os("PODVISOR_ALONE").is_some();
        let pure = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let world = if pure { "v2" } else { "v1" };
        Workshop { folder: Folder::new("conformance"), alone, world }
    }

    /// Whether the machine is the test's own.
    pub(crate) fn alone(&self) -> bool {
        self.alone
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `case` on `runtime`, in a bundle of this number.
    pub(crate) fn trial(&self, case: &Case, runtime: &Runtime, number: usize) -> Outcome {
        let outcome = self.attempt(case, runtime, number);
        outcome.unwrap_or_else(|error| Outcome::Untried(error.to_string()))
    }

    fn attempt(&self, case: &Case, runtime: &Runtime, number: usize) -> Result<Outcome> {
        // A runtime that is shown cgroup2 alone on a hybrid host sees no controllers there.
        let here = if runtime.pure_v2 { "" } else { self.world };
        if case.world.as_ref().is_some_and(|world| world != here) {
            return Ok(Outcome::NotHere);
        }
        let bundle = self.folder.join(format!("{}-{number}", runtime.name));
        make_bundle(&bundle, case)?;
        let host = case.host.as_deref().unwrap_or("oci run c");
        let text = format!("{PRELUDE}\n( {host}\n) >out 2>err\necho $? >code\n{AFTERWARDS}");
        fs::write(bundle.join("script"), text)?;
        let path = |p: &Path| p.to_string_lossy().into_owned();
        let assignments = [
            format!("bundle={}", path(&bundle)),
            format!("RUNTIME={}", path(&runtime.program)),
            format!("NAME={}", runtime.name),
            format!("PRELOAD={}", runtime.preload.as_deref().map(path).unwrap_or_default()),
        ];
        let mut args: Vec<OsString> = vec![DEADLINE_S.into(), "env".into()];
        args.extend(assignments.map(OsString::from));
        args.extend(["sh".into(), bundle.join("script").into_os_string()]);
        let left = self.enter(&args, runtime.pure_v2)?;
        let mut outcome = verdict(case, &bundle);
        let own = runtime.name == "podvisor-oci";
        let leaks = fs::read_to_string(bundle.join("leaks")).unwrap_or_default();
        if own && outcome == Outcome::Passed && !(leaks.is_empty() && left.is_empty()) {
            outcome = Outcome::Failed(format!("{leaks}{}", left.join("\n")));
        }
        fs::remove_dir_all(&bundle)?;
        Ok(outcome)
    }

    /// Runs `timeout ARGS` in a world of its own; what that left on the host.
    fn enter(&self, args: &[OsString], pure_v2: bool) -> Result<Vec<String>> {
        if !self.alone {
            let (_, left) = scope::run_command(Path::new("timeout"), args, pure_v2)?;
            return Ok(left.iter().map(ToString::to_string).collect());
        }
        // Not as process 1, whom no signal of its own namespace ends.
        Command::new("unshare")
            .args(["-m", "-p", "-n", "-i", "-u", "-f", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", "\"$@\"; exit $?", "sh", "timeout"])
            .args(args)
            .status()?;
        Ok(Vec::new())
    }
}

/// How long a case may take. The slowest take four seconds alone on a machine.
const DEADLINE_S: &str = "60";

fn verdict(case: &Case, bundle: &Path) -> Outcome {
    let read = |name: &str| {
        let bytes = fs::read(bundle.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (out, err, code) = (read("out"), read("err"), read("code"));
    let both = format!("{out}{err}");
    let mut wrong = Vec::new();
    if code.trim() != case.code.to_string() {
        wrong.push(format!("exit code {:?}, want {}", code.trim(), case.code));
    }
    if case.out.as_ref().is_some_and(|want| want.trim() != out.trim()) {
        wrong.push("another output".to_owned());
    }
    wrong.extend(case.has.iter().filter(|h| !both.contains(*h)).map(|h| format!("lacks {h:?}")));
    wrong.extend(case.lacks.iter().filter(|h| both.contains(*h)).map(|h| format!("has {h:?}")));
    if wrong.is_empty() {
        return Outcome::Passed;
    }
    Outcome::Failed(format!(
        "{}\n  out: {:?}\n  err: {:?}",
        wrong.join("; "),
        out.trim(),
        err.trim()
    ))
}

fn make_bundle(bundle: &Path, case: &Case) -> Result<()> {
    let rootfs = bundle.join("rootfs");
    for folder in ["bin", "proc", "sys", "dev", "etc", "tmp", "root"] {
        fs::create_dir_all(rootfs.join(folder))?;
    }
    fs::set_permissions(rootfs.join("tmp"), Permissions::from_mode(0o1777))?;
    fs::copy("/bin/busybox", rootfs.join("bin/busybox"))?;
    for applet in APPLETS.split_whitespace() {
        symlink("busybox", rootfs.join("bin").join(applet))?;
    }
    fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(rootfs.join("etc/no-exec"), "#!/bin/sh\n")?;
    let mut config = base_config()?;
    if let Some(script) = &case.run {
        config["process"]["args"] = json!(["sh", "-c", script]);
    }
    if let Some(patch) = &case.patch {
        let patch = patch.replace("$bundle", &bundle.to_string_lossy());
        let patch: Value = serde_json::from_str(&patch)
            .map_err(|e| Error::other(format!("{}: patch: {e}", case.name)))?;
        merge(&mut config, &patch);
    }
    fs::write(bundle.join("config.json"), serde_json::to_vec_pretty(&config)?)
}

const APPLETS: &str = "sh cat echo ls id hostname mount umount touch mkdir sleep env stat kill ps \
    test true false grep sed cut head tail wc tr pwd readlink chmod chown sort mknod dd tty stty \
    ln rm cp mv seq awk find domainname dmesg ip chroot nproc sync sysctl ulimit setsid xargs ifconfig";

/// The `spec` of podvisor-oci, less the terminal and the rlimits: this host may not raise those.
fn base_config() -> Result<Value> {
    let text = include_str!("../../src/verbs/spec.json");
    let mut config: Value = serde_json::from_str(text)?;
    config["ociVersion"] = json!("1.0.2");
    config["process"]["terminal"] = json!(false);
    if let Some(process) = config["process"].as_object_mut() {
        process.remove("rlimits");
    }
    Ok(config)
}

/// RFC 7396, and besides `"name+": [..]` appends to the array `name`.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if let (Some(name), Some(more)) = (key.strip_suffix('+'), value.as_array()) {
            let list = target.entry(name).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.extend(more.iter().cloned());
            }
        } else if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
