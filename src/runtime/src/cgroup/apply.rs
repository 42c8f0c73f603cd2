//! Writing limits.
//!
//! Order is the plan's; a cpu period or burst that the present quota or runtime forbids is tried
//! again after that. Not here: which file means what (`v1`, `v2`, `devices`).

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;

use oci::runtime::{LinuxDeviceCgroup, LinuxResources};

use super::devices::{self, Table};
use super::setting::{Absent, Setting};
use super::{Cgroup, Error, field_error, io_error, v1, v2};

impl Cgroup {
    /// Sets the limits of `resources`; device rules only when there are some.
    ///
    /// # Errors
    /// The first limit that could not be kept, by field. Those before it stay set.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        if let Some(rules) = resources.devices().as_ref().filter(|r| !r.is_empty()) {
            self.devices(rules)?;
        }
        self.limits(resources)
    }

    /// All of `resources` but the devices.
    pub(super) fn limits(&self, resources: &LinuxResources) -> Result<(), Error> {
        self.check_before_update(resources)?;
        let settings = self.plan(resources)?;
        let mut again = Vec::new();
        for setting in &settings {
            match self.set(setting) {
                Err(Error::Write { source, .. })
                    if source.kind() == ErrorKind::InvalidInput && depends_on_quota(setting) =>
                {
                    again.push(setting);
                }
                other => other?,
            }
        }
        again.into_iter().try_for_each(|setting| self.set(setting))
    }

    fn plan(&self, resources: &LinuxResources) -> Result<Vec<Setting>, Error> {
        if self.folders.iter().all(|f| f.v2) {
            return v2::plan(resources);
        }
        v1::refuse_unified(resources)?;
        let limited = resources.memory().as_ref().is_some_and(|memory| memory.limit().is_some());
        let memory_now =
            limited.then(|| self.read_number("memory", "memory.limit_in_bytes")).flatten();
        let plan = v1::plan(resources, memory_now)?;
        if plan.iter().all(|s| self.v1_folder(s.controller).is_some()) {
            return Ok(plan);
        }
        // Hybrid: what v1 has not may live in v2.
        let (mut plan, absent): (Vec<_>, Vec<_>) =
            plan.into_iter().partition(|s| self.v1_folder(s.controller).is_some());
        let second = v2::plan(resources)?;
        for setting in absent {
            let name = if setting.controller == "blkio" { "io" } else { setting.controller };
            if !self.v2_has(name) {
                return Err(missing(&setting, self.v2_folder()));
            }
            plan.extend(second.iter().filter(|s| s.controller == name).cloned());
        }
        Ok(plan)
    }

    fn v2_has(&self, controller: &str) -> bool {
        let Some(folder) = self.v2_folder() else { return false };
        fs::read_to_string(folder.join("cgroup.controllers"))
            .is_ok_and(|text| text.split_whitespace().any(|c| c == controller))
    }

    fn set(&self, setting: &Setting) -> Result<(), Error> {
        let in_v1 = self.v1_folder(setting.controller);
        let Some(folder) = in_v1.or_else(|| self.v2_folder()) else {
            return Err(missing(setting, None));
        };
        let written = write(folder, &setting.file, &setting.value, setting.field);
        if let Absent::Either(file, value) = &setting.absent {
            return either(written, write(folder, file, value, setting.field));
        }
        match written {
            Err(Error::MissingFile { field, file }) => match &setting.absent {
                Absent::Skip | Absent::Either(..) => Ok(()),
                Absent::Refuse if in_v1.is_some() || setting.controller == "cgroup" => {
                    Err(Error::MissingFile { field, file })
                }
                Absent::Refuse if self.v2_has(setting.controller) => {
                    Err(Error::MissingFile { field, file })
                }
                Absent::Refuse => Err(missing(setting, Some(folder))),
            },
            other => other,
        }
    }

    fn check_before_update(&self, resources: &LinuxResources) -> Result<(), Error> {
        let Some(memory) = resources.memory() else { return Ok(()) };
        let Some(limit) = memory.limit().filter(|l| *l > 0) else { return Ok(()) };
        if memory.check_before_update() != Some(true) {
            return Ok(());
        }
        match self.memory_current()? {
            Some(usage) if usage > limit.unsigned_abs() => Err(field_error(
                "linux.resources.memory.limit",
                format!("{limit} bytes are less than the {usage} in use (checkBeforeUpdate)"),
            )),
            _ => Ok(()),
        }
    }

    /// Confines devices to `rules` and the default ones; nothing else may be opened or made.
    ///
    /// # Errors
    /// [`Error::Field`] for a bad rule, [`Error::MissingController`] where neither v1's devices
    /// controller nor a v2 hierarchy is there.
    pub fn devices(&self, rules: &[LinuxDeviceCgroup]) -> Result<(), Error> {
        let rules = devices::rules(rules)?;
        if let Some(folder) = self.v1_folder("devices") {
            return devices_v1(folder, &rules);
        }
        match (&self.v2_fd, self.v2_folder()) {
            (Some(fd), Some(folder)) => {
                let failed = |what| {
                    let path = folder.to_owned();
                    move |source| Error::DeviceProgram { what, path, source }
                };
                let program = devices::program(&rules);
                let program = sys::bpf::load_device_program(&program).map_err(failed("load"))?;
                replace_program(fd.as_fd(), program.as_fd()).map_err(failed("attach"))
            }
            _ => {
                let any = Setting::new("devices", "devices.list", "", "linux.resources.devices");
                Err(missing(&any, None))
            }
        }
    }
}

/// The new program must stand before the old ones go; a single old one is swapped in one step.
fn replace_program(
    cgroup: std::os::fd::BorrowedFd<'_>,
    program: std::os::fd::BorrowedFd<'_>,
) -> io::Result<()> {
    let old = sys::bpf::attached_device_programs(cgroup)?;
    if let [single] = old.as_slice() {
        let swapped = sys::bpf::attach_device_program(cgroup, program, Some(single.as_fd()));
        if swapped.is_ok() {
            return Ok(());
        }
    }
    sys::bpf::attach_device_program(cgroup, program, None)?;
    old.iter().try_for_each(|o| sys::bpf::detach_device_program(cgroup, o.as_fd()))
}

fn devices_v1(folder: &Path, rules: &[devices::Rule]) -> Result<(), Error> {
    let wanted = Table::from_rules(rules)?;
    let list = folder.join("devices.list");
    let now = sys::kernel_file::read(&list).map_err(io_error("read", &list))?;
    let field = "linux.resources.devices";
    let mut open: Option<(&str, File)> = None;
    for (name, line) in devices::transition(&Table::parse(&now), &wanted) {
        let file = match open.take() {
            Some((former, file)) if former == name => file,
            _ => open_existing(&folder.join(name), field, &line)?,
        };
        put(&file, &folder.join(name), &line, field)?;
        open = Some((name, file));
    }
    Ok(())
}

/// One of two files must have taken a limit. The other may be missing, or of a scheduling that the
/// block device does not have.
fn either(first: Result<(), Error>, second: Result<(), Error>) -> Result<(), Error> {
    let elsewhere = |error: &Error| match error {
        Error::MissingFile { .. } => true,
        Error::Write { source, .. } => source.raw_os_error() == Some(sys::abi::EOPNOTSUPP),
        _ => false,
    };
    match (first, second) {
        (Ok(()), Err(error)) | (Err(error), Ok(())) if elsewhere(&error) => Ok(()),
        (Err(error), second) if elsewhere(&error) => second,
        (first, second) => first.and(second),
    }
}

/// One `write(2)`, never creating: a missing file is told from a refused value.
fn write(folder: &Path, name: &str, value: &str, field: &str) -> Result<(), Error> {
    let path = folder.join(name);
    put(&open_existing(&path, field, value)?, &path, value, field)
}

fn open_existing(path: &Path, field: &str, value: &str) -> Result<File, Error> {
    let (field, file) = (field.to_owned(), path.to_owned());
    File::options().write(true).open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => Error::MissingFile { field, file },
        _ => Error::Write { field, file, value: value.to_owned(), source },
    })
}

fn put(mut open: &File, path: &Path, value: &str, field: &str) -> Result<(), Error> {
    io::Write::write_all(&mut open, value.as_bytes()).map_err(|source| {
        let (field, file) = (field.to_owned(), path.to_owned());
        Error::Write { field, file, value: value.to_owned(), source }
    })
}

fn depends_on_quota(setting: &Setting) -> bool {
    ["cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.max.burst", "cpu.rt_period_us"]
        .contains(&setting.file.as_ref())
}

/// The error for a controller that is not here, with what `/proc/cgroups` tells about why.
fn missing(setting: &Setting, v2: Option<&Path>) -> Error {
    let known = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let hint = missing_hint(setting.controller, v2, &known);
    let (controller, field) = (setting.controller.to_owned(), setting.field.to_owned());
    Error::MissingController { controller, field, hint }
}

/// `/proc/cgroups` lines: name, hierarchy id (0 = v2 or none), number of cgroups, enabled.
fn missing_hint(controller: &str, v2: Option<&Path>, known: &str) -> String {
    let v1_name = if controller == "io" { "blkio" } else { controller };
    let enabled = known.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(v1_name)).then(|| words.nth(2) == Some("1"))
    });
    match (enabled, v2.and_then(Path::parent)) {
        (Some(false), _) => {
            format!(
                "it is switched off: boot without cgroup_disable={controller} or with cgroup_enable={controller}"
            )
        }
        (None, None) => format!("this kernel is built without the {controller} controller"),
        (None | Some(true), Some(parent)) => format!(
            "hand it down: echo +{controller} > {}/cgroup.subtree_control (from the root down); \
             if cgroup.controllers there does not list it, this kernel lacks it",
            parent.display()
        ),
        (Some(true), None) => {
            format!("mount it: mount -t cgroup -o {v1_name} {v1_name} /sys/fs/cgroup/{v1_name}")
        }
    }
}
