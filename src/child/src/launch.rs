//! The last steps: descriptors closed, the executable found, `start` awaited, execve.

use core::ffi::{CStr, c_int};

use crate::op::{Kind, NO_SLOT, Text};
use crate::raw::{Done, close, fd, syscall, unit};
use crate::run::{Child, NONE, Strings};

/// Where `start` waits for the end of file.
const READY: i32 = 0;

impl Child<'_> {
    /// Really closes what is not the container's, before any path of the container is entered or
    /// executed: a closed descriptor cannot be found at /proc/self/fd (CVE-2024-21626).
    /// The socket in slot `keep`, for `start`, stays.
    pub(crate) fn close_from(&mut self, first: u32, keep: u16) -> Done {
        // F_DUPFD gives a number from `first` on, so that the range below holds nothing of ours.
        let report = move_up(self.program.report, first)?;
        self.program.report = report;
        if keep != NO_SLOT {
            self.listener = move_up(self.slot(keep)?, first)?;
        }
        close_all_but(first, &[report, self.listener])
    }

    /// See [`Op::CloseOthers`](crate::op::Op::CloseOthers).
    pub(crate) fn close_others(&self) -> Done {
        close_all_but(3, self.program.slots.iter().chain([&self.program.report]))
    }

    /// The first candidate that is a file and may be executed.
    pub(crate) fn find(&mut self) -> Done {
        let mut worst = libc::ENOENT;
        let list = self.program.candidates;
        let mut at = list.at;
        for _ in 0..list.count {
            let path = self.text(at)?;
            match executable(path) {
                Ok(()) => {
                    self.candidate = Some(at);
                    return self.tell(Kind::Reached, READY, NONE);
                }
                Err(libc::ENOENT | libc::ENOTDIR) => {}
                // On the way through PATH it is not what is looked for.
                Err(libc::EISDIR) if list.count > 1 => {}
                Err(errno) => worst = errno,
            }
            at = next(at, path);
        }
        Err(worst)
    }

    /// Blocks until `start` connects and says go, and is there to hear what comes of it: the word
    /// of one that has gone, because it was killed or gave this process up while that was frozen,
    /// counts for nothing.
    pub(crate) fn wait_for_start(&mut self) -> Done {
        // The maker has gone or is going: nothing more is told to it.
        close(self.program.report);
        loop {
            let flags = libc::SOCK_CLOEXEC;
            let starter = match fd(syscall!(libc::SYS_accept4, self.listener, 0, 0, flags)) {
                Err(libc::EINTR | libc::ECONNABORTED) => continue,
                other => other?,
            };
            let next = |flags: c_int| {
                let mut word = [0u8; 1];
                syscall!(libc::SYS_recvfrom, starter, word.as_mut_ptr(), 1, flags, 0, 0)
            };
            if next(0) == Ok(1) && next(libc::MSG_DONTWAIT) == Err(libc::EAGAIN) {
                close(self.listener);
                self.starter = starter;
                return Ok(());
            }
            close(starter);
        }
    }

    /// execve of the candidates in order, as execvp does it.
    pub(crate) fn exec(&mut self) -> Done {
        let (argv, envp) = (self.program.argv, self.program.envp);
        let first = self.point(0, argv, false)?;
        let second = self.point(first, envp, self.has_home)?;
        let pointers = self.program.words.get(..second).ok_or(libc::E2BIG)?;
        let argv = pointers.as_ptr();
        let envp = pointers.get(first..).ok_or(libc::E2BIG)?.as_ptr();
        if let Some(chosen) = self.candidate {
            return unit(syscall!(libc::SYS_execve, self.text(chosen)?, argv, envp));
        }
        let mut worst = libc::ENOENT;
        let list = self.program.candidates;
        let mut at = list.at;
        for _ in 0..list.count {
            let path = self.text(at)?;
            match syscall!(libc::SYS_execve, path, argv, envp) {
                Err(libc::ENOENT | libc::ENOTDIR) => {}
                Err(libc::EACCES) => worst = libc::EACCES,
                Err(errno) => return Err(errno),
                Ok(_) => {}
            }
            at = next(at, path);
        }
        Err(worst)
    }

    /// Writes the pointers of a list, HOME and the NULL; the index behind them.
    fn point(&mut self, from: usize, list: Strings, home: bool) -> Done<usize> {
        let (mut index, mut at) = (from, list.at);
        for _ in 0..list.count {
            let text = self.text(at)?;
            let (pointer, following) = (text.as_ptr().addr(), next(at, text));
            *self.program.words.get_mut(index).ok_or(libc::E2BIG)? = pointer;
            index += 1;
            at = following;
        }
        if home {
            let pointer = self.home.as_ptr().addr();
            *self.program.words.get_mut(index).ok_or(libc::E2BIG)? = pointer;
            index += 1;
        }
        *self.program.words.get_mut(index).ok_or(libc::E2BIG)? = 0;
        Ok(index + 1)
    }
}

/// Closes every descriptor from `first` on but these; [`NONE`] among them is none.
fn close_all_but<'a>(first: u32, kept: impl IntoIterator<Item = &'a c_int> + Clone) -> Done {
    let mut from = first;
    let next = |from| {
        let above = |fd: &&c_int| u32::try_from(**fd).is_ok_and(|fd| fd >= from);
        kept.clone().into_iter().filter(above).min().map(|fd| *fd as u32)
    };
    while let Some(fd) = next(from) {
        if fd > from {
            syscall!(libc::SYS_close_range, from, fd.wrapping_sub(1), 0)?;
        }
        from = fd.wrapping_add(1);
    }
    unit(syscall!(libc::SYS_close_range, from, u32::MAX, 0))
}

/// The offset behind a string at `at`.
fn next(at: Text, text: &CStr) -> Text {
    at.wrapping_add(text.to_bytes_with_nul().len() as u32)
}

fn move_up(from: c_int, first: u32) -> Done<c_int> {
    if from as u32 >= first {
        return Ok(from);
    }
    let command = libc::F_DUPFD_CLOEXEC;
    fd(syscall!(libc::SYS_fcntl, from, command, first))
}

fn executable(path: &CStr) -> Done {
    // SAFETY: stat is plain data for which all zeroes is valid.
    let mut found: libc::stat = unsafe { core::mem::zeroed() };
    syscall!(libc::SYS_newfstatat, libc::AT_FDCWD, path, &raw mut found, 0)?;
    if crate::target::is_folder(&found) {
        return Err(libc::EISDIR);
    }
    match unit(syscall!(libc::SYS_faccessat, libc::AT_FDCWD, path, libc::X_OK)) {
        // That was asked for the real user, without the capabilities it has as one who is not root.
        Err(libc::EACCES) => {
            let flags = libc::AT_EACCESS;
            let asked = syscall!(libc::SYS_faccessat2, libc::AT_FDCWD, path, libc::X_OK, flags);
            asked.map_or(Err(libc::EACCES), |_| Ok(()))
        }
        other => other,
    }
}
