//! The file that a child executes: its program and its image, in memory, for this child alone.
//!
//! An ELF file of two segments: the program of crate `child` as the build script left it, and an
//! [`Image`] with all that it points to, made here. Written once, then only open for reading, and
//! executed by one process: whoever gets hold of it in a container can change nothing by it.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::statvfs::{FsFlags, statvfs};

use child::{IMAGE_AT, Image, Role, Span};

use crate::launch::Compiled;

include!(concat!(env!("OUT_DIR"), "/child.rs"));

/// The program as it is in memory from `BASE` on.
static CHILD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/child.bin"));

/// Both segments begin at multiples of the largest page that Linux has.
const PAGE: usize = 0x1_0000;

/// memfd_create's flags of linux/memfd.h that libc lacks.
const MFD_EXEC: u32 = 0x10;

/// Where the image is in the file.
const IMAGE_FROM: usize = PAGE + CHILD.len().next_multiple_of(PAGE);

/// The smallest page: what is in the file ends with one, so that the kernel has no rest to clear.
const SMALL_PAGE: usize = 0x1000;

/// Items of the caller, to be written as they are.
#[derive(Clone, Copy)]
struct Part {
    from: *const libc::c_void,
    bytes: usize,
}

impl Part {
    fn of<T>(items: &[T]) -> Part {
        Part { from: items.as_ptr().cast(), bytes: size_of_val(items) }
    }
}

/// Lays parts out one behind the other in the image's segment.
struct Layout {
    parts: Vec<Part>,
    end: usize,
}

static ZEROES: [u8; 8] = [0; 8];

impl Layout {
    /// Appends items; where they will be.
    fn put<T: Copy>(&mut self, items: &[T]) -> Span {
        let gap = self.end.next_multiple_of(8) - self.end;
        self.parts.push(Part::of(ZEROES.get(..gap).unwrap_or_default()));
        let at = IMAGE_AT + self.end + gap;
        self.parts.push(Part::of(items));
        self.end += gap + size_of_val(items);
        Span { at, count: items.len() }
    }

    /// Room behind all that is written, on pages that nothing has to be read for.
    fn room<T>(&mut self, count: usize) -> Span {
        let at = IMAGE_AT + self.end.next_multiple_of(8);
        self.end = at - IMAGE_AT + count * size_of::<T>();
        Span { at, count }
    }
}

/// The file of a process that works through `program`, with `slots` as its descriptors.
///
/// # Errors
/// memfd_create(2)'s and write(2)'s; `PermissionDenied` where the host lets no such file be
/// executed.
pub(crate) fn of(program: &Compiled, slots: &[RawFd], report: RawFd) -> Result<OwnedFd> {
    let mut layout = Layout { parts: Vec::with_capacity(16), end: size_of::<Image>() };
    let (ops, text) = (layout.put(&program.ops), layout.put(&program.text));
    let (slots, groups) = (layout.put(slots), layout.put(&program.groups));
    let written = layout.end.next_multiple_of(SMALL_PAGE);
    layout.end = written;
    let words = layout.room::<usize>((program.argv.count + program.envp.count) as usize + 3);
    let inbox = layout.room::<u8>(program.inbox_bytes.max(crate::launch::WORD_HEADER_BYTES));
    let (argv, envp, candidates) = (program.argv, program.envp, program.candidates);
    let role = Role::Program;
    let image =
        Image { role, report, ops, text, slots, groups, words, inbox, argv, envp, candidates };
    make(&image, &layout.parts, (written, layout.end))
}

/// The file of a process that is the PID 1 of a pod.
///
/// # Errors
/// As [`of`].
pub(crate) fn of_pid1(report: RawFd) -> Result<OwnedFd> {
    let image = Image { role: Role::Pid1, report, ..Image::default() };
    make(&image, &[], (size_of::<Image>(), size_of::<Image>()))
}

/// `written` bytes of image and parts are in the file, and `whole` are to be in memory.
fn make(image: &Image, parts: &[Part], (written, whole): (usize, usize)) -> Result<OwnedFd> {
    let file = in_memory()?;
    write_all(&file, 0, &[Part::of(&[header(written, whole)])])?;
    write_all(&file, PAGE, &[Part::of(CHILD)])?;
    let image = Part::of(std::slice::from_ref(image));
    let all: Vec<Part> = [image].into_iter().chain(parts.iter().copied()).collect();
    write_all(&file, IMAGE_FROM, &all)?;
    // What is open for writing cannot be executed.
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(again.into())
}

fn in_memory() -> Result<OwnedFd> {
    let make = |flags: u32| {
        let (call, name) = (libc::SYS_memfd_create, c"podvisor-init".as_ptr());
        // SAFETY: a NUL-terminated name and an integer.
        let raw = unsafe { libc::syscall(call, name, libc::MFD_CLOEXEC | flags) };
        let raw = RawFd::try_from(raw).map_err(Error::other)?;
        if raw < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: the kernel made it just now.
        Ok(unsafe { OwnedFd::from_raw_fd(raw) })
    };
    match make(MFD_EXEC) {
        // Before Linux 6.3 all of them can be executed.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => make(0),
        // The sysctl vm.memfd_noexec is 2.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => without_name(),
        other => other,
    }
}

/// A file that no folder lists, on the first file system that lets programs be executed.
fn without_name() -> Result<OwnedFd> {
    let places = ["/run", "/dev/shm", "/tmp", "/var/tmp"];
    let executable = |place: &&str| {
        statvfs(*place).is_ok_and(|found| !found.flags().contains(FsFlags::ST_NOEXEC))
    };
    let open = |place: &str| {
        let mut options = File::options();
        options.read(true).write(true).mode(0o755).custom_flags(libc::O_TMPFILE);
        options.open(place).map(OwnedFd::from)
    };
    places.into_iter().filter(executable).find_map(|place| open(place).ok()).ok_or_else(|| {
        let text = "the sysctl vm.memfd_noexec is 2 and none of /run, /dev/shm, /tmp and /var/tmp \
                    lets programs be executed: change one of them";
        Error::new(ErrorKind::PermissionDenied, text)
    })
}

/// Writes the parts one behind the other from `at` on.
fn write_all(file: &OwnedFd, at: usize, parts: &[Part]) -> Result<()> {
    let vectors: Vec<libc::iovec> = parts
        .iter()
        .map(|part| libc::iovec { iov_base: part.from.cast_mut(), iov_len: part.bytes })
        .collect();
    let wanted: usize = parts.iter().map(|part| part.bytes).sum();
    let count = i32::try_from(vectors.len()).map_err(Error::other)?;
    let offset = i64::try_from(at).map_err(Error::other)?;
    // SAFETY: every part is of a slice that outlives the call; its padding is as good as any byte.
    let done = unsafe { libc::pwritev(file.as_raw_fd(), vectors.as_ptr(), count, offset) };
    match usize::try_from(done) {
        Ok(done) if done == wanted => Ok(()),
        Ok(_) => Err(Error::from(ErrorKind::StorageFull)),
        Err(_) => Err(Error::last_os_error()),
    }
}

/// The ELF header and those of the two segments.
#[repr(C)]
struct Header {
    file: libc::Elf64_Ehdr,
    segments: [libc::Elf64_Phdr; 2],
}

/// `written` bytes of the image are in the file, which has `whole` in memory.
fn header(written: usize, whole: usize) -> Header {
    const EXECUTABLE: u16 = 2;
    const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let (file_bytes, segment_bytes) =
        (size_of::<libc::Elf64_Ehdr>(), size_of::<libc::Elf64_Phdr>());
    let mut identity = [0; 16];
    // The magic number, 64 bits, little-endian, version 1.
    for (to, from) in identity.iter_mut().zip(*b"\x7fELF\x02\x01\x01") {
        *to = from;
    }
    let file = libc::Elf64_Ehdr {
        e_ident: identity,
        e_type: EXECUTABLE,
        e_machine: MACHINE,
        e_version: 1,
        e_entry: ENTRY as u64,
        e_phoff: file_bytes as u64,
        e_shoff: 0,
        e_flags: 0,
        e_ehsize: file_bytes as u16,
        e_phentsize: segment_bytes as u16,
        e_phnum: 2,
        e_shentsize: 0,
        e_shnum: 0,
        e_shstrndx: 0,
    };
    let segment = |flags, at: usize, address: usize, (written, whole): (usize, usize)| {
        let (p_offset, p_vaddr) = (at as u64, address as u64);
        let (p_filesz, p_memsz, p_align) = (written as u64, whole as u64, PAGE as u64);
        libc::Elf64_Phdr {
            p_type: libc::PT_LOAD,
            p_flags: flags,
            p_offset,
            p_vaddr,
            p_paddr: p_vaddr,
            p_filesz,
            p_memsz,
            p_align,
        }
    };
    let read_and = |flag| libc::PF_R | flag;
    let program = segment(read_and(libc::PF_X), PAGE, BASE, (CHILD.len(), CHILD.len()));
    let image = segment(read_and(libc::PF_W), IMAGE_FROM, IMAGE_AT, (written, whole));
    Header { file, segments: [program, image] }
}
