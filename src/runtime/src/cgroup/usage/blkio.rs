//! Reads and writes of block devices.
//!
//! Sources: admin-guide/cgroup-v1/blkio-controller.rst, admin-guide/cgroup-v2.rst "IO" of the
//! kernel; runc types/events.go.

use std::path::Path;

use serde::Serialize;

use super::pressure::Pressure;
use super::text;
use crate::cgroup::Cgroup;

/// Counts by device and kind of operation; a list of what nobody counts is left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blkio {
    /// Bytes.
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations.
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Operations that wait now (this and the others: v1, by its schedulers).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlkioEntry>,
    /// From dispatch to completion, nanoseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    /// In the scheduler's queues, nanoseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    /// Operations that became part of others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    /// Time of the device, milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    /// Sectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    /// Waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One number of a device.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct BlkioEntry {
    /// Its number.
    pub major: u64,
    /// Its number.
    pub minor: u64,
    /// `Read`, `Write`; of what has no kinds, nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The count.
    pub value: u64,
}

impl Cgroup {
    pub(super) fn blkio(&self) -> Blkio {
        let psi = self.pressure("io");
        if let Some(folder) = self.v1_folder("blkio") {
            return Blkio { psi, ..of_v1(folder) };
        }
        let Some(folder) = self.v2_folder() else { return Blkio::default() };
        let stat = text(folder, "io.stat");
        Blkio {
            io_service_bytes_recursive: lines_of_v2(&stat, BYTES),
            io_serviced_recursive: lines_of_v2(&stat, OPERATIONS),
            psi,
            ..Blkio::default()
        }
    }
}

/// Bytes and operations are counted by the throttle, whatever the scheduler; the rest by one of
/// them: BFQ, or CFQ of old kernels.
fn of_v1(folder: &Path) -> Blkio {
    let entries = |name: &str| lines_of_v1(&text(folder, &format!("blkio.{name}_recursive")));
    let scheduled = |name: &str| {
        let bfq = entries(&format!("bfq.{name}"));
        if bfq.is_empty() { entries(name) } else { bfq }
    };
    Blkio {
        io_service_bytes_recursive: entries("throttle.io_service_bytes"),
        io_serviced_recursive: entries("throttle.io_serviced"),
        io_queue_recursive: scheduled("io_queued"),
        io_service_time_recursive: scheduled("io_service_time"),
        io_wait_time_recursive: scheduled("io_wait_time"),
        io_merged_recursive: scheduled("io_merged"),
        io_time_recursive: scheduled("time"),
        sectors_recursive: scheduled("sectors"),
        psi: None,
    }
}

const BYTES: [(&str, &str); 2] = [("rbytes", "Read"), ("wbytes", "Write")];
const OPERATIONS: [(&str, &str); 2] = [("rios", "Read"), ("wios", "Write")];

/// Lines of `MAJOR:MINOR OP VALUE`, or of `MAJOR:MINOR VALUE`.
fn lines_of_v1(text: &str) -> Vec<BlkioEntry> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (device, word) = (words.next()?, words.next()?);
        let (op, value) = words.next().map_or(("", word), |value| (word, value));
        let (major, minor) = device.split_once(':')?;
        entry(major, minor, op, value)
    };
    text.lines().filter_map(line).collect()
}

/// Lines of `MAJOR:MINOR KEY=VALUE ...`.
fn lines_of_v2(text: &str, keys: [(&str, &str); 2]) -> Vec<BlkioEntry> {
    let mut out = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let op = keys.iter().find(|(name, _)| *name == key).map(|(_, op)| *op);
            out.extend(op.and_then(|op| entry(major, minor, op, value)));
        }
    }
    out
}

fn entry(major: &str, minor: &str, op: &str, value: &str) -> Option<BlkioEntry> {
    let op = op.to_owned();
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    Some(BlkioEntry { major, minor, op, value: value.parse().ok()? })
}

/// Both versions' readers on the same text.
#[cfg(test)]
pub(super) fn read_both_forms(text: &str) {
    drop((lines_of_v1(text), lines_of_v2(text, BYTES)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_both_versions_are_read() {
        let one = |op: &str, value| BlkioEntry { major: 8, minor: 0, op: op.into(), value };
        let text = "8:0 Read 4096\nTotal 4096\n";
        assert_eq!(lines_of_v1(text), [one("Read", 4096)]);
        assert_eq!(lines_of_v1("8:0 6792\n"), [one("", 6792)]);
        let text = "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n";
        assert_eq!(lines_of_v2(text, OPERATIONS), [one("Read", 3), one("Write", 4)]);
    }

    /// Red when a list is looked for under BFQ's names alone, or those of CFQ first.
    #[test]
    fn what_schedulers_of_v1_count_is_read_of_the_one_that_counts() {
        let folder = scope::Folder::new("blkio");
        let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        put("blkio.throttle.io_serviced_recursive", "8:0 Read 5\nTotal 5\n");
        put("blkio.bfq.io_merged_recursive", "8:0 Read 1\nTotal 1\n");
        put("blkio.io_merged_recursive", "8:0 Read 2\nTotal 2\n");
        put("blkio.bfq.io_queued_recursive", "Total 0\n");
        put("blkio.io_queued_recursive", "8:0 Read 3\nTotal 3\n");
        put("blkio.sectors_recursive", "8:0 6792\n");
        let counts = serde_json::to_value(of_v1(&folder)).unwrap();
        let read =
            |value| serde_json::json!([{"major": 8, "minor": 0, "op": "Read", "value": value}]);
        let expected = serde_json::json!({
            "ioServiceBytesRecursive": [], "ioServicedRecursive": read(5),
            "ioMergedRecursive": read(1), "ioQueueRecursive": read(3),
            "sectorsRecursive": [{"major": 8, "minor": 0, "value": 6792}],
        });
        assert_eq!(counts, expected);
    }
}
