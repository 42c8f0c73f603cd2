//! The runtimes under test: ours, and Debian's runc and crun.
//!
//! crun 1.8 needs two things here: a pure v2 view of cgroups (it refuses hybrid hosts), and a
//! setrlimit that forgives, for it raises RLIMIT_MEMLOCK before it loads a program and ends when a
//! host without CAP_SYS_RESOURCE says no. The second is a preloaded library of three lines.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::Case;

/// One runtime.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    /// Whether the `differs` lines are about this very version (or it is ours).
    judged: bool,
    /// Whether it must see cgroup2 alone.
    pub(crate) pure_v2: bool,
    /// Library to preload.
    pub(crate) preload: Option<PathBuf>,
}

/// The peers and where they may be.
const PEERS: [(&str, [&str; 2]); 2] =
    [("runc", ["/usr/sbin/runc", "/usr/bin/runc"]), ("crun", ["/usr/bin/crun"; 2])];

/// The versions that the `differs` lines are about.
const JUDGED: [&str; 2] = ["runc version 1.1.5", "crun version 1.8.1"];
/// On a machine of the test's own, which is pure v2: those of the cases about that.
const JUDGED_ALONE: [&str; 2] = ["runc version 1.1.15", "crun version 1.21"];

impl Runtime {
    /// Whether the case's `differs` lines are about this runtime.
    pub(crate) fn is_judged_by(&self, case: &Case) -> bool {
        let alone = std::env::var_os("PODVISOR_ALONE").is_some();
        let own = self.name == "podvisor-oci";
        own || self.judged && (!alone || case.world.as_deref() == Some("v2"))
    }
}

/// Ours first, then the peers that are installed.
pub(crate) fn find(folder: &Path) -> Result<Vec<Runtime>> {
    let own = match std::env::var_os("PODVISOR_BIN") {
        Some(bin) => PathBuf::from(bin).join("podvisor-oci"),
        None => PathBuf::from(env!("CARGO_BIN_EXE_podvisor-oci")),
    };
    let alone = std::env::var_os("PODVISOR_ALONE").is_some();
    let plain = |name, program: PathBuf| {
        let version = version(&program);
        let known = if alone { JUDGED_ALONE } else { JUDGED };
        let judged = known.iter().any(|known| version.contains(known));
        Runtime { name, version, judged, program, pure_v2: false, preload: None }
    };
    let mut all = vec![plain("podvisor-oci", own)];
    let beside = std::env::var("PODVISOR_PEERS").map_or(!alone, |peers| !peers.is_empty());
    for (name, paths) in PEERS.iter().filter(|_| beside) {
        match paths.iter().map(PathBuf::from).find(|p| p.exists()) {
            Some(program) => all.push(plain(name, program)),
            None => {
                println!("{name} is not installed: its column is left out (apt-get install {name})")
            }
        }
    }
    for crun in all.iter_mut().filter(|r| r.name == "crun" && !alone) {
        crun.pure_v2 = true;
        crun.preload = Some(forgiving_setrlimit(folder)?);
    }
    Ok(all)
}

fn version(program: &Path) -> String {
    let out = Command::new(program).arg("--version").output();
    let text = out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("no version").to_owned()
}

const SETRLIMIT: &str = r"
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
int setrlimit(__rlimit_resource_t what, const struct rlimit *limit) {
  long got = syscall(SYS_prlimit64, 0, what, limit, 0);
  return got < 0 && what == RLIMIT_MEMLOCK ? 0 : got;
}
";

fn forgiving_setrlimit(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (folder.join("setrlimit.c"), folder.join("setrlimit.so"));
    fs::write(&source, SETRLIMIT)?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    if gcc.status()?.success() { Ok(library) } else { Err(Error::other("gcc failed")) }
}
