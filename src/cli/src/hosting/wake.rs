//! Wakes those who follow a log: inotify on its folder.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;

use api::logs::Changes;
use sys::folder::Folder;
use tokio::io::unix::AsyncFd;

use crate::readiness::wait_on;

struct Watched {
    folder: Folder,
    ready: AsyncFd<OwnedFd>,
}

impl Changes for Watched {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> {
        Box::pin(async {
            loop {
                let mut guard = self.ready.readable().await?;
                guard.clear_ready();
                if self.folder.drain()? {
                    return Ok(());
                }
            }
        })
    }
}

/// Watches a folder.
///
/// # Errors
/// As [`Folder::watch`].
pub(super) fn watch_folder(path: &Path) -> io::Result<Box<dyn Changes>> {
    let folder = Folder::watch(path)?;
    let ready = wait_on(folder.as_fd().try_clone_to_owned()?)?;
    Ok(Box::new(Watched { folder, ready }))
}
