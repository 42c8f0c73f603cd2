//! The interpreter: one operation after the other; the first failure is reported and ends it.

use core::ffi::{CStr, c_int};

use crate::fresh::{Kept, NOTHING};
use crate::message;
use crate::op::{Frame, Kind, Op, Text, stage};
use crate::raw::{Done, exit, syscall, unit};

/// A list of consecutive NUL-terminated strings in the text.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Strings {
    /// Offset of the first.
    pub at: Text,
    /// How many.
    pub count: u32,
}

/// What the child works through. Everything was made by the parent and is only read, but for the
/// two buffers.
pub(crate) struct Program<'a> {
    /// The operations.
    pub(crate) ops: &'a [Op],
    /// NUL-terminated strings.
    pub(crate) text: &'a [u8],
    /// Descriptors by slot.
    pub(crate) slots: &'a [c_int],
    /// Supplementary groups.
    pub(crate) groups: &'a [u32],
    /// Arguments of the command.
    pub(crate) argv: Strings,
    /// Its environment.
    pub(crate) envp: Strings,
    /// Paths to try for it, in order.
    pub(crate) candidates: Strings,
    /// Room for `argv` and `envp` pointers: their counts and three more.
    pub(crate) words: &'a mut [usize],
    /// Room for the parent's last word.
    pub(crate) inbox: &'a mut [u8],
    /// The socket to the parent.
    pub(crate) report: c_int,
}

/// The child's own small state.
pub(crate) struct Child<'a> {
    pub(crate) program: Program<'a>,
    pub(crate) index: u32,
    pub(crate) stage: u32,
    pub(crate) root: c_int,
    /// CLONE_NEW* of what [`Op::TrySetns`] has joined.
    joined: u32,
    pub(crate) null: c_int,
    pub(crate) empty: c_int,
    pub(crate) listener: c_int,
    pub(crate) starter: c_int,
    pub(crate) received: usize,
    /// Signals that may be ignored, the first at the lowest bit.
    pub(crate) ignored: u64,
    pub(crate) ruleset: c_int,
    pub(crate) rights: u64,
    pub(crate) candidate: Option<Text>,
    pub(crate) late_chdir: bool,
    /// setgroups(2) is forbidden in its user namespace.
    pub(crate) no_groups: bool,
    /// It is undumpable, and is to stay so.
    pub(crate) hidden: bool,
    pub(crate) home: [u8; 256],
    pub(crate) has_home: bool,
    pub(crate) kept: [Kept; 3],
    pub(crate) last: Kept,
}

/// No descriptor.
pub(crate) const NONE: c_int = -1;

/// Works through the program and never returns.
pub(crate) fn run(program: Program<'_>) -> ! {
    let mut child = Child {
        program,
        index: 0,
        stage: 1,
        root: NONE,
        joined: 0,
        null: NONE,
        empty: NONE,
        listener: NONE,
        starter: NONE,
        received: 0,
        ignored: u64::MAX,
        ruleset: NONE,
        rights: 0,
        candidate: None,
        late_chdir: false,
        no_groups: false,
        hidden: false,
        home: [0; 256],
        has_home: false,
        kept: [NOTHING; 3],
        last: NOTHING,
    };
    // For ps; the execve takes it back.
    let _ = syscall!(libc::SYS_prctl, libc::PR_SET_NAME, c"podvisor-init", 0, 0, 0);
    // What came through the first execve is not to come through the last.
    let came = child.program.slots.iter().chain([&child.program.report]);
    for fd in came {
        if let Err(errno) = syscall!(libc::SYS_fcntl, *fd, libc::F_SETFD, libc::FD_CLOEXEC) {
            child.fail(errno);
        }
    }
    let ops = child.program.ops;
    for (index, op) in ops.iter().enumerate() {
        child.index = index as u32;
        child.stage = stage(op);
        if let Err(errno) = child.step(op) {
            child.fail(errno);
        }
    }
    exit(0)
}

impl Child<'_> {
    fn join(&self, slot: u16, kind: u32) -> Done {
        if kind != 0 && self.joined & kind == kind {
            return Ok(());
        }
        unit(syscall!(libc::SYS_setns, self.slot(slot)?, kind))
    }

    fn try_join(&mut self, slot: u16, kind: u32) -> Done {
        match self.join(slot, kind) {
            Err(libc::EPERM) => Ok(()),
            Err(errno) => Err(errno),
            Ok(()) => {
                self.joined |= kind;
                Ok(())
            }
        }
    }

    fn step(&mut self, op: &Op) -> Done {
        match *op {
            Op::EnterCgroups { first, count } => self.enter_cgroups(first, count),
            Op::Setns { slot, kind } => self.join(slot, kind),
            Op::TrySetns { slot, kind } => self.try_join(slot, kind),
            Op::Unshare { flags } => unit(syscall!(libc::SYS_unshare, flags)),
            Op::Sync { point, tell } => self.sync(point, tell),
            Op::BecomeRoot { groups } => self.become_root(groups),
            Op::Fork { flags } => self.fork(flags),
            Op::Write { path, text, length } => self.write_file(path, text, length),
            Op::Session => unit(syscall!(libc::SYS_setsid)),
            Op::Receive => self.receive(),
            Op::Find => self.find(),
            Op::Await => self.wait_for_start(),
            Op::Exec => self.exec(),
            Op::Reap => crate::pid1::stay(),
            Op::CloseFrom { first, keep } => self.close_from(first, keep),
            Op::CloseOthers => self.close_others(),
            Op::Console { rows, columns, uid, bind } => self.console(rows, columns, uid, bind),
            Op::TakeTerminal => Self::take_terminal(),
            Op::Stdio { first, uid } => self.stdio(first, uid),
            Op::OwnStdio { uid } => {
                self.own_stdio(uid);
                Ok(())
            }
            Op::Unmount { target } => self.unmount(target),
            Op::CopyUp { target, options, source, flags } => {
                self.copy_up(target, options, source, flags)
            }
            Op::Node { .. }
            | Op::NodeHere { .. }
            | Op::NodeBind { .. }
            | Op::NodesBegin { .. }
            | Op::NodesEnd
            | Op::LinkHere { .. }
            | Op::Folder { .. } => self.device(op),
            Op::Propagate { .. }
            | Op::Mount { .. }
            | Op::Bind { .. }
            | Op::Change { .. }
            | Op::Label { .. }
            | Op::Enter { .. }
            | Op::MountHere { .. }
            | Op::BindHere { .. } => self.mounting(op),
            Op::RootBind { .. }
            | Op::RootOverlay { .. }
            | Op::RootHere
            | Op::RootOf { .. }
            | Op::Leave { .. }
            | Op::Mask { .. }
            | Op::ReadOnly { .. }
            | Op::RootReadOnly
            | Op::Pivot { .. }
            | Op::Detach { .. }
            | Op::MoveRoot => self.rooting(op),
            Op::Scheduler(_) | Op::Cores { .. } | Op::Affinity { .. } | Op::MemoryPolicy { .. } => {
                self.scheduling(op)
            }
            Op::LandlockBegin { .. }
            | Op::LandlockPath { .. }
            | Op::LandlockPort { .. }
            | Op::LandlockEnd => self.landlock(op),
            Op::Loopback => crate::loopback::up(),
            Op::Network => self.join_network(),
            _ => self.identify(op),
        }
    }

    /// The string at an offset; an offset that is none gives EFAULT.
    pub(crate) fn text(&self, at: Text) -> Done<&CStr> {
        let bytes = self.program.text.get(at as usize..).ok_or(libc::EFAULT)?;
        crate::raw::text_of(bytes)
    }

    /// The descriptor in a slot.
    pub(crate) fn slot(&self, slot: u16) -> Done<c_int> {
        self.program.slots.get(usize::from(slot)).copied().ok_or(libc::EBADF)
    }

    fn enter_cgroups(&self, first: u16, count: u16) -> Done {
        let all = self.program.slots.iter().skip(usize::from(first)).take(usize::from(count));
        for fd in all {
            syscall!(libc::SYS_write, *fd, c"0", 1)?;
        }
        Ok(())
    }

    fn sync(&mut self, point: u32, tell: bool) -> Done {
        if tell {
            self.tell(Kind::Reached, point as i32, NONE)?;
        }
        self.listen().map(|_| ())
    }

    /// One message of the parent into the inbox; without a parent there is nothing to go on for.
    pub(crate) fn listen(&mut self) -> Done<usize> {
        let (buffer, length) = (self.program.inbox.as_mut_ptr(), self.program.inbox.len());
        loop {
            let got = syscall!(libc::SYS_recvfrom, self.program.report, buffer, length, 0, 0, 0);
            match got {
                Err(libc::EINTR) => {}
                Ok(0) => exit(1),
                other => return other,
            }
        }
    }

    fn receive(&mut self) -> Done {
        let length = self.listen()?;
        let said = self.program.inbox.get(..length).and_then(<[u8]>::first_chunk);
        let said = said.ok_or(libc::EPROTO)?;
        self.ignored = u64::from_ne_bytes(*said);
        self.received = length.saturating_sub(said.len());
        Ok(())
    }

    fn fork(&mut self, flags: u64) -> Done {
        // SAFETY: clone_args is plain data for which all zeroes is valid.
        let mut args: libc::clone_args = unsafe { core::mem::zeroed() };
        args.flags = flags | libc::CLONE_PARENT as u64;
        let size = size_of::<libc::clone_args>();
        let pid = match syscall!(libc::SYS_clone3, &raw mut args, size) {
            // What a filter says that cannot look at the arguments.
            Err(libc::ENOSYS) => syscall!(libc::SYS_clone, args.flags, 0, 0, 0, 0)?,
            other => other?,
        };
        if pid > 0 {
            let told = self.tell(Kind::Forked, pid as i32, NONE);
            exit(i32::from(told.is_err()));
        }
        Ok(())
    }

    /// Sends a frame about the present operation, with a descriptor when `fd` is one.
    pub(crate) fn tell(&self, kind: Kind, value: i32, fd: c_int) -> Done {
        let frame = Frame { kind: kind as u32, stage: self.stage, index: self.index, value };
        message::send(self.program.report, frame.bytes(), fd)
    }

    /// Reports and ends.
    pub(crate) fn fail(&self, errno: c_int) -> ! {
        // Once `start` listens it is the one to tell; the maker has gone.
        let listener = if self.starter == NONE { self.program.report } else { self.starter };
        let kind = Kind::Failed as u32;
        let frame = Frame { kind, stage: self.stage, index: self.index, value: errno };
        // Should nobody listen any more, nobody needs to know.
        let _ = message::send(listener, frame.bytes(), NONE);
        exit(1)
    }
}
