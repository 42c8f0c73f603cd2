//! What a container may do beyond its user. Pure.
//!
//! Differs from Kubernetes on purpose: without `allowPrivilegeEscalation` nothing can be gained by
//! a set-user-id program.

use std::collections::BTreeSet;

use pod::manifest::CAPABILITIES;

use super::Subject;

/// podman's default set: docker's without AUDIT_WRITE, MKNOD and NET_RAW.
const DEFAULT: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Privileges of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Privileges {
    /// All capabilities, all devices, nothing masked, no filter.
    pub(super) is_privileged: bool,
    /// `no_new_privs`.
    pub(super) no_new: bool,
    /// Names with `CAP_`.
    pub(super) capabilities: BTreeSet<String>,
}

impl Privileges {
    pub(super) fn of(subject: Subject<'_>) -> Privileges {
        let own = subject.own();
        let is_privileged = own.and_then(|context| context.privileged) == Some(true);
        let wanted = own.and_then(|context| context.capabilities.as_ref());
        let (add, drop) = wanted.map_or((&[][..], &[][..]), |c| (&c.add[..], &c.drop[..]));
        let add: BTreeSet<String> = add.iter().map(|name| plain(name)).collect();
        let drop: BTreeSet<String> = drop.iter().map(|name| plain(name)).collect();
        let asked = own.and_then(|context| context.allow_privilege_escalation);
        // Who is as powerful as that gains nothing (kubelet: AddNoNewPrivileges).
        let gains = asked.unwrap_or(is_privileged || add.contains("SYS_ADMIN"));
        let capabilities = if is_privileged { all() } else { changed(&add, &drop) };
        Privileges {
            is_privileged,
            no_new: !gains,
            capabilities: capabilities.iter().map(|name| format!("CAP_{name}")).collect(),
        }
    }
}

/// The default set with `ALL` and single names applied, additions first.
fn changed(add: &BTreeSet<String>, drop: &BTreeSet<String>) -> BTreeSet<String> {
    let mut set: BTreeSet<String> = DEFAULT.iter().map(|name| (*name).to_owned()).collect();
    if drop.contains("ALL") {
        set.clear();
    }
    if add.contains("ALL") {
        set = all();
    }
    set.extend(add.iter().filter(|name| *name != "ALL").cloned());
    set.difference(drop).cloned().collect()
}

fn all() -> BTreeSet<String> {
    CAPABILITIES.iter().map(|name| (*name).to_owned()).collect()
}

/// `cap_net_admin` as `NET_ADMIN`.
fn plain(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}
