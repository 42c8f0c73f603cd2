//! Stage 2: the root, what is mounted on it, what in it is hidden, and moving into it.

use std::path::{Component, Path, PathBuf};

use child::{Attributes, NO_SLOT, Op};
use oci::runtime::{Linux, Process, Spec};
use sys::tree::Shape;

use super::{Birthplace, Facts, Hiding, Rootfs, Streams, devices, mounts, options, point};
use crate::draft::{Draft, Layers, Source};

/// Plans everything between the namespaces and the process.
pub(super) fn plan(draft: &mut Draft, spec: &Spec, facts: &Facts<'_>, birth: &Birthplace) {
    draft.op(Op::Umask { mask: 0 });
    propagation_before(draft, spec, facts);
    root(draft, spec, facts, birth);
    mounts::plan(draft, spec, facts, birth);
    devices::plan(draft, spec, birth);
    let process = spec.process().clone().unwrap_or_default();
    let readonly = is_readonly(spec, facts.rootfs);
    if process.cwd() != Path::new("/") {
        let target = draft.path(process.cwd());
        draft.op(Op::Folder { target });
    }
    draft.op(Op::Session);
    streams(draft, &process, facts.streams, true);
    if facts.streams == Streams::Terminal {
        draft.op(Op::TakeTerminal);
    }
    mounts::finish(draft, spec);
    if let Some(linux) = spec.linux() {
        hide(draft, linux);
        sysctls(draft, linux);
    }
    names(draft, spec);
    if facts.hooks {
        draft.op(Op::Sync { point: point::HOOKS, tell: true });
    }
    if super::hides(spec, facts) == Some(Hiding::AfterHooks) {
        super::hide(draft, &process, facts.unprivileged);
    }
    if readonly {
        draft.op(Op::RootReadOnly);
    }
    if super::shares_mounts(spec) {
        let slot = draft.slot(Source::OwnMounts);
        return draft.op(Op::Leave { slot });
    }
    for path in &facts.revealing {
        let path = draft.path(path);
        draft.op(Op::Detach { path, cover: shared(spec).is_some() });
    }
    if facts.pivot {
        draft.op(Op::Pivot { detach: shared(spec).is_some() });
    } else {
        // What is moved onto a shared "/" would be moved onto the host's, too.
        let path = draft.text("/");
        draft.op(Op::Propagate { path, flags: sys::abi::MS_SLAVE });
        draft.op(Op::MoveRoot);
    }
    propagation_after(draft, spec);
}

fn is_readonly(spec: &Spec, rootfs: &Rootfs) -> bool {
    let asked = spec.root().as_ref().and_then(|r| r.readonly()).unwrap_or(false);
    asked || matches!(rootfs, Rootfs::Overlay { readonly: true, .. })
}

/// `rootfsPropagation` when mounts are to reach the host.
fn shared(spec: &Spec) -> Option<&str> {
    wanted(spec).filter(|word| matches!(*word, "shared" | "rshared"))
}

fn wanted(spec: &Spec) -> Option<&str> {
    spec.linux().as_ref()?.rootfs_propagation().as_deref().filter(|word| !word.is_empty())
}

fn propagation_before(draft: &mut Draft, spec: &Spec, facts: &Facts<'_>) {
    let path = draft.text("/");
    let word = wanted(spec).unwrap_or("rslave");
    let flag = match word.trim_start_matches('r') {
        "shared" => sys::abi::MS_SHARED,
        "private" => sys::abi::MS_PRIVATE,
        // Unbindable would forbid the clone of the root.
        _ => sys::abi::MS_SLAVE,
    };
    draft.op(Op::Propagate { path, flags: flag | sys::abi::MS_REC });
    if let Some(parent) = facts.root_parent.filter(|_| shared(spec).is_some()) {
        let path = draft.path(parent);
        draft.op(Op::Propagate { path, flags: sys::abi::MS_PRIVATE });
    }
}

fn propagation_after(draft: &mut Draft, spec: &Spec) {
    let Some((propagation, recursive)) = wanted(spec).and_then(options::propagation) else {
        return;
    };
    if propagation == sys::abi::MS_SLAVE {
        return;
    }
    let target = draft.text("/");
    let attributes = Attributes { propagation, ..Attributes::default() };
    draft.op(Op::Change { target, attributes, recursive });
}

fn root(draft: &mut Draft, spec: &Spec, facts: &Facts<'_>, birth: &Birthplace) {
    match facts.rootfs {
        Rootfs::Bundle => {
            let path = spec.root().as_ref().map(|root| root.path().as_path());
            // Without a slash at its end, which would have a link followed.
            let path = facts.bundle.join(path.unwrap_or(Path::new("rootfs")));
            let path: PathBuf = path.components().collect();
            let (source, at) = (draft.path(&path), draft.path(&path));
            let slot = if birth.user && !birth.unprivileged {
                draft.slot(Source::Tree { path, shape: Shape { recursive: true, link: false } })
            } else {
                NO_SLOT
            };
            draft.op(Op::RootBind { source, slot, at });
            if birth.user {
                let target = draft.text("/");
                let attributes =
                    Attributes { propagation: sys::abi::MS_SLAVE, ..Attributes::default() };
                draft.op(Op::Change { target, attributes, recursive: true });
            }
        }
        Rootfs::Overlay { lower, upper, work, .. } => {
            if let (Some(by), false) = (birth.users.clone(), birth.unprivileged) {
                let (lower, upper, work) = (lower.clone(), upper.clone(), work.clone());
                let source = draft.path(&upper);
                let layers = Layers { lower, upper, work };
                let slot = draft.slot(Source::Overlay { layers, by });
                // A place that the namespace's root can reach: folders of the host's root are none.
                let at = draft.text("/");
                draft.op(Op::RootBind { source, slot, at });
                return;
            }
            let (base, options) = overlay_options(lower, upper, work);
            let (folder, options) = (draft.path(&base), draft.text(options));
            let at = draft.path(facts.bundle);
            draft.op(Op::RootOverlay { folder, options, at, flags: 0 });
        }
    }
}

/// The folder above all of them, and overlay's options relative to it: mount(2) takes one page.
fn overlay_options(lower: &[PathBuf], upper: &Path, work: &Path) -> (PathBuf, String) {
    let all = || lower.iter().map(PathBuf::as_path).chain([upper, work]);
    let mut base: PathBuf = upper.components().collect();
    while !all().all(|path| path.starts_with(&base)) && base.pop() {}
    let name = |path: &Path| escape(path.strip_prefix(&base).unwrap_or(path));
    let layers: Vec<String> = lower.iter().map(|path| name(path)).collect();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", layers.join(":"), name(upper), name(work));
    (base, options)
}

/// overlayfs splits options at commas and layers at colons.
fn escape(path: &Path) -> String {
    let mut out = String::new();
    for part in path.components() {
        if !out.is_empty() && !matches!(part, Component::RootDir) && !out.ends_with('/') {
            out.push('/');
        }
        for letter in part.as_os_str().to_string_lossy().chars() {
            if matches!(letter, ',' | ':' | '\\') {
                out.push('\\');
            }
            out.push(letter);
        }
    }
    out
}

/// Descriptors 0 to 2, owned by the user; `bind` makes the pty /dev/console too.
pub(super) fn streams(draft: &mut Draft, process: &Process, streams: Streams, bind: bool) {
    let uid = process.user().uid();
    match streams {
        Streams::Inherit => draft.op(Op::OwnStdio { uid }),
        Streams::Given => {
            let first = draft.slot(Source::Stdio(0));
            draft.slot(Source::Stdio(1));
            draft.slot(Source::Stdio(2));
            draft.op(Op::Stdio { first, uid });
        }
        Streams::Terminal => {
            let size = process.console_size();
            let cut = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
            let rows = size.map_or(0, |size| cut(size.height()));
            let columns = size.map_or(0, |size| cut(size.width()));
            draft.op(Op::Console { rows, columns, uid, bind });
        }
    }
}

fn hide(draft: &mut Draft, linux: &Linux) {
    for path in linux.readonly_paths().iter().flatten() {
        let target = draft.text(path);
        draft.op(Op::ReadOnly { target });
    }
    let masked = linux.masked_paths().as_deref().unwrap_or_default();
    if masked.is_empty() {
        return;
    }
    let label = linux.mount_label().as_deref().filter(|label| !label.is_empty());
    let options = draft.text(mounts::labelled("size=0k,mode=0555", label));
    for path in masked {
        let target = draft.text(path);
        draft.op(Op::Mask { target, options });
    }
}

fn sysctls(draft: &mut Draft, linux: &Linux) {
    let mut all: Vec<_> = linux.sysctl().iter().flatten().collect();
    all.sort();
    for (key, value) in all {
        // "net.ipv4.conf.eth0/1.x" has its dots and slashes exchanged once a slash comes first.
        let slashed = key.find('/') < key.find('.') && key.contains('/');
        let path = if slashed { key.clone() } else { key.replace('.', "/") };
        let path = draft.text(format!("/proc/sys/{path}"));
        let length = length(value);
        let text = draft.text(value);
        draft.op(Op::Write { path, text, length });
    }
}

fn names(draft: &mut Draft, spec: &Spec) {
    if let Some(text) = spec.hostname().as_deref().filter(|name| !name.is_empty()) {
        let (name, length) = (draft.text(text), length(text));
        draft.op(Op::Hostname { name, length });
    }
    if let Some(text) = spec.domainname().as_deref().filter(|name| !name.is_empty()) {
        let (name, length) = (draft.text(text), length(text));
        draft.op(Op::Domainname { name, length });
    }
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}
