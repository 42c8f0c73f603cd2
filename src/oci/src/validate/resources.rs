//! `linux.resources`: texts that go into the kernel's files as they are. What the numbers may be
//! is for the writer to judge, who knows the host's version of cgroups.

use oci_spec::runtime::LinuxResources;

use super::Findings;

pub(super) fn check(resources: &LinuxResources, found: &mut Findings) {
    let at = |field: &str| format!("linux.resources.{field}");
    if let Some(cpu) = resources.cpu() {
        for (field, list) in [("cpu.cpus", cpu.cpus()), ("cpu.mems", cpu.mems())] {
            found.plain(at(field), list.as_deref().unwrap_or_default());
        }
    }
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        found.plain(at(&format!("hugepageLimits[{index}].pageSize")), limit.page_size());
    }
    let network = resources.network().as_ref();
    for (index, entry) in
        network.and_then(|n| n.priorities().as_ref()).into_iter().flatten().enumerate()
    {
        found.plain(at(&format!("network.priorities[{index}].name")), entry.name());
    }
    for name in resources.rdma().iter().flatten().map(|(name, _)| name) {
        found.plain(at(&format!("rdma[{name:?}]")), name);
    }
    for (key, value) in resources.unified().iter().flatten() {
        let at = at(&format!("unified[{key:?}]"));
        found.plain(at.clone(), key);
        // Line breaks part what is written one by one.
        found.need(!value.contains('\0'), at, "must not contain NUL");
    }
}
