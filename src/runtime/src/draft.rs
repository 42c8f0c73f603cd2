//! A program for the child under construction: operations, texts, and what its slots will hold.
//!
//! Pure: a slot is described by a [`Source`], which `spawn` opens. Offsets and indices are stable
//! once given out.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use child::{Op, Strings, Text};
use sys::launch::Compiled;
use sys::tree::Shape;

use crate::idmaps::{Mapping, Users};
use crate::nodes::Node;

/// What is to be in a slot when the child runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A detached clone of a mount tree of the host.
    Tree { path: PathBuf, shape: Shape },
    /// The same with its owners mapped.
    MappedTree { path: PathBuf, shape: Shape, map: Mapping },
    /// An overlay whose layers' owners are mapped; attached nowhere.
    Overlay { layers: Layers, by: Users },
    /// A namespace file, and the field that changes something in there.
    Namespace { path: PathBuf, kind: u32, changed_by: Option<String> },
    /// A file system with these devices, named by their numbers here.
    Nodes(Vec<Option<Node>>),
    /// The caller's own mount namespace.
    OwnMounts,
    /// The root folder of the process whose namespaces are joined.
    Root,
    /// The v1 `tasks` file of this number.
    Tasks(usize),
    /// The socket that `start` connects to.
    Listener,
    /// The caller's stdin, stdout or stderr.
    Stdio(usize),
    /// The pidfd of the process whose namespaces are joined.
    Process,
    /// The mount namespace that is joined.
    Mounts,
    /// The user namespace that is joined.
    Users,
}

/// The folders of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layers {
    /// Read-only, top first.
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
}

/// A program under construction.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) program: Compiled,
    pub(crate) sources: Vec<Source>,
    /// Trees that the child clones and the parent maps, by the index of their operation.
    pub(crate) maps: Vec<Deferred>,
    /// The child has yet to join its network namespace.
    network_due: bool,
}

/// A bind mount whose source only the child sees, to be id-mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deferred {
    /// Its operation.
    pub(crate) index: usize,
    /// Its source, for words.
    pub(crate) path: PathBuf,
    pub(crate) map: Mapping,
}

impl Draft {
    /// Appends an operation.
    pub(crate) fn op(&mut self, op: Op) {
        if self.network_due && !self.precedes_network(&op) {
            self.network_due = false;
            self.program.ops.push(Op::Network);
        }
        self.program.ops.push(op);
    }

    /// From now on the child joins its network namespace as late as it may.
    pub(crate) fn join_network_late(&mut self) {
        self.network_due = true;
    }

    /// What the caller's network is as good for as the container's own, and does not wait for the
    /// parent. The file systems named ask for no network namespace. What is bound might: below
    /// /proc/sys/net and at /proc/self/ns/net, and behind links to those, is the caller's own.
    fn precedes_network(&self, op: &Op) -> bool {
        match *op {
            Op::Mount { kind, .. } | Op::MountHere { kind, .. } => {
                let kind = text_at(&self.program, kind);
                matches!(&*kind, "proc" | "tmpfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2")
            }
            Op::Unshare { .. }
            | Op::Umask { .. }
            | Op::Propagate { .. }
            | Op::RootBind { .. }
            | Op::RootOverlay { .. }
            | Op::Enter { .. }
            | Op::Folder { .. }
            | Op::LinkHere { .. }
            | Op::NodeHere { .. }
            | Op::Label { .. }
            | Op::Change { .. }
            | Op::CopyUp { .. } => true,
            _ => false,
        }
    }

    /// Keeps a text; what follows a NUL in it would be lost, and is refused before.
    pub(crate) fn text(&mut self, text: impl AsRef<[u8]>) -> Text {
        let at = self.end();
        self.program.text.extend_from_slice(text.as_ref());
        self.program.text.push(0);
        at
    }

    /// Keeps a path.
    pub(crate) fn path(&mut self, path: &Path) -> Text {
        self.text(path.as_os_str().as_bytes())
    }

    /// Keeps texts one behind the other.
    pub(crate) fn strings<T: AsRef<[u8]>>(&mut self, all: impl IntoIterator<Item = T>) -> Strings {
        let (at, mut count) = (self.end(), 0);
        for text in all {
            self.text(text);
            count += 1;
        }
        Strings { at, count }
    }

    /// A slot for what is described.
    pub(crate) fn slot(&mut self, source: Source) -> u16 {
        let index = self.sources.len();
        self.sources.push(source);
        // More than 65,535 mounts would fail with EBADF in the child.
        u16::try_from(index).unwrap_or(child::NO_SLOT)
    }

    fn end(&self) -> Text {
        Text::try_from(self.program.text.len()).unwrap_or(Text::MAX)
    }
}

/// The text at an offset of a program, for words about it.
pub(crate) fn text_at(program: &Compiled, at: Text) -> String {
    let rest = program.text.get(at as usize..).unwrap_or_default();
    let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
