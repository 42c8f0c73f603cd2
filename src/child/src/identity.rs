//! Who the process becomes: limits, user, groups, capabilities, filter.

use core::ffi::c_int;

use crate::op::{Kind, Op, Text};
use crate::procfs::denies_groups;
use crate::raw::{Done, close, exit, fd, syscall, unit};
use crate::run::Child;

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const SECCOMP_SET_MODE_FILTER: c_int = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 1 << 3;
const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
const IOPRIO_WHO_PROCESS: c_int = 1;
/// Bytes of /etc/passwd that are looked at at a time.
const PASSWD_WINDOW: usize = 16 * 1024;
/// Bytes of it that are looked at, of a file that may have no end (CVE-2024-9676).
const PASSWD_MAX: usize = 1 << 20;
/// Bytes of the kernel's signal set.
const SIGNAL_SET_BYTES: usize = 8;

/// The kernel's struct sock_fprog.
#[repr(C)]
struct FilterProgram {
    length: u16,
    filter: *const u8,
}

/// SA_RESTORER of x86, without which it refuses a handler; a flag without a meaning elsewhere.
const SA_RESTORER: u64 = 0x0400_0000;

/// The code of one that SIGTERM ends, as shells count.
const TERMINATED: c_int = 128 + libc::SIGTERM;

/// The kernel's struct sigaction. Where there is no restorer, the mask is in its place.
#[repr(C)]
struct Disposition {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

impl Child<'_> {
    pub(crate) fn identify(&mut self, op: &Op) -> Done {
        match *op {
            Op::Limit { resource, soft, hard } => {
                let limit = [soft, hard];
                unit(syscall!(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), 0))
            }
            Op::Personality { domain } => unit(syscall!(libc::SYS_personality, domain)),
            Op::IoPriority { value } => {
                unit(syscall!(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value))
            }
            Op::Umask { mask } => unit(syscall!(libc::SYS_umask, mask)),
            Op::Hostname { name, length } => {
                unit(syscall!(libc::SYS_sethostname, self.text(name)?, length))
            }
            Op::Domainname { name, length } => {
                unit(syscall!(libc::SYS_setdomainname, self.text(name)?, length))
            }
            Op::Keyring => keyring(),
            Op::Chdir { path } => self.chdir(path),
            Op::ChdirAgain { path } => self.chdir_again(path),
            Op::Home { uid } => {
                self.find_home(uid);
                Ok(())
            }
            Op::Signals => reset_signals(self.ignored),
            Op::Bounding { keep } => drop_bounding(keep),
            Op::Identity { uid, gid, groups } => self.become_user(uid, gid, groups),
            Op::Capabilities { effective, permitted, inheritable, ambient } => {
                set_capabilities([effective, permitted, inheritable], ambient)
            }
            Op::NoNewPrivileges => prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0),
            Op::Hide => {
                self.hidden = true;
                self.stay_hidden()
            }
            Op::Seccomp { flags } => self.seccomp(flags),
            _ => Err(libc::ENOSYS),
        }
    }

    fn chdir(&mut self, path: Text) -> Done {
        match unit(syscall!(libc::SYS_chdir, self.text(path)?)) {
            Err(libc::EACCES | libc::EPERM) => {
                self.late_chdir = true;
                Ok(())
            }
            other => other.and_then(|()| inside()),
        }
    }

    fn chdir_again(&self, path: Text) -> Done {
        if !self.late_chdir {
            return Ok(());
        }
        syscall!(libc::SYS_chdir, self.text(path)?)?;
        inside()
    }
}

/// That the working folder is: one outside shows as "(unreachable)" (CVE-2024-21626).
#[inline(never)]
fn inside() -> Done {
    let mut buffer = [0u8; libc::PATH_MAX as usize];
    syscall!(libc::SYS_getcwd, buffer.as_mut_ptr(), libc::PATH_MAX)?;
    if buffer.first() == Some(&b'/') { Ok(()) } else { Err(libc::EXDEV) }
}

impl Child<'_> {
    /// `HOME=` of the user's line; `/` where there is none. Only a regular file is read.
    #[inline(never)]
    fn find_home(&mut self, uid: u32) {
        let mut window = [0u8; PASSWD_WINDOW];
        let home = passwd_line(&mut window, uid).and_then(|line| home_of(line, uid));
        let home = home.filter(|home| !home.is_empty() && home.len() < 240).unwrap_or(b"/");
        let whole = b"HOME=".iter().chain(home).chain(&[0]);
        for (to, from) in self.home.iter_mut().zip(whole) {
            *to = *from;
        }
        self.has_home = true;
    }

    pub(crate) fn become_root(&mut self, groups: bool) -> Done {
        if groups {
            match syscall!(libc::SYS_setgroups, 0, 0) {
                // A user namespace by path does not tell before it is joined.
                Err(libc::EPERM) if denies_groups()? => self.no_groups = true,
                other => unit(other)?,
            }
        }
        syscall!(libc::SYS_setresgid, 0, 0, 0)?;
        syscall!(libc::SYS_setresuid, 0, 0, 0)?;
        self.stay_hidden()
    }

    /// A new user id has the kernel set what fs.suid_dumpable says.
    fn stay_hidden(&self) -> Done {
        if self.hidden { prctl(libc::PR_SET_DUMPABLE, 0, 0) } else { Ok(()) }
    }

    fn become_user(&self, uid: u32, gid: u32, groups: bool) -> Done {
        let list = self.program.groups;
        // What is asked for is set or refused.
        if groups && !(self.no_groups && list.is_empty()) {
            syscall!(libc::SYS_setgroups, list.len(), list.as_ptr())?;
        }
        syscall!(libc::SYS_setresgid, gid, gid, gid)?;
        syscall!(libc::SYS_setresuid, uid, uid, uid)?;
        self.stay_hidden()
    }

    fn seccomp(&self, flags: u32) -> Done {
        let filter = self.program.inbox.get(8..).ok_or(libc::EFAULT)?;
        let length = (self.received / 8) as u16;
        let program = FilterProgram { length, filter: filter.as_ptr() };
        let mode = SECCOMP_SET_MODE_FILTER;
        let listener = syscall!(libc::SYS_seccomp, mode, flags, &raw const program)?;
        if flags & SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 {
            self.tell(Kind::Listener, 0, listener as c_int)?;
            close(listener as c_int);
        }
        Ok(())
    }
}

fn prctl(option: c_int, value: u64, more: u64) -> Done {
    unit(syscall!(libc::SYS_prctl, option, value, more, 0, 0))
}

/// Ends a process that waits for `start`.
extern "C" fn terminate(_: c_int) -> ! {
    exit(TERMINATED)
}

/// All as it is by default, but for SIGTERM until the execve, which takes its handler away: the
/// kernel keeps it from the first process of a PID namespace unless there is one. Of the others the
/// first execve has left none but those that are ignored.
fn reset_signals(ignored: u64) -> Done {
    let default = Disposition { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    // Nothing returns from the handler, so that nothing is restored.
    let restorer = if cfg!(target_arch = "x86_64") { terminate as *const () as usize } else { 0 };
    let flags = if cfg!(target_arch = "x86_64") { SA_RESTORER } else { 0 };
    let handler = terminate as *const () as usize;
    let ending = Disposition { handler, flags, restorer, mask: 0 };
    for signal in (1..=64).filter(|n| *n == libc::SIGTERM || ignored >> (n - 1) & 1 == 1) {
        let wanted = if signal == libc::SIGTERM { &raw const ending } else { &raw const default };
        // SIGKILL and SIGSTOP refuse, and are what they are.
        let _ = syscall!(libc::SYS_rt_sigaction, signal, wanted, 0, SIGNAL_SET_BYTES);
    }
    let none = 0u64;
    let how = libc::SIG_SETMASK;
    unit(syscall!(libc::SYS_rt_sigprocmask, how, &raw const none, 0, SIGNAL_SET_BYTES))
}

fn drop_bounding(keep: u64) -> Done {
    for capability in 0..64u32 {
        if keep >> capability & 1 == 1 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0) {
            // The first number that the kernel does not know.
            Err(libc::EINVAL) => break,
            other => other?,
        }
    }
    prctl(libc::PR_SET_KEEPCAPS, 1, 0)
}

fn set_capabilities(sets: [u64; 3], ambient: u64) -> Done {
    let header = [CAPABILITY_VERSION_3, 0];
    let [effective, permitted, inheritable] = sets;
    let low = |set: u64| set as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data = [
        low(effective),
        low(permitted),
        low(inheritable),
        high(effective),
        high(permitted),
        high(inheritable),
    ];
    syscall!(libc::SYS_capset, header.as_ptr(), data.as_ptr())?;
    let option = libc::PR_CAP_AMBIENT;
    prctl(option, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)?;
    for capability in 0..64u64 {
        if ambient >> capability & 1 == 1 {
            prctl(option, libc::PR_CAP_AMBIENT_RAISE as u64, capability)?;
        }
    }
    Ok(())
}

/// The user's line of /etc/passwd; a line longer than the window is
/// nobody's.
fn passwd_line(window: &mut [u8; PASSWD_WINDOW], uid: u32) -> Option<&[u8]> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = fd(syscall!(libc::SYS_openat, libc::AT_FDCWD, c"/etc/passwd", flags)).ok()?;
    let regular = |found: libc::stat| found.st_mode & libc::S_IFMT == libc::S_IFREG;
    let line = match crate::target::stat(file) {
        Ok(found) if regular(found) => line_in(file, window, uid),
        _ => None,
    };
    close(file);
    line.and_then(|(start, end)| window.get(start..end))
}

/// Where in the window the line is, once it has been read into it.
fn line_in(file: c_int, window: &mut [u8; PASSWD_WINDOW], uid: u32) -> Option<(usize, usize)> {
    let (mut offset, mut in_long_line) = (0, false);
    while offset < PASSWD_MAX {
        let (into, room) = (window.as_mut_ptr(), window.len());
        let length = syscall!(libc::SYS_pread64, file, into, room, offset).ok()?;
        let is_end = length < room;
        let mut start = 0;
        loop {
            let rest = window.get(start..length)?;
            let end = match rest.iter().position(|b| *b == b'\n') {
                Some(end) => start + end,
                None if is_end => length,
                None => break,
            };
            if !in_long_line && home_of(window.get(start..end)?, uid).is_some() {
                return Some((start, end));
            }
            if end == length {
                return None;
            }
            in_long_line = false;
            start = end + 1;
        }
        in_long_line |= start == 0;
        offset += if start == 0 { length } else { start };
    }
    None
}

/// The sixth field of a passwd line whose third is `uid`.
fn home_of(line: &[u8], uid: u32) -> Option<&[u8]> {
    let mut fields = line.split(|b| *b == b':');
    let number = fields.nth(2)?;
    let mut value = 0u64;
    for digit in number {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 || value > u64::from(u32::MAX) {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    let same = !number.is_empty() && value == u64::from(uid);
    if same { fields.nth(2) } else { None }
}

fn keyring() -> Done {
    // By a name it could be one that somebody else has made and reads.
    match unit(syscall!(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0)) {
        // A kernel without keys has none to leak.
        Err(libc::ENOSYS) => Ok(()),
        other => other,
    }
}
