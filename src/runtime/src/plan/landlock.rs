//! `org.podvisor.landlock` to operations. Source: landlock(7).

use child::Op;
use oci::landlock::{Landlock, Scope};

use crate::draft::Draft;

/// Every right on files that is known: LANDLOCK_ACCESS_FS_*.
const ALL: u64 = (1 << 16) - 1;
/// Execute, read a file, list a folder.
const READ: u64 = 1 | 1 << 2 | 1 << 3;
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 2;

/// Plans the restriction; it needs no_new_privs, or CAP_SYS_ADMIN.
pub(super) fn plan(draft: &mut Draft, asked: &Landlock) {
    let ports = [(&asked.bind_tcp, BIND_TCP), (&asked.connect_tcp, CONNECT_TCP)];
    let handled =
        ports.iter().filter(|(list, _)| list.is_some()).fold(0, |all, (_, bit)| all | bit);
    let scope = |scope: &Scope| match scope {
        Scope::AbstractSockets => 1,
        Scope::Signals => 2,
    };
    let scoped = asked.scope.iter().fold(0, |all, one| all | scope(one));
    draft.op(Op::LandlockBegin { files: ALL, ports: handled, scoped });
    for (paths, rights) in [(&asked.read, READ), (&asked.write, ALL)] {
        for path in paths {
            let path = draft.text(path);
            draft.op(Op::LandlockPath { path, rights });
        }
    }
    for (list, rights) in ports {
        for port in list.iter().flatten() {
            draft.op(Op::LandlockPort { port: u32::from(*port), rights });
        }
    }
    draft.op(Op::LandlockEnd);
}
