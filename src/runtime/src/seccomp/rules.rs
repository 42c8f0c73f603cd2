//! A profile read into decisions: for each ABI, what to do with each call number.
//!
//! Semantics are libseccomp's as runc uses it: a rule without arguments beats those with; of rules
//! with arguments the first that matches decides; a rule that says the default anyway is dropped;
//! conditions of one rule must all hold, unless one argument is named twice: then any one suffices.

use std::collections::BTreeMap;

use oci::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Act, LinuxSeccompFilterFlag as Flag,
    LinuxSeccompOperator as Op, LinuxSyscall,
};

use super::abi::Abi;
use super::{Error, FLAG_NEW_LISTENER};

const RET_ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// The kernel's MAX_ERRNO.
const ERRNO_MAX: u32 = 4095;

/// What the filter answers: a `SECCOMP_RET_*` value with its data.
pub(super) type Answer = u32;

/// One compare of one 64-bit argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Condition {
    pub(super) argument: u32,
    pub(super) compare: Compare,
}

/// The operators; "not" of another is its swapped outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Compare {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessEqual(u64),
    Greater(u64),
    GreaterEqual(u64),
    Masked { mask: u64, value: u64 },
}

/// What happens to one call number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Always(Answer),
    /// Alternatives in order; the first whose conditions all hold answers, else the default.
    Check(Vec<(Vec<Condition>, Answer)>),
}

/// One ABI's table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) abi: Abi,
    pub(super) calls: BTreeMap<u32, Decision>,
    /// Numbers above this one are answered ENOSYS, so that programs fall back to older calls.
    pub(super) newest: Option<u32>,
}

/// The whole profile.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) tables: Vec<Table>,
    pub(super) default: Answer,
    pub(super) flags: u32,
    pub(super) notify: bool,
}

/// Answer of calls that are newer than the profile.
pub(super) const NO_SUCH_CALL: Answer = RET_ERRNO | ENOSYS;

fn field(field: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Field { field: field.into(), problem: problem.into() }
}

/// Reads and checks a profile.
pub(super) fn read(profile: &LinuxSeccomp) -> Result<Policy, Error> {
    let action = profile.default_action();
    if action == Act::ScmpActNotify {
        return Err(field("defaultAction", "SCMP_ACT_NOTIFY cannot be the default"));
    }
    let default = answer(action, profile.default_errno_ret(), "defaultErrnoRet")?;
    // An allowing or tracing default sees new calls itself; an ENOSYS default says it already.
    let sees_new = matches!(action, Act::ScmpActAllow | Act::ScmpActTrace | Act::ScmpActLog);
    let say_newer = !sees_new && default != NO_SUCH_CALL;
    let mut tables = tables(profile.architectures().as_deref().unwrap_or_default())?;
    let mut notify = false;
    for (index, rule) in profile.syscalls().iter().flatten().enumerate() {
        let rule = Rule::read(index, rule)?;
        notify |= rule.notify;
        for table in &mut tables {
            rule.add_to(table, default, say_newer);
        }
    }
    if notify && profile.listener_path().is_none() {
        return Err(field("listenerPath", "SCMP_ACT_NOTIFY needs it"));
    }
    if !notify && profile.listener_path().as_ref().is_some_and(|p| p.as_os_str().is_empty()) {
        return Err(field("listenerPath", "is empty"));
    }
    let told = profile.listener_metadata().as_ref().is_some_and(|text| !text.is_empty());
    if told && profile.listener_path().is_none() {
        return Err(field("listenerMetadata", "is for nobody without listenerPath"));
    }
    let flags = flags(profile.flags().as_deref().unwrap_or_default(), notify);
    Ok(Policy { tables, default, flags, notify })
}

/// The native ABI and the listed ones of this machine, each once.
fn tables(listed: &[Arch]) -> Result<Vec<Table>, Error> {
    let native = Abi::NATIVE.ok_or(Error::Machine { machine: std::env::consts::ARCH })?;
    let mut abis: Vec<Abi> = listed.iter().filter_map(|a| Abi::of(*a)).collect();
    abis.push(native);
    abis.sort_unstable();
    abis.dedup();
    let empty = |abi| Table { abi, calls: BTreeMap::new(), newest: None };
    Ok(abis.into_iter().map(empty).collect())
}

pub(super) fn flags(given: &[Flag], notify: bool) -> u32 {
    const TSYNC: u32 = 1;
    const TSYNC_ESRCH: u32 = 1 << 4;
    let mut bits = 0;
    for flag in given {
        bits |= match flag {
            Flag::SeccompFilterFlagTsync => TSYNC,
            Flag::SeccompFilterFlagLog => 1 << 1,
            Flag::SeccompFilterFlagSpecAllow => 1 << 2,
            // Nothing waits for a listener that is not there; the kernel refuses the flag then.
            Flag::SeccompFilterFlagWaitKillableRecv if !notify => 0,
            Flag::SeccompFilterFlagWaitKillableRecv => 1 << 5,
        };
    }
    if notify {
        bits |= FLAG_NEW_LISTENER;
        // With both the call's result must tell a thread id from an fd.
        if bits & TSYNC != 0 {
            bits |= TSYNC_ESRCH;
        }
    }
    bits
}

fn answer(action: Act, errno: Option<u32>, name: &str) -> Result<Answer, Error> {
    let (base, most) = match action {
        Act::ScmpActErrno => (RET_ERRNO, ERRNO_MAX),
        Act::ScmpActTrace => (0x7ff0_0000, 0xffff),
        _ if errno.is_some() => {
            return Err(field(name, format!("{action} takes no errno")));
        }
        Act::ScmpActKill | Act::ScmpActKillThread => return Ok(0),
        Act::ScmpActKillProcess => return Ok(0x8000_0000),
        Act::ScmpActTrap => return Ok(0x0003_0000),
        Act::ScmpActNotify => return Ok(0x7fc0_0000),
        Act::ScmpActLog => return Ok(0x7ffc_0000),
        Act::ScmpActAllow => return Ok(0x7fff_0000),
    };
    match errno.unwrap_or(EPERM) {
        data if data > most => Err(field(name, format!("{data} is above {most}"))),
        data => Ok(base | data),
    }
}

/// One entry of `syscalls`, checked.
struct Rule<'a> {
    names: &'a [String],
    answer: Answer,
    /// Empty: always. Else any of these lists, all conditions of it.
    alternatives: Vec<Vec<Condition>>,
    notify: bool,
}

impl<'a> Rule<'a> {
    fn read(index: usize, rule: &'a LinuxSyscall) -> Result<Rule<'a>, Error> {
        let place = |rest: &str| format!("syscalls[{index}].{rest}");
        let answer = answer(rule.action(), rule.errno_ret(), &place("errnoRet"))?;
        let notify = rule.action() == Act::ScmpActNotify;
        // Nobody could answer: by them the listener is sent, and what has failed is told.
        let own = |name: &&String| name.as_str() == "write" || name.as_str() == "sendmsg";
        if let Some(name) = rule.names().iter().find(own).filter(|_| notify) {
            let problem = format!("SCMP_ACT_NOTIFY cannot be used for the {name} syscall");
            return Err(field(place("names"), problem));
        }
        let mut conditions = Vec::new();
        for (number, arg) in rule.args().iter().flatten().enumerate() {
            let argument = u32::try_from(arg.index()).ok().filter(|i| *i < 6).ok_or_else(|| {
                let problem = format!("{} is not an argument's index (0 to 5)", arg.index());
                field(place(&format!("args[{number}].index")), problem)
            })?;
            let value = arg.value();
            let compare = match arg.op() {
                Op::ScmpCmpNe => Compare::NotEqual(value),
                Op::ScmpCmpLt => Compare::Less(value),
                Op::ScmpCmpLe => Compare::LessEqual(value),
                Op::ScmpCmpEq => Compare::Equal(value),
                Op::ScmpCmpGe => Compare::GreaterEqual(value),
                Op::ScmpCmpGt => Compare::Greater(value),
                Op::ScmpCmpMaskedEq => {
                    Compare::Masked { mask: value, value: arg.value_two().unwrap_or(0) & value }
                }
            };
            conditions.push(Condition { argument, compare });
        }
        let mut seen: Vec<u32> = conditions.iter().map(|c| c.argument).collect();
        seen.sort_unstable();
        let alternatives = if conditions.is_empty() {
            Vec::new()
        } else if seen.windows(2).any(|w| w[0] == w[1]) {
            conditions.into_iter().map(|c| vec![c]).collect()
        } else {
            vec![conditions]
        };
        Ok(Rule { names: rule.names(), answer, alternatives, notify })
    }

    fn add_to(&self, table: &mut Table, default: Answer, say_newer: bool) {
        for name in self.names {
            let Some(number) = table.abi.number(name) else { continue };
            if say_newer {
                table.newest = table.newest.max(Some(number));
            }
            if self.answer == default {
                continue;
            }
            let known = table.calls.entry(number).or_insert_with(|| Decision::Check(Vec::new()));
            match known {
                Decision::Always(_) => {}
                known if self.alternatives.is_empty() => *known = Decision::Always(self.answer),
                Decision::Check(list) => {
                    list.extend(self.alternatives.iter().map(|a| (a.clone(), self.answer)));
                }
            }
        }
    }
}
