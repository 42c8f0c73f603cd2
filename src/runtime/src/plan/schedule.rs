//! When and where the process runs: `scheduler`, `ioPriority`, `execCPUAffinity`, `memoryPolicy`.
//!
//! Sources: sched(7), sched_setattr(2), set_mempolicy(2), runtime-spec config.md "Process" and "Linux Process".

use child::{Op, Scheduling};
use oci::runtime::{
    IOPriorityClass, LinuxMemoryPolicy, LinuxSchedulerFlag as Flag, LinuxSchedulerPolicy as Policy,
    MemoryPolicyFlagType as NodesFlag, MemoryPolicyModeType as Mode, Process, Scheduler,
};

use crate::draft::Draft;

/// Scheduler and I/O priority; both need privileges, and neither a filter.
pub(super) fn plan(draft: &mut Draft, process: &Process) {
    if let Some(scheduler) = process.scheduler() {
        draft.op(Op::Scheduler(scheduling(scheduler)));
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u32::try_from(priority.priority()).unwrap_or(0);
        draft.op(Op::IoPriority { value: class << 13 | level });
    }
}

/// Whether a process that goes on as another one stays scheduled as it was.
pub(super) fn survives_fork(process: &Process) -> bool {
    let resets = |s: &Scheduler| s.flags().iter().flatten().any(|f| *f == Flag::SchedResetOnFork);
    process.scheduler().as_ref().is_none_or(|s| *s.policy() != Policy::SchedDeadline && !resets(s))
}

/// Where its memory comes from.
pub(super) fn memory(draft: &mut Draft, policy: &LinuxMemoryPolicy) {
    let mode = match policy.mode() {
        Mode::MpolDefault => 0,
        Mode::MpolPreferred => 1,
        Mode::MpolBind => 2,
        Mode::MpolInterleave => 3,
        Mode::MpolLocal => 4,
        Mode::MpolPreferredMany => 5,
        Mode::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &NodesFlag| match flag {
        NodesFlag::MpolFNumaBalancing => 1 << 13,
        NodesFlag::MpolFRelativeNodes => 1 << 14,
        NodesFlag::MpolFStaticNodes => 1 << 15,
    };
    let mode = policy.flags().iter().flatten().fold(mode, |all, f| all | flag(f));
    let nodes = policy.nodes().as_deref().filter(|list| !list.is_empty());
    let nodes = nodes.map(bits).unwrap_or_default();
    let length = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let nodes = draft.text(&nodes);
    draft.op(Op::MemoryPolicy { mode, nodes, length });
}

/// The CPUs of a process that goes into a container: its own or those of the container's first.
/// Those before it enters the cgroup; those behind are planned.
pub(super) fn affinity(draft: &mut Draft, process: &Process, first: &Process) -> Option<Vec<u8>> {
    let cpus = process.exec_cpu_affinity().as_ref().or(first.exec_cpu_affinity().as_ref())?;
    if let Some(list) = cpus.cpu_affinity_final().as_deref().filter(|list| !list.is_empty()) {
        let mask = bits(list);
        let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
        let mask = draft.text(&mask);
        draft.op(Op::Affinity { mask, length });
    }
    cpus.initial().as_deref().filter(|list| !list.is_empty()).map(bits)
}

fn scheduling(scheduler: &Scheduler) -> Scheduling {
    let policy = match scheduler.policy() {
        Policy::SchedOther => 0,
        Policy::SchedFifo => 1,
        Policy::SchedRr => 2,
        Policy::SchedBatch => 3,
        Policy::SchedIso => 4,
        Policy::SchedIdle => 5,
        Policy::SchedDeadline => 6,
    };
    let flag = |flag: &Flag| match flag {
        Flag::SchedResetOnFork => 0x01,
        Flag::SchedFlagReclaim => 0x02,
        Flag::SchedFlagDLOverrun => 0x04,
        Flag::SchedFlagKeepPolicy => 0x08,
        Flag::SchedFlagKeepParams => 0x10,
        Flag::SchedFlagUtilClampMin => 0x20,
        Flag::SchedFlagUtilClampMax => 0x40,
    };
    Scheduling {
        policy,
        flags: scheduler.flags().iter().flatten().fold(0, |all, f| all | flag(f)),
        nice: scheduler.nice().unwrap_or(0),
        priority: scheduler.priority().and_then(|p| u32::try_from(p).ok()).unwrap_or(0),
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    }
}

/// A list such as "0-3,8" as the kernel's words, eight bytes each, lowest bit first.
pub(super) fn bits(list: &str) -> Vec<u8> {
    let mut mask = vec![0u8; 8];
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().unwrap_or(0);
        for bit in number(first)..=number(last).min(oci::validate::LIST_MAX as usize) {
            if mask.len() <= bit / 8 {
                mask.resize((bit / 64 + 1) * 8, 0);
            }
            mask[bit / 8] |= 1 << (bit % 8);
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn lists_become_words() {
        assert_eq!(bits("0-2,8"), [7, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bits("64"), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
