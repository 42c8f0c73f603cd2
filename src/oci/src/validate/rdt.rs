//! `linux.intelRdt`: what its fields may hold. Masks are for the kernel to judge.

use oci_spec::runtime::LinuxIntelRdt;

use super::Findings;

/// Names that the root of the file system has already.
const TAKEN: [&str; 5] = [".", "..", "info", "mon_groups", "mon_data"];

pub(super) fn check(rdt: &LinuxIntelRdt, found: &mut Findings) {
    if let Some(name) = rdt.clos_id().as_deref().filter(|name| *name != "/") {
        let at = "linux.intelRdt.closID";
        found.plain(at, name);
        let one = !name.contains('/') && !TAKEN.contains(&name);
        found.need(one, at, format!("{name:?} is no name of a group"));
    }
    let lines = |text: &Option<String>| -> Vec<String> {
        text.iter().flat_map(|text| text.split('\n')).map(str::to_owned).collect()
    };
    let cache = lines(rdt.l3_cache_schema());
    for line in cache.iter().filter(|line| !line.is_empty()) {
        let at = "linux.intelRdt.l3CacheSchema";
        check_line(line, at, found);
    }
    if let Some(line) = rdt.mem_bw_schema().as_deref().filter(|line| !line.is_empty()) {
        let at = "linux.intelRdt.memBwSchema";
        check_line(line, at, found);
        found.need(line.starts_with("MB:"), at, "does not begin with MB:");
    }
    for (index, line) in rdt.schemata().iter().flatten().enumerate() {
        check_line(line, &format!("linux.intelRdt.schemata[{index}]"), found);
    }
}

fn check_line(line: &str, at: &str, found: &mut Findings) {
    found.plain(at, line);
    let problem = format!("{line:?} is no line like L3:0=ff;1=ff");
    let entry = |entry: &str| {
        entry
            .split_once('=')
            .is_some_and(|(id, mask)| !id.trim().is_empty() && !mask.trim().is_empty())
    };
    let fine = line.split_once(':').is_some_and(|(_, rest)| rest.split(';').all(entry));
    found.need(fine, at, problem);
}
