//! What may be done to a container in which state: one total table.
//!
//! Not here: finding out what the state is (`store`).

use oci::Status;

/// Something to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Start,
    /// Signal the first process.
    Kill,
    /// Signal everything in the cgroup.
    KillAll,
    Exec {
        even_paused: bool,
    },
    Delete {
        force: bool,
    },
    Pause,
    Resume,
    /// Change what is mounted in it.
    Mounts,
    /// List its processes; a stopped one has none.
    Look,
    /// Write its processes into files.
    Checkpoint,
    /// Read or change what its cgroup says.
    Cgroup(&'static str),
}

impl Operation {
    /// The word for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Start => "start",
            Operation::Kill | Operation::KillAll => "signal",
            Operation::Exec { .. } => "exec in",
            Operation::Delete { .. } => "delete",
            Operation::Pause => "pause",
            Operation::Resume => "resume",
            Operation::Mounts => "change the mounts of",
            Operation::Look => "list the processes of",
            Operation::Checkpoint => "checkpoint",
            Operation::Cgroup(name) => name,
        }
    }
}

/// Whether the operation is allowed.
pub(crate) fn allows(status: Status, operation: Operation) -> bool {
    use Operation::{
        Cgroup, Checkpoint, Delete, Exec, Kill, KillAll, Look, Mounts, Pause, Resume, Start,
    };
    use Status::{Created, Creating, Paused, Running, Stopped};
    match (operation, status) {
        (Start, Created) => true,
        (Start, Creating | Running | Paused | Stopped) => false,
        (Kill, Created | Running | Paused) => true,
        (Kill, Creating | Stopped) => false,
        // What the first process left behind may still live.
        (KillAll | Look, Creating | Created | Running | Paused | Stopped) => true,
        // runc allows it in a created container: its namespaces are there.
        (Exec { .. }, Created | Running) => true,
        (Exec { even_paused }, Paused) => even_paused,
        (Exec { .. }, Creating | Stopped) => false,
        (Delete { .. }, Stopped | Created) => true,
        (Delete { force }, Creating | Running | Paused) => force,
        (Pause, Created | Running) | (Resume, Paused) => true,
        (Pause, Creating | Paused | Stopped) => false,
        (Resume, Creating | Created | Running | Stopped) => false,
        // A created container's first process is still the runtime's own program.
        (Checkpoint, Running | Paused) => true,
        (Checkpoint, Creating | Created | Stopped) => false,
        (Cgroup(_) | Mounts, Created | Running | Paused) => true,
        (Cgroup(_) | Mounts, Creating | Stopped) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use Status::{Created, Creating, Paused, Running, Stopped};
        let all = [Creating, Created, Running, Paused, Stopped];
        let rows: [(Operation, [bool; 5]); 13] = [
            (Operation::Start, [false, true, false, false, false]),
            (Operation::Kill, [false, true, true, true, false]),
            (Operation::KillAll, [true; 5]),
            (Operation::Look, [true; 5]),
            (Operation::Exec { even_paused: false }, [false, true, true, false, false]),
            (Operation::Exec { even_paused: true }, [false, true, true, true, false]),
            (Operation::Delete { force: false }, [false, true, false, false, true]),
            (Operation::Delete { force: true }, [true; 5]),
            (Operation::Pause, [false, true, true, false, false]),
            (Operation::Resume, [false, false, false, true, false]),
            (Operation::Checkpoint, [false, false, true, true, false]),
            (Operation::Mounts, [false, true, true, true, false]),
            (Operation::Cgroup("update"), [false, true, true, true, false]),
        ];
        for (operation, expected) in rows {
            assert_eq!(all.map(|status| allows(status, operation)), expected, "{operation:?}");
        }
    }
}
