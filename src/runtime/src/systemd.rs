//! The systemd cgroup driver: a container's cgroup is a scope, made by systemd on request.
//!
//! A scope is made round a process. It is not the runtime, which must not be charged to the
//! container, but a holder: this program once more, waiting for its standard input to end. When it
//! is in the scope, the container is made there as in any cgroup, and the holder goes.
//!
//! `unit` names and properties, `annotations` properties that the document asks for, `value` what
//! they are, `wire` messages (all pure); `bus` the connection. Invariants: no
//! wait beyond the verb's deadline; the limits are written by `cgroup` too, so that a property that
//! systemd lacks changes nothing. Not here: a user's own systemd.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oci::runtime::LinuxResources;

mod annotations;
mod bus;
mod unit;
mod value;
mod wire;

pub(crate) use annotations::PREFIX as PROPERTY;
pub(crate) use unit::Unit;

use bus::Bus;
use value::{Property, Value};
use wire::{Body, Method};

/// The hidden verb of podvisor-oci that waits for the end of its input.
pub const HOLD: &str = "hold";

/// Between two looks at what systemd has done by now.
const STEP: Duration = Duration::from_millis(1);
/// What to try when it says nothing.
const HUNG: &str = "see systemctl status and list-jobs";
const GONE: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// What goes wrong with systemd.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// linux.cgroupsPath names no scope.
    #[error("linux.cgroupsPath {path:?}: {problem}")]
    Path {
        /// As given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A property that an annotation asks for is none.
    #[error("annotation {name}: {problem} (its value is {value:?})")]
    Annotation {
        /// The annotation's name.
        name: String,
        /// As given.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody answers.
    #[error("connect to systemd at {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The connection broke, or time is up.
    #[error("systemd {method}")]
    Call {
        /// The method.
        method: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// systemd says no.
    #[error("systemd {method}: {words} ({name})")]
    Refused {
        /// The method.
        method: &'static str,
        /// The error's name.
        name: String,
        /// systemd's words.
        words: String,
    },
    /// The process that a scope is made round.
    #[error("start the holder of the scope")]
    Holder {
        /// The kernel's reason.
        source: io::Error,
    },
    /// The job was taken, and nothing came of it.
    #[error("systemd has not {what} {unit} in time")]
    Late {
        /// "made", "removed".
        what: &'static str,
        /// The scope.
        unit: String,
    },
}

impl Error {
    /// What to try next, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Error::Path { .. } => {
                "as in system.slice:web:one; or leave --systemd-cgroup out for a plain path"
            }
            Error::Annotation { .. } => {
                "values are GVariant text: 'mixed', uint64 5000000, true, ['a.service', 'b.target']"
            }
            Error::Connect { source, .. } if source.kind() == io::ErrorKind::TimedOut => HUNG,
            Error::Connect { .. } => "without systemd, leave --systemd-cgroup out",
            Error::Refused { name, .. } if name.ends_with(".UnitExists") => {
                "choose another name in linux.cgroupsPath, or stop the scope with systemctl"
            }
            Error::Late { .. } | Error::Call { .. } => HUNG,
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Keeps a scope while nothing else is in it.
#[derive(Debug)]
pub(crate) struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const fn method(member: &'static str, signature: &'static str) -> Method {
    Method {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member,
        signature,
    }
}

/// Makes the scope; its holder, and the cgroup as it is.
pub(crate) fn start(
    unit: &Unit,
    id: &str,
    resources: Option<&LinuxResources>,
    v2: bool,
    deadline: Instant,
) -> Result<(Holder, String), Error> {
    let mut bus = Bus::open(deadline)?;
    let holder = Command::new("/proc/self/exe")
        .arg(HOLD)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Holder)
        .map_err(|source| Error::Holder { source })?;
    let mut properties = vec![
        ("Description", Value::Text(format!("container {id}"))),
        ("Slice", Value::Text(unit.slice.clone())),
        ("PIDs", Value::Numbers(vec![holder.0.id()])),
        ("Delegate", Value::Flag(true)),
        ("DefaultDependencies", Value::Flag(false)),
        ("CollectMode", Value::Text("inactive-or-failed".to_owned())),
        ("MemoryAccounting", Value::Flag(true)),
        ("CPUAccounting", Value::Flag(true)),
        ("TasksAccounting", Value::Flag(true)),
    ];
    properties.extend(resources.into_iter().flat_map(|r| unit::limits(r, v2)));
    let mut body = Body::default();
    body.text(&unit.name);
    body.text("replace");
    let asked = unit.properties.iter().map(|(name, value)| (name.as_str(), value));
    body.properties(pairs(&properties).chain(asked));
    body.no_more_units();
    bus.call(&method("StartTransientUnit", "ssa(sv)a(sa(sv))"), &body)?;
    let file = format!("/proc/{}/cgroup", holder.0.id());
    loop {
        let text = fs::read_to_string(&file).map_err(|source| Error::Holder { source })?;
        if let Some(path) = place(&text, &unit.cgroup) {
            return Ok((holder, path.to_owned()));
        }
        wait(&bus, "made", &unit.name)?;
    }
}

fn pairs(properties: &[Property]) -> impl Iterator<Item = (&str, &Value)> {
    properties.iter().map(|(name, value)| (*name, value))
}

/// Where a process is that has come into the scope, by its `/proc/PID/cgroup`.
fn place<'a>(text: &'a str, cgroup: &str) -> Option<&'a str> {
    let systemds = |line: &&str| line.starts_with("0::") || line.contains(":name=systemd:");
    let mut paths = text.lines().filter(systemds).filter_map(|line| line.splitn(3, ':').nth(2));
    paths.find(|path| path.ends_with(cgroup))
}

/// Changes the limits that systemd knows of.
pub(crate) fn update(
    unit: &str,
    resources: &LinuxResources,
    v2: bool,
    deadline: Instant,
) -> Result<(), Error> {
    let properties: Vec<Property> = unit::limits(resources, v2);
    if properties.is_empty() {
        return Ok(());
    }
    let mut body = Body::default();
    body.text(unit);
    // Until the next boot.
    body.flag(true);
    body.properties(pairs(&properties));
    Bus::open(deadline)?.call(&method("SetUnitProperties", "sba(sv)"), &body)
}

/// Ends the scope, whose cgroup is empty or gone, and waits until systemd has forgotten it.
pub(crate) fn stop(unit: &str, deadline: Instant) -> Result<(), Error> {
    let mut bus = Bus::open(deadline)?;
    let mut body = Body::default();
    body.text(unit);
    body.text("replace");
    if !known(bus.call(&method("StopUnit", "ss"), &body))? {
        return Ok(());
    }
    let mut body = Body::default();
    body.text(unit);
    while known(bus.call(&method("GetUnit", "s"), &body))? {
        wait(&bus, "removed", unit)?;
    }
    Ok(())
}

fn known(answer: Result<(), Error>) -> Result<bool, Error> {
    match answer {
        Err(Error::Refused { name, .. }) if name == GONE => Ok(false),
        other => other.map(|()| true),
    }
}

fn wait(bus: &Bus, what: &'static str, unit: &str) -> Result<(), Error> {
    if Instant::now() >= bus.deadline {
        return Err(Error::Late { what, unit: unit.to_owned() });
    }
    sys::teardown::until(Instant::now() + STEP);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_place_is_read_where_systemd_keeps_its_own() {
        let hybrid = "3:memory:/x\n1:name=systemd:/a.slice/p-x.scope\n0::/elsewhere\n";
        assert_eq!(super::place(hybrid, "/a.slice/p-x.scope"), Some("/a.slice/p-x.scope"));
        let nested = "0::/outer/a.slice/p-x.scope\n";
        assert_eq!(super::place(nested, "/a.slice/p-x.scope"), Some("/outer/a.slice/p-x.scope"));
        assert_eq!(super::place("0::/init.scope\n", "/a.slice/p-x.scope"), None);
    }
}
