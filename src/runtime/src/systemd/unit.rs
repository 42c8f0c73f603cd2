//! What systemd is told about a container: the scope's name and its properties. Pure.
//!
//! Source: runc docs/systemd.md (the form of cgroupsPath and which limits become which property),
//! systemd.slice(5) (a slice's place follows from its name), systemd.resource-control(5).

use std::collections::{BTreeMap, HashMap};

use oci::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use super::value::{Property, Value};
use super::{Error, annotations};
use crate::cgroup::convert;

/// A container's scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// `PREFIX-NAME.scope`.
    pub(crate) name: String,
    /// `SLICE`.
    pub(crate) slice: String,
    /// Where it is expected among the cgroups.
    pub(crate) cgroup: String,
    /// What annotations ask for.
    pub(super) properties: BTreeMap<String, Value>,
}

impl Unit {
    /// Reads `SLICE:PREFIX:NAME`; nothing is `system.slice:podvisor:ID`.
    pub(crate) fn of(path: &str, id: &str) -> Result<Unit, Error> {
        let bad = |problem| Error::Path { path: path.to_owned(), problem };
        let (slice, prefix, name) = match path.split(':').collect::<Vec<_>>()[..] {
            [""] => ("system.slice", "podvisor", id),
            ["", prefix, name] => ("system.slice", prefix, name),
            [slice, prefix, name] => (slice, prefix, name),
            _ => return Err(bad("want SLICE:PREFIX:NAME")),
        };
        let plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.@\\".contains(&b));
        if name.is_empty() || !plain(name) || !plain(prefix) {
            return Err(bad("PREFIX and NAME want letters, digits and - _ . @ \\"));
        }
        let folders = folders(slice).ok_or_else(|| bad("the slice is none, as in system.slice"))?;
        let name = match prefix {
            "" => format!("{name}.scope"),
            _ => format!("{prefix}-{name}.scope"),
        };
        let cgroup = format!("{folders}/{name}");
        Ok(Unit { name, slice: slice.to_owned(), cgroup, properties: BTreeMap::new() })
    }

    /// Takes on the properties that the document's annotations ask for.
    pub(crate) fn ask(&mut self, all: &HashMap<String, String>) -> Result<(), Error> {
        self.properties = annotations::properties(all)?;
        Ok(())
    }
}

/// `a-b.slice` is below `a.slice`; `-.slice` is the root.
fn folders(slice: &str) -> Option<String> {
    let stem = slice.strip_suffix(".slice")?;
    if stem == "-" {
        return Some(String::new());
    }
    let (mut path, mut name) = (String::new(), String::new());
    for part in stem.split('-') {
        if part.is_empty() || part.contains('/') {
            return None;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(part);
        path.push_str(&format!("/{name}.slice"));
    }
    Some(path)
}

/// The limits as properties, so that systemd does not set others. `v2`: where controllers are.
pub(crate) fn limits(resources: &LinuxResources, v2: bool) -> Vec<Property> {
    let mut out = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_limits(memory, v2, &mut out);
    }
    if let Some(cpu) = resources.cpu() {
        cpu_limits(cpu, v2, &mut out);
    }
    if let Some(limit) = resources.pids().as_ref().map(|p| p.limit()).filter(|l| *l != 0) {
        out.push(("TasksMax", or_infinity(limit)));
    }
    out
}

fn or_infinity(limit: i64) -> Value {
    Value::Number(u64::try_from(limit).unwrap_or(u64::MAX))
}

fn memory_limits(memory: &LinuxMemory, v2: bool, out: &mut Vec<Property>) {
    let set = |limit: Option<i64>| limit.filter(|l| *l != 0);
    if let Some(limit) = set(memory.limit()) {
        out.push((if v2 { "MemoryMax" } else { "MemoryLimit" }, or_infinity(limit)));
    }
    if let (true, Some(low)) = (v2, set(memory.reservation())) {
        out.push(("MemoryLow", or_infinity(low)));
    }
    let swap = memory.swap().filter(|s| v2 && *s != 0);
    match (swap, memory.limit()) {
        (Some(total), _) if total < 0 => out.push(("MemorySwapMax", or_infinity(-1))),
        (Some(total), Some(limit)) if total >= limit => {
            out.push(("MemorySwapMax", or_infinity(total - limit)));
        }
        _ => {}
    }
}

fn cpu_limits(cpu: &LinuxCpu, v2: bool, out: &mut Vec<Property>) {
    if let Some(shares) = cpu.shares().filter(|s| *s != 0) {
        let property = match (v2, convert::weight_from_shares(shares)) {
            (true, Some(weight)) => ("CPUWeight", weight),
            _ => ("CPUShares", shares),
        };
        out.push((property.0, Value::Number(property.1)));
    }
    if let Some(quota) = cpu.quota().filter(|q| *q != 0) {
        let period = cpu.period().filter(|p| *p != 0).unwrap_or(100_000);
        let per_second = u64::try_from(quota).map_or(u64::MAX, |quota| {
            // systemd counts in hundredths of a CPU; more is better than less.
            (u128::from(quota) * 1_000_000).div_ceil(u128::from(period)).next_multiple_of(10_000)
                as u64
        });
        out.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
        if v2 {
            out.push(("CPUQuotaPeriodUSec", Value::Number(period)));
        }
    }
    for (name, list) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
        if let Some(bits) = list.as_deref().filter(|_| v2).and_then(bits) {
            out.push((name, Value::Bytes(bits)));
        }
    }
}

/// `0-2,9` as a set of bits, the lowest first.
fn bits(list: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        // No machine has more; the cgroup's file will say what is wrong.
        if first > last || last >= 8192 {
            return None;
        }
        for bit in first..=last {
            if out.len() <= bit / 8 {
                out.resize(bit / 8 + 1, 0);
            }
            out[bit / 8] |= 1 << (bit % 8);
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_path_names_slice_prefix_and_name() {
        for (path, name, cgroup) in [
            ("", "podvisor-c.scope", "/system.slice/podvisor-c.scope"),
            (":libpod:x", "libpod-x.scope", "/system.slice/libpod-x.scope"),
            ("-.slice::x", "x.scope", "/x.scope"),
            ("a-b-c.slice:p:x", "p-x.scope", "/a.slice/a-b.slice/a-b-c.slice/p-x.scope"),
        ] {
            let unit = Unit::of(path, "c").expect(path);
            assert_eq!((unit.name.as_str(), unit.cgroup.as_str()), (name, cgroup), "{path}");
        }
        for path in [
            "/a/b",
            "a:b",
            "a.slice:b:c:d",
            "a:b:c",
            "a--b.slice:b:c",
            "a/b.slice:b:c",
            "a.slice:b:",
            "a.slice:b:x/y",
        ] {
            assert!(Unit::of(path, "c").is_err(), "{path}");
        }
    }

    #[test]
    fn limits_become_properties() {
        let resources: LinuxResources = serde_json::from_str(
            r#"{"memory": {"limit": 64, "reservation": 32, "swap": 96},
                "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-2,9"},
                "pids": {"limit": -1}}"#,
        )
        .expect("resources");
        let number = |n| Value::Number(n);
        let v2 = vec![
            ("MemoryMax", number(64)),
            ("MemoryLow", number(32)),
            ("MemorySwapMax", number(32)),
            ("CPUWeight", number(100)),
            ("CPUQuotaPerSecUSec", number(500_000)),
            ("CPUQuotaPeriodUSec", number(100_000)),
            ("AllowedCPUs", Value::Bytes(vec![7, 2])),
            ("TasksMax", number(u64::MAX)),
        ];
        assert_eq!(limits(&resources, true), v2);
        let v1 = vec![
            ("MemoryLimit", number(64)),
            ("CPUShares", number(1024)),
            ("CPUQuotaPerSecUSec", number(500_000)),
            ("TasksMax", number(u64::MAX)),
        ];
        assert_eq!(limits(&resources, false), v1);
    }

    #[test]
    fn no_list_of_processors_panics() {
        for list in ["", "-", "3-1", "x", "99999999999999999999", "8192"] {
            assert_eq!(bits(list), None, "{list}");
        }
    }
}
