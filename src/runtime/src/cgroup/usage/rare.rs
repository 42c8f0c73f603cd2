//! What few machines count: huge pages and RDMA.
//!
//! Sources: admin-guide/cgroup-v1/hugetlb.rst, admin-guide/cgroup-v2.rst of the kernel; runc
//! types/events.go and cgroups/stats.go.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Counter, keyed, number, text};
use crate::cgroup::Cgroup;

/// Contexts and objects of RDMA devices: runc's `RdmaStats`.
#[derive(Debug, Default, Serialize)]
pub struct Rdma {
    /// At most; devices without a limit say 4294967295, as runc does.
    #[serde(rename = "rdma_limit", skip_serializing_if = "Vec::is_empty")]
    pub limit: Vec<RdmaEntry>,
    /// Now.
    #[serde(rename = "rdma_current", skip_serializing_if = "Vec::is_empty")]
    pub current: Vec<RdmaEntry>,
}

/// One device.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RdmaEntry {
    /// Its name.
    pub device: String,
    /// Open contexts.
    pub hca_handles: u32,
    /// Objects: queues, protection domains, regions of memory.
    pub hca_objects: u32,
}

impl Cgroup {
    /// By size of page; reservations where the kernel counts them, which meet the limit first.
    pub(super) fn hugetlb(&self) -> BTreeMap<String, Counter> {
        let v1 = self.v1_folder("hugetlb");
        let Some(folder) = v1.or(self.v2_folder()) else { return BTreeMap::new() };
        let usage = if v1.is_some() { "usage_in_bytes" } else { "current" };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names: Vec<_> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        let count = |size: &str| {
            let reserved = format!("hugetlb.{size}.rsvd.");
            let plain = format!("hugetlb.{size}.");
            let prefix =
                if names.contains(&format!("{reserved}{usage}")) { reserved } else { plain };
            let read = |name: &str| number(folder, &format!("{prefix}{name}"));
            if v1.is_some() {
                let (limit, max) = (read("limit_in_bytes"), read("max_usage_in_bytes"));
                return Counter { limit, max, usage: read(usage), failcnt: read("failcnt") };
            }
            let events = text(folder, &format!("hugetlb.{size}.events"));
            let failcnt = keyed(&events, "max").unwrap_or(0);
            Counter { limit: read("max"), max: 0, usage: read(usage), failcnt }
        };
        let size = |name: &String| {
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(usage)?.strip_suffix('.')?;
            (!size.contains('.')).then(|| (size.to_owned(), count(size)))
        };
        names.iter().filter_map(size).collect()
    }

    pub(super) fn rdma(&self) -> Option<Rdma> {
        let folder = self.v1_folder("rdma").or(self.v2_folder())?;
        let entries = |name: &str| rdma_entries(&text(folder, name));
        let rdma = Rdma { limit: entries("rdma.max"), current: entries("rdma.current") };
        (!rdma.limit.is_empty()).then_some(rdma)
    }
}

/// Lines of `DEVICE hca_handle=N hca_object=N`; a number may be `max`.
pub(super) fn rdma_entries(text: &str) -> Vec<RdmaEntry> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let device = words.next()?.to_owned();
        let mut entry = RdmaEntry { device, hca_handles: 0, hca_objects: 0 };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = if value == "max" { Some(u32::MAX) } else { value.parse().ok() };
            match key {
                "hca_handle" => entry.hca_handles = value?,
                "hca_object" => entry.hca_objects = value?,
                _ => {}
            }
        }
        Some(entry)
    };
    text.lines().filter_map(line).collect()
}
