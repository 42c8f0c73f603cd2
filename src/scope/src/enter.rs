//! Running a test, or any command, inside a scope.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::census::ZOMBIE;
use crate::cgroups::{PREFIX, remove_left};
use crate::{Census, Difference, OuterCgroups};

/// Set inside a scope to its folder.
const INSIDE: &str = "PODVISOR_TEST_SCOPE";
/// Where podvisor keeps things unless told otherwise; tests tell it otherwise.
const FOLDERS: [&str; 4] =
    ["/run/podvisor", "/run/podvisor-oci", "/var/lib/podvisor", "/var/log/pods"];
/// How long what is about to go may take before it counts as left behind.
const GOING: Duration = Duration::from_secs(3);
/// How long what has ended may wait for being reaped.
const REAPED: Duration = Duration::from_secs(15);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Proof of standing inside a scope. Its drop takes the inner census and panics on a leak.
#[derive(Debug)]
pub struct Scope {
    folder: PathBuf,
    before: Census,
}

impl Scope {
    /// The scope's own empty folder (a tmpfs), removed with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What has changed inside since the scope was entered.
    pub fn leaks(&self) -> Vec<Difference> {
        self.before.differences(&inner_census())
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What has just ended is reaped by the scope's init, a bit later.
            let begun = Instant::now();
            let mut leaks = self.leaks();
            let patience =
                |leaks: &[Difference]| if leaks.iter().all(zombie) { REAPED } else { GOING };
            while !leaks.is_empty() && begun.elapsed() < patience(&leaks) {
                std::thread::park_timeout(Duration::from_millis(20));
                leaks = self.leaks();
            }
            let words: Vec<String> = leaks.iter().map(Difference::to_string).collect();
            assert!(leaks.is_empty(), "left behind inside the scope:\n{}", words.join("\n"));
        }
    }
}

fn zombie(leak: &Difference) -> bool {
    leak.kind == "process" && leak.what.ends_with(ZOMBIE)
}

/// Enters a scope for the test named `test` (its full path as the harness prints it).
///
/// Outside it returns `None` after the test has run and passed inside; the caller then returns.
///
/// # Panics
/// When the test fails inside, when anything is left behind, or when the caller is not root.
pub fn enter(test: &str) -> Option<Scope> {
    if let Some(folder) = env::var_os(INSIDE) {
        let before = inner_census();
        return Some(Scope { folder: folder.into(), before });
    }
    let exe = env::current_exe().unwrap_or_else(|e| panic!("current_exe: {e}"));
    let args = ["--exact", test, "--nocapture", "--test-threads=1"].map(OsString::from);
    let (status, leaks) =
        run_command(&exe, &args, false).unwrap_or_else(|e| panic!("scope of {test}: {e}"));
    assert!(status.success(), "{test} failed inside its scope: {status}");
    let words: Vec<String> = leaks.iter().map(Difference::to_string).collect();
    assert!(leaks.is_empty(), "{test} left behind on the host:\n{}", words.join("\n"));
    None
}

/// Runs a command inside a scope of its own; returns its status and what it left on the host.
///
/// With `pure_v2` the inside shows a single cgroup2 hierarchy on `/sys/fs/cgroup`.
///
/// # Errors
/// When the scope cannot be made or removed; the text names the step.
pub fn run_command(
    program: &Path,
    args: &[OsString],
    pure_v2: bool,
) -> io::Result<(ExitStatus, Vec<Difference>)> {
    run_watching(program, args, pure_v2, &[])
}

/// As [`run_command`], with `folders` of the host counted too.
///
/// # Errors
/// As [`run_command`].
pub fn run_watching(
    program: &Path,
    args: &[OsString],
    pure_v2: bool,
    folders: &[PathBuf],
) -> io::Result<(ExitStatus, Vec<Difference>)> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{PREFIX}{}-{number}", std::process::id());
    let folder = env::temp_dir().join(&name);
    // A process that was killed had the same number.
    let _ = fs::remove_dir(&folder);
    remove_left(&name);
    let before = outer_census(&name, folders);
    let cgroups = OuterCgroups::create(&name)?;
    fs::create_dir(&folder)?;

    let remount = if pure_v2 {
        "umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; ".to_owned()
    } else {
        cgroups.remount_lines()
    };
    // The command is not pid 1 of the scope: a program under test must not gain pid 1's immunity.
    let inside = format!(
        "{remount} mount -t tmpfs -o mode=755 scope '{f}'; ip link set lo up 2>/dev/null || :; \
         set +e; {INSIDE}='{f}' \"$@\"; exit $?",
        f = folder.display()
    );
    let between = format!(
        "{}exec unshare --mount --pid --net --ipc --uts --fork --kill-child --mount-proc \
         sh -ec \"$INSIDE_SCRIPT\" sh \"$@\"",
        cgroups.leave_line()
    );
    let outside = format!(
        "{}; exec unshare --cgroup sh -ec \"$BETWEEN_SCRIPT\" sh \"$@\"",
        cgroups.join_line()
    );
    let status = Command::new("sh")
        .env("INSIDE_SCRIPT", inside)
        .env("BETWEEN_SCRIPT", between)
        .args(["-ec", &outside, "sh"])
        .arg(program)
        .args(args)
        .status()?;
    cgroups.remove()?;
    fs::remove_dir(&folder)?;
    let leaks = before.differences(&outer_census(&name, folders));
    Ok((ExitStatus::from_raw(status.into_raw()), leaks))
}

/// What a scope could leave on the host. The host's other processes and their namespaces come and
/// go by themselves, so those are counted inside, where the scope is alone.
fn outer_census(name: &str, more: &[PathBuf]) -> Census {
    let folders = FOLDERS.iter().map(PathBuf::from).chain(more.iter().cloned()).collect::<Vec<_>>();
    Census::take(name, &folders).without("process").without("namespace").without("fd")
}

fn inner_census() -> Census {
    let folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    Census::take("", &folders)
}
