//! `process.scheduler`, `process.execCPUAffinity`, `linux.memoryPolicy`.

use oci_spec::runtime::{
    LinuxMemoryPolicy, LinuxSchedulerPolicy as Policy, MemoryPolicyModeType as Mode, Process,
    Scheduler,
};

use super::Findings;

pub(super) fn check(process: &Process, found: &mut Findings) {
    if let Some(scheduler) = process.scheduler() {
        check_scheduler(scheduler, found);
    }
    let Some(cpus) = process.exec_cpu_affinity() else { return };
    for (field, list) in [("initial", cpus.initial()), ("final", cpus.cpu_affinity_final())] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            found.list(format!("process.execCPUAffinity.{field}"), list);
        }
    }
}

fn check_scheduler(scheduler: &Scheduler, found: &mut Findings) {
    let at = |field: &str| format!("process.scheduler.{field}");
    let policy = *scheduler.policy();
    let nice = scheduler.nice().unwrap_or(0);
    found.need((-20..=19).contains(&nice), at("nice"), "is not in -20 to 19");
    let priority = scheduler.priority().unwrap_or(0);
    match policy {
        Policy::SchedFifo | Policy::SchedRr => {
            found.need((1..=99).contains(&priority), at("priority"), "is not in 1 to 99");
        }
        _ => found.need(priority == 0, at("priority"), "is for SCHED_FIFO and SCHED_RR only"),
    }
    let times = [
        ("runtime", scheduler.runtime()),
        ("deadline", scheduler.deadline()),
        ("period", scheduler.period()),
    ];
    for (field, time) in times {
        let fine = policy == Policy::SchedDeadline || time.unwrap_or(0) == 0;
        found.need(fine, at(field), "is for SCHED_DEADLINE only");
    }
}

pub(super) fn check_memory(policy: &LinuxMemoryPolicy, found: &mut Findings) {
    let at = "linux.memoryPolicy.nodes";
    let nodes = policy.nodes().as_deref().filter(|list| !list.is_empty());
    if let Some(list) = nodes {
        found.list(at, list);
    }
    match policy.mode() {
        Mode::MpolDefault | Mode::MpolLocal => {
            found.need(nodes.is_none(), at, format!("{} has none", policy.mode()));
        }
        Mode::MpolPreferred => {}
        _ => found.need(nodes.is_some(), at, format!("{} needs some", policy.mode())),
    }
}
