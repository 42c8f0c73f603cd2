//! The verbs: one table each, and what runs.

use runtime::CgroupDriver;

use crate::args::{Flag, Given, UsageError, Words};
use crate::report::{self, Failure};

mod checkpoint;
mod container;
mod create;
mod events;
mod exec;
mod features;
mod hold;
mod list;
mod monitor;
mod mounts;
mod ps;
mod spec;
mod update;

/// One verb of the command line.
pub(crate) struct Verb {
    /// Its name.
    pub(crate) name: &'static str,
    /// One line about it.
    pub(crate) help: &'static str,
    /// Its words, for the usage line.
    pub(crate) arguments: &'static str,
    /// Its options.
    pub(crate) flags: &'static [Flag],
    /// Whether options may follow words.
    pub(crate) words: Words,
    /// Fewest words.
    pub(crate) least: usize,
    /// Most words.
    pub(crate) most: usize,
    /// Not shown in the help.
    pub(crate) hidden: bool,
    /// Two command lines, without the program's name.
    pub(crate) examples: [&'static str; 2],
    /// Runs it; the result is the exit code.
    pub(crate) run: fn(&Given, &Given) -> Result<u8, Failure>,
}

/// Options before the verb.
pub(crate) const GLOBAL: &[Flag] = &[
    Flag::value("root", 0, "DIR", "folder of the containers' state (default /run/podvisor-oci)"),
    Flag::value(
        "log",
        0,
        "TARGET",
        "write errors to FILE, file:FILE, journald:NAME or syslog:NAME as well",
    ),
    Flag::value("log-format", 0, "FORMAT", "text (default) or json"),
    Flag::value("log-level", 0, "LEVEL", "debug logs as --debug does; others log errors alone"),
    Flag::switch("debug", 0, "log the steps of create, run and exec, too"),
    Flag::switch("systemd-cgroup", 0, "make each container's cgroup a systemd scope"),
    Flag::value("cgroup-manager", 0, "NAME", "cgroupfs (default), systemd or disabled"),
    Flag::value("criu", 0, "FILE", "criu, for checkpoint and restore (default: that of PATH)"),
    Flag::value("rootless", 0, "MODE", "accepted for runc's callers: true, false or auto"),
    Flag::switch("version", b'v', "print the version"),
    Flag::switch("help", b'h', "print this help"),
];

/// All verbs, in the order of the help.
pub(crate) const VERBS: &[Verb] = &[
    create::CREATE,
    container::START,
    create::RUN,
    exec::EXEC,
    container::STATE,
    container::KILL,
    container::DELETE,
    list::LIST,
    ps::PS,
    container::PAUSE,
    container::RESUME,
    update::UPDATE,
    mounts::MOUNTS,
    events::EVENTS,
    checkpoint::CHECKPOINT,
    checkpoint::RESTORE,
    spec::SPEC,
    features::FEATURES,
    monitor::MONITOR,
    hold::HOLD,
];

/// The verb of that name.
pub(crate) fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|v| v.name == name)
}

const ROOT: &str = "/run/podvisor-oci";

/// The runtime over the root that was asked for.
fn open(globals: &Given) -> Result<runtime::Runtime, Failure> {
    let driver = match globals.text("cgroup-manager")? {
        None | Some("cgroupfs" | "") if globals.has("systemd-cgroup") => CgroupDriver::Systemd,
        None | Some("cgroupfs" | "") => CgroupDriver::Cgroupfs,
        Some("systemd") => CgroupDriver::Systemd,
        Some("disabled") => CgroupDriver::Disabled,
        Some(other) => {
            return Err(Failure::new(format!(
                "unknown cgroup manager {other:?} (cgroupfs, systemd or disabled)"
            )));
        }
    };
    let own = || {
        let user = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| sys::seqpacket::own_uid() != 0);
        user.map_or_else(
            || ROOT.into(),
            |folder| std::path::Path::new(&folder).join("podvisor-oci"),
        )
    };
    let root = globals.path("root").unwrap_or_else(own);
    let runtime = runtime::Runtime::new(&root)?.with_cgroups(driver).briefly();
    let runtime = runtime.warning(|line| report::log().warn(line));
    if !globals.has("debug") && globals.text("log-level")? != Some("debug") {
        return Ok(runtime);
    }
    Ok(runtime.telling(|line| report::log().debug(line)))
}

/// A JSON file without what is nothing in it, or standard input for `-`.
fn document(path: &std::path::Path, what: &str) -> Result<serde_json::Value, Failure> {
    let text = match path.as_os_str() == "-" {
        true => runtime::read_stream(std::io::stdin().lock(), path),
        false => runtime::read_document(path),
    };
    let text = text.map_err(|e| Failure::from(e).within(what))?;
    let mut value = serde_json::from_slice(&text)
        .map_err(|e| Failure::new(format!("{what} {}: {e}", path.display())))?;
    oci::document::drop_zero_values(&mut value);
    Ok(value)
}

/// The container's id, the first word.
fn id(given: &Given) -> Result<&str, Failure> {
    let id = given.words.first().and_then(|w| w.to_str()).ok_or(UsageError::NotText)?;
    Ok(id)
}
