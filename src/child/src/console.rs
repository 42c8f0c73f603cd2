//! The container's terminal, and who owns descriptors 0 to 2.
//!
//! The pty is of the container's own devpts, verified to be one; its other end comes from the
//! master itself (TIOCGPTPEER), never from a name (CVE-2025-52565).

use core::ffi::c_int;

use crate::mount::{attach, clone_tree};
use crate::op::Kind;
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::Child;
use crate::target::{make_file, stat};

const DEVPTS_MAGIC: i64 = 0x1cd1;
/// makedev(5, 2).
const PTMX_DEVICE: u64 = 0x502;
const TIOCSPTLCK: c_int = 0x4004_5431;
const TIOCGPTPEER: c_int = 0x5441;

impl Child<'_> {
    pub(crate) fn console(&self, rows: u16, columns: u16, uid: u32, bind: bool) -> Done {
        let flags = libc::O_RDWR | libc::O_NOCTTY;
        let master = self.look(c"/dev/pts/ptmx", flags, false)?;
        verify(master)?;
        let unlocked: c_int = 0;
        syscall!(libc::SYS_ioctl, master, TIOCSPTLCK, &raw const unlocked)?;
        let flags = flags | libc::O_CLOEXEC;
        let slave = fd(syscall!(libc::SYS_ioctl, master, TIOCGPTPEER, flags))?;
        if rows > 0 || columns > 0 {
            let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            syscall!(libc::SYS_ioctl, slave, libc::TIOCSWINSZ as c_int, &raw const size)?;
        }
        if uid != 0 {
            syscall!(libc::SYS_fchown, slave, uid, -1)?;
        }
        if bind {
            self.bind_console(slave)?;
        }
        for number in 0..3 {
            syscall!(libc::SYS_dup3, slave, number, 0)?;
        }
        self.tell(Kind::Master, 0, master)?;
        close(master);
        close(slave);
        Ok(())
    }

    /// What is its input becomes the terminal of its session.
    pub(crate) fn take_terminal() -> Done {
        unit(syscall!(libc::SYS_ioctl, 0, libc::TIOCSCTTY as c_int, 0))
    }

    fn bind_console(&self, slave: c_int) -> Done {
        let folder = self.look(c"/dev", libc::O_PATH | libc::O_DIRECTORY, false)?;
        let place = make_file(folder, c"console")?;
        let tree = clone_tree(slave, c"", false)?;
        let done = attach(tree, place);
        close(tree);
        close(place);
        close(folder);
        done
    }

    pub(crate) fn stdio(&self, first: u16, uid: u32) -> Done {
        for number in 0..3u16 {
            let from = self.slot(first.wrapping_add(number))?;
            syscall!(libc::SYS_dup3, from, number as c_int, 0)?;
        }
        self.own_stdio(uid);
        Ok(())
    }

    /// So that /dev/stdout can be opened again. What refuses a new owner keeps the old one.
    pub(crate) fn own_stdio(&self, uid: u32) {
        for number in 0..3 {
            let Ok(found) = stat(number) else { continue };
            let kind = found.st_mode & libc::S_IFMT;
            // Majors 136 to 143 are ptys.
            let pty = kind == libc::S_IFCHR && (136..=143).contains(&(found.st_rdev >> 8 & 0xfff));
            if uid != found.st_uid && (kind == libc::S_IFIFO || pty) {
                let _ = syscall!(libc::SYS_fchown, number, uid, -1);
            }
        }
    }
}

fn verify(master: c_int) -> Done {
    // SAFETY: statfs is plain data for which all zeroes is valid.
    let mut system: libc::statfs = unsafe { core::mem::zeroed() };
    syscall!(libc::SYS_fstatfs, master, &raw mut system)?;
    let found = stat(master)?;
    let good = system.f_type as i64 == DEVPTS_MAGIC && found.st_rdev == PTMX_DEVICE;
    if good { Ok(()) } else { unit(Err(libc::ENOTTY)) }
}
