//! A mount of a container that lives is taken away.

use crate::op::Text;
use crate::raw::{Done, close, syscall, unit};
use crate::run::Child;

impl Child<'_> {
    /// The kernel takes mounts away by name alone: by the last component, in a folder that is held.
    pub(crate) fn unmount(&self, target: Text) -> Done {
        let (folder, name) = self.folder_of(target)?;
        if matches!(self.text(name)?.to_bytes(), b"" | b"." | b"..") {
            return Err(libc::EINVAL);
        }
        let entered = unit(syscall!(libc::SYS_fchdir, folder));
        close(folder);
        entered?;
        let flags = libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW;
        unit(syscall!(libc::SYS_umount2, self.text(name)?, flags))
    }
}
