//! Paths beneath the container's root: looked up by the kernel within it, made component by
//! component.
//!
//! Invariants: a look-up never leaves the root (RESOLVE_IN_ROOT), whatever links stand or appear on
//! the way; what is made is made by `*at` calls on an open folder, with O_EXCL and O_NOFOLLOW, so
//! that a link swapped in makes the call fail and nothing else (CVE-2021-30465, CVE-2024-45310).

use core::ffi::{CStr, c_int};

use crate::op::Text;
use crate::procfs::on_procfs;
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::Child;

/// The kernel's struct open_how.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const NO_XDEV: u64 = 0x01;
const NO_MAGICLINKS: u64 = 0x02;
const NO_SYMLINKS: u64 = 0x04;
const BENEATH: u64 = 0x08;
const IN_ROOT: u64 = 0x10;
/// How often a walk is begun anew that renames elsewhere have disturbed.
const WALKS_MAX: u32 = 100_000;

/// What a missing target is to become.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Folder,
    File,
}

/// Opens `path` in the folder `root`, as if that were `/`.
pub(crate) fn open_in(root: c_int, path: &CStr, flags: c_int, firm: bool) -> Done<c_int> {
    let resolve = IN_ROOT | NO_MAGICLINKS | if firm { NO_SYMLINKS } else { 0 };
    open_resolving(root, path, flags, resolve)
}

/// Opens `path` below `folder` on the same mount; links that leave it are errors.
pub(crate) fn open_beneath(folder: c_int, path: &CStr, flags: c_int) -> Done<c_int> {
    open_resolving(folder, path, flags, BENEATH | NO_XDEV | NO_MAGICLINKS)
}

fn open_resolving(folder: c_int, path: &CStr, flags: c_int, resolve: u64) -> Done<c_int> {
    let how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: 0, resolve };
    let size = size_of::<OpenHow>();
    for _ in 0..WALKS_MAX {
        match fd(syscall!(libc::SYS_openat2, folder, path, &raw const how, size)) {
            // A rename elsewhere on the system during the walk: the kernel wants to be asked again.
            Err(libc::EAGAIN | libc::EINTR) => {}
            other => return other,
        }
    }
    Err(libc::EAGAIN)
}

impl Child<'_> {
    /// Opens `path` as the container sees it: below a mount that is kept by its handle, else below
    /// the root.
    pub(crate) fn look(&self, path: &CStr, flags: c_int, firm: bool) -> Done<c_int> {
        if let Some(mount) = self.kept_at(path) {
            return open_in(mount, c"/", flags, true);
        }
        match self.kept_above(path) {
            // A link leads where the root says, not the mount.
            Some((mount, rest)) => match open_in(mount, rest, flags, true) {
                Err(libc::ELOOP) if !firm => open_in(self.root, path, flags, false),
                other => other,
            },
            None => open_in(self.root, path, flags, firm),
        }
    }

    /// A handle (O_PATH) of what is at `target`.
    pub(crate) fn target(&self, target: Text) -> Done<c_int> {
        self.look(self.text(target)?, libc::O_PATH, false)
    }

    /// The same; what is missing is made.
    pub(crate) fn target_or_make(&self, target: Text, made: Made) -> Done<c_int> {
        self.place(target, made, false)
    }

    /// The same; no link is followed when `firm`.
    pub(crate) fn place(&self, target: Text, made: Made, firm: bool) -> Done<c_int> {
        let path = self.text(target)?;
        match self.look(path, libc::O_PATH, firm) {
            Err(libc::ENOENT) => self.make_at(path, made, firm),
            other => other,
        }
    }

    /// The same of what is there itself: a link at the end is not followed, and none of procfs is
    /// taken, which would lead who looks there astray.
    pub(crate) fn place_itself(&self, target: Text, made: Made) -> Done<c_int> {
        let (folder, name) = self.parent(target)?;
        let name = self.text(name)?;
        // No link has such a name.
        if name.is_empty() || name == c".." {
            close(folder);
            return self.place(target, made, false);
        }
        let found = match open_in(folder, name, libc::O_PATH | libc::O_NOFOLLOW, true) {
            Err(libc::ENOENT) => Name::new(name.to_bytes())
                .and_then(|name| make_one(folder, &name, made == Made::File)),
            other => other,
        };
        close(folder);
        let place = found?;
        if is_link(&stat(place)?) && on_procfs(place)? {
            return Err(libc::ELOOP);
        }
        Ok(place)
    }

    fn make_at(&self, path: &CStr, made: Made, firm: bool) -> Done<c_int> {
        match self.kept_above(path) {
            Some((mount, rest)) => match make(mount, rest, made, true) {
                Err(libc::ELOOP) if !firm => make(self.root, path, made, false),
                other => other,
            },
            None => make(self.root, path, made, firm),
        }
    }

    /// A target's bytes, where its last slash is, and the offset of what follows that.
    fn split(&self, target: Text) -> Done<(&[u8], usize, Text)> {
        let bytes = self.text(target)?.to_bytes();
        let slash = bytes.iter().rposition(|b| *b == b'/').ok_or(libc::EINVAL)?;
        Ok((bytes, slash, target.wrapping_add(slash as u32).wrapping_add(1)))
    }

    /// The folder of `target`, to which no link leads, and the last component's offset.
    pub(crate) fn folder_of(&self, target: Text) -> Done<(c_int, Text)> {
        let (bytes, slash, name) = self.split(target)?;
        let mut path = Path::EMPTY;
        path.set(&[bytes])?;
        let folder = if slash == 0 { c"/" } else { path.prefix(slash)? };
        Ok((self.look(folder, libc::O_PATH | libc::O_DIRECTORY, true)?, name))
    }

    /// The folder of `target`, made if it is missing, and the last component's offset.
    pub(crate) fn parent(&self, target: Text) -> Done<(c_int, Text)> {
        let (bytes, slash, name) = self.split(target)?;
        if slash == 0 {
            return Ok((open_in(self.root, c"/", libc::O_PATH, false)?, name));
        }
        let mut path = Path::EMPTY;
        path.set(&[bytes])?;
        let folder = path.prefix(slash)?;
        let found = match self.look(folder, libc::O_PATH | libc::O_DIRECTORY, false) {
            Err(libc::ENOENT) => self.make_at(folder, Made::Folder, false),
            other => other,
        }?;
        Ok((found, name))
    }
}

/// A path that can be cut at any component.
struct Path {
    bytes: [u8; libc::PATH_MAX as usize],
}

impl Path {
    /// Room for one: filled where it is, for a value that is handed on is copied each time.
    const EMPTY: Path = Path { bytes: [0; libc::PATH_MAX as usize] };

    /// Becomes these parts behind one another.
    fn set(&mut self, parts: &[&[u8]]) -> Done {
        let mut room = self.bytes.iter_mut();
        for byte in parts.iter().copied().flatten() {
            *room.next().ok_or(libc::ENAMETOOLONG)? = *byte;
        }
        // The NUL behind it.
        *room.next().ok_or(libc::ENAMETOOLONG)? = 0;
        Ok(())
    }

    /// The first `length` bytes as a string. Only ever shortened.
    fn prefix(&mut self, length: usize) -> Done<&CStr> {
        *self.bytes.get_mut(length).ok_or(libc::ENAMETOOLONG)? = 0;
        crate::raw::text_of(&self.bytes)
    }
}

/// Makes `path`, of which some leading part exists, and opens it. A link that leads nowhere is
/// followed within the root, as the kernel follows those that lead somewhere; none is when `firm`.
#[inline(never)]
fn make(root: c_int, path: &CStr, made: Made, firm: bool) -> Done<c_int> {
    let (mut whole, mut room) = (Path::EMPTY, Path::EMPTY);
    whole.set(&[path.to_bytes()])?;
    for _ in 0..LINKS_MAX {
        let path = crate::raw::text_of(&whole.bytes)?.to_bytes();
        match make_to_link(root, path, &mut room, made, firm)? {
            Some(fd) => return Ok(fd),
            None if firm => return Err(libc::ELOOP),
            None => core::mem::swap(&mut whole, &mut room),
        }
    }
    Err(libc::ELOOP)
}

/// Most links on the way to a target that is made.
const LINKS_MAX: u32 = 40;

/// Makes `whole` to its end, which is opened, or to a link: `None` then, and `room` is the path
/// with what the link says in its place.
fn make_to_link(
    root: c_int,
    whole: &[u8],
    room: &mut Path,
    made: Made,
    firm: bool,
) -> Done<Option<c_int>> {
    let (mut folder, mut at) = deepest(root, whole, room, firm)?;
    while let Some((start, end)) = component(whole, at) {
        let name = whole.get(start..end).ok_or(libc::EINVAL)?;
        at = end;
        if name == b"." {
            continue;
        }
        // A `..` behind a missing component would be resolved by name alone.
        if name == b".." {
            close(folder);
            return Err(libc::EINVAL);
        }
        let last = component(whole, end).is_none();
        let next = Name::new(name).and_then(|name| {
            match link(folder, &name, [whole.get(..start), whole.get(end..)], room)? {
                true => Ok(None),
                false => make_one(folder, &name, last && made == Made::File).map(Some),
            }
        });
        close(folder);
        match next? {
            Some(fd) => folder = fd,
            None => return Ok(None),
        }
    }
    Ok(Some(folder))
}

/// Whether `name` is a link: `room` becomes what it says, between what is around it in the path.
#[inline(never)]
fn link(folder: c_int, name: &Name, around: [Option<&[u8]>; 2], room: &mut Path) -> Done<bool> {
    let mut said = [0u8; libc::PATH_MAX as usize];
    let (length, name) = (said.len(), name.text()?);
    let length = match syscall!(libc::SYS_readlinkat, folder, name, &raw mut said, length) {
        Ok(length) => length,
        Err(_) => return Ok(false),
    };
    let said = said.get(..length).ok_or(libc::ENAMETOOLONG)?;
    let [before, behind] = around.map(Option::unwrap_or_default);
    let before = if said.first() == Some(&b'/') { &[] } else { before };
    room.set(&[before, said, behind])?;
    Ok(true)
}

/// The deepest existing folder on the way to `path` and where what is missing begins.
fn deepest(root: c_int, path: &[u8], room: &mut Path, firm: bool) -> Done<(c_int, usize)> {
    let mut cut = path.len();
    room.set(&[path])?;
    loop {
        let known = path.get(..cut).ok_or(libc::EINVAL)?;
        let Some(slash) = known.iter().rposition(|b| *b == b'/') else {
            return Ok((open_in(root, c"/", libc::O_PATH | libc::O_DIRECTORY, false)?, 0));
        };
        cut = slash;
        if slash == 0 {
            return Ok((open_in(root, c"/", libc::O_PATH | libc::O_DIRECTORY, false)?, 0));
        }
        let prefix = room.prefix(slash)?;
        match open_in(root, prefix, libc::O_PATH | libc::O_DIRECTORY, firm) {
            Err(libc::ENOENT) => {}
            Err(errno) => return Err(errno),
            Ok(folder) => return Ok((folder, slash)),
        }
    }
}

/// Bounds of the next component from `at` on.
fn component(path: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = path.get(at..)?;
    let start = at + rest.iter().position(|b| *b != b'/')?;
    let tail = path.get(start..)?;
    let length = tail.iter().position(|b| *b == b'/').unwrap_or(tail.len());
    Some((start, start + length))
}

/// One component as a string.
struct Name {
    bytes: [u8; 256],
}

impl Name {
    fn new(name: &[u8]) -> Done<Name> {
        let mut bytes = [0; 256];
        let room = bytes.get_mut(..name.len()).ok_or(libc::ENAMETOOLONG)?;
        if name.len() > 255 {
            return Err(libc::ENAMETOOLONG);
        }
        for (to, from) in room.iter_mut().zip(name) {
            *to = *from;
        }
        Ok(Name { bytes })
    }

    fn text(&self) -> Done<&CStr> {
        crate::raw::text_of(&self.bytes)
    }
}

/// Makes one component in `folder` and opens it without following it.
fn make_one(folder: c_int, name: &Name, file: bool) -> Done<c_int> {
    let name = name.text()?;
    if file {
        return make_file(folder, name);
    }
    match unit(syscall!(libc::SYS_mkdirat, folder, name, 0o755)) {
        Ok(()) | Err(libc::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    fd(syscall!(libc::SYS_openat, folder, name, flags, 0))
}

/// Makes an empty file, or takes one that appeared meanwhile, and opens it without following it.
pub(crate) fn make_file(folder: c_int, name: &CStr) -> Done<c_int> {
    let flags = libc::O_RDONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    match fd(syscall!(libc::SYS_openat, folder, name, flags, 0o644)) {
        Err(libc::EEXIST) => {
            let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            fd(syscall!(libc::SYS_openat, folder, name, flags, 0))
        }
        other => other,
    }
}

/// What a descriptor is of.
pub(crate) fn stat(fd: c_int) -> Done<libc::stat> {
    // SAFETY: stat is plain data for which all zeroes is valid.
    let mut found: libc::stat = unsafe { core::mem::zeroed() };
    syscall!(libc::SYS_fstat, fd, &raw mut found)?;
    Ok(found)
}

/// Whether a mode is that of a link.
pub(crate) fn is_link(found: &libc::stat) -> bool {
    found.st_mode & libc::S_IFMT == libc::S_IFLNK
}

/// Whether a mode is that of a folder.
pub(crate) fn is_folder(found: &libc::stat) -> bool {
    found.st_mode & libc::S_IFMT == libc::S_IFDIR
}
