//! What is wrong with a config.json, all of it, each with its field path.
//!
//! [`validate`] asks one module a part of the document. What the specification has and this runtime
//! does not do is a finding too: nothing is left out silently. Values that only the kernel can
//! judge (a path, a mount's data) are not looked at here.

pub use linux::sysctl_namespace;
pub use mounts::LINK_OPTIONS;

use std::fmt;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

mod linux;
mod mounts;
mod process;
mod rdt;
mod resources;
mod schedule;
#[cfg(test)]
mod tests;

/// Highest number in a list of CPUs or memory nodes: what any kernel is built for.
pub const LIST_MAX: u32 = 8191;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: `process.rlimits[1].soft`.
    pub path: String,
    /// What, in words that fit behind the path and a colon.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Finding { path: path.into(), problem: problem.into() });
    }

    fn result(self) -> Result<(), Vec<Finding>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }

    /// Adds the finding unless the condition holds.
    fn need(&mut self, holds: bool, path: impl Into<String>, problem: impl Into<String>) {
        if !holds {
            self.add(path, problem);
        }
    }

    /// A list of CPUs or memory nodes: "0-3,8".
    fn list(&mut self, path: impl Into<String>, text: &str) {
        let number =
            |text: &str| text.trim_matches(' ').parse::<u32>().ok().filter(|n| *n <= LIST_MAX);
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            number(first).zip(number(last)).is_some_and(|(first, last)| first <= last)
        };
        let problem = format!("{text:?} is no list of numbers up to {LIST_MAX} like 0-3,8");
        self.need(text.split(',').all(range), path, problem);
    }

    /// A text that must go into the kernel as it is.
    fn plain(&mut self, path: impl Into<String>, text: &str) {
        let clean = !text.bytes().any(|b| b == 0 || b == b'\n');
        self.need(clean, path, "must not contain NUL or a line break");
    }
}

/// Checks a whole document.
///
/// # Errors
/// Every finding; never an empty list.
pub fn validate(spec: &Spec) -> Result<(), Vec<Finding>> {
    let mut found = Findings::default();
    check_version(spec, &mut found);
    match spec.root() {
        None => found.add("root", "is missing"),
        Some(root) => {
            found.need(!root.path().as_os_str().is_empty(), "root.path", "is empty");
            found.plain("root.path", &root.path().to_string_lossy());
        }
    }
    if spec.vm().is_some() {
        found.add("vm", "is not supported: this runtime makes containers, not virtual machines");
    }
    check_names(spec, &mut found);
    check_hooks(spec, &mut found);
    process::check(spec, &mut found);
    mounts::check(spec, &mut found);
    linux::check(spec, &mut found);
    found.result()
}

/// Checks limits on their own, as `update` gets them.
///
/// # Errors
/// Every finding; never an empty list.
pub fn validate_resources(limits: &oci_spec::runtime::LinuxResources) -> Result<(), Vec<Finding>> {
    let mut found = Findings::default();
    resources::check(limits, &mut found);
    found.result()
}

/// Checks a process on its own, as `exec` gets it.
///
/// # Errors
/// Every finding; never an empty list.
pub fn validate_process(process: &oci_spec::runtime::Process) -> Result<(), Vec<Finding>> {
    let mut found = Findings::default();
    process::check_process(process, &mut found);
    found.result()
}

fn check_version(spec: &Spec, found: &mut Findings) {
    let version = spec.version();
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    let numbers = parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    if parts.len() != 3 || !numbers {
        found.add("ociVersion", format!("{version:?} is not a version like 1.2.0"));
    } else if parts.first() != Some(&"1") {
        found.add("ociVersion", format!("{version} is not supported, only 1.x is"));
    }
}

/// Whether the document asks for a namespace of this kind, new or by path.
fn has(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    namespaces(spec).iter().any(|n| n.typ() == kind)
}

fn namespaces(spec: &Spec) -> &[oci_spec::runtime::LinuxNamespace] {
    spec.linux().as_ref().and_then(|l| l.namespaces().as_deref()).unwrap_or_default()
}

fn check_names(spec: &Spec, found: &mut Findings) {
    for (field, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let Some(name) = name.as_deref().filter(|n| !n.is_empty()) else { continue };
        found.plain(field, name);
        found.need(name.len() <= 64, field, "is longer than 64 bytes");
        let uts = has(spec, LinuxNamespaceType::Uts);
        found.need(uts, field, "needs a uts namespace in linux.namespaces");
    }
    let landlock = crate::landlock::read(spec).err();
    let cores = crate::core_scheduling::read(spec).err();
    let keys = [crate::landlock::KEY, crate::core_scheduling::KEY];
    for (key, problem) in keys.into_iter().zip([landlock, cores]) {
        problem.into_iter().for_each(|text| found.add(format!("annotations[{key:?}]"), text));
    }
    for key in spec.annotations().iter().flatten().map(|(key, _)| key) {
        found.need(!key.is_empty(), "annotations", "has an empty key");
    }
}

#[allow(deprecated, reason = "prestart hooks are still in use and still in the specification")]
fn check_hooks(spec: &Spec, found: &mut Findings) {
    let Some(hooks) = spec.hooks() else { return };
    let lists = [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (name, list) in lists {
        for (index, hook) in list.iter().flatten().enumerate() {
            let at = format!("hooks.{name}[{index}]");
            found.need(hook.path().is_absolute(), format!("{at}.path"), "is not an absolute path");
            found.plain(format!("{at}.path"), &hook.path().to_string_lossy());
            let positive = hook.timeout().is_none_or(|t| t > 0);
            found.need(positive, format!("{at}.timeout"), "must be more than 0 seconds");
            let texts = hook.args().iter().flatten().chain(hook.env().iter().flatten());
            for text in texts {
                found.need(!text.contains('\0'), at.clone(), "must not contain NUL");
            }
        }
    }
}
