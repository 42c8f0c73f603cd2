//! Bringing a container's image from its registry before the container is made.
//!
//! `Never` looks into the store alone, `Always` asks the registry each time, else it is asked when
//! the store has no such image. A tag `latest` alone does not mean `Always` here: images are loaded
//! and built on this host, too, and no registry has those. One pull of a name at a time: replicas
//! wait for the first and find what it brought. A pull ends with the deletion of the pod it is for;
//! what has come is kept, and who waits goes on from there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use image::{Cancel, Error, PullFor, Quiet, Store};
use pod::Reason;
use pod::manifest::{Container, ImagePullPolicy};
use tokio::sync::Notify;

use super::Job;
use super::container::Failure;
use crate::error::{chain, with_hint};
use crate::tools::Tools;

/// Who pulls which name.
#[derive(Debug, Default)]
pub(crate) struct Pulls(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Pulls {
    fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        // What is kept is whole at any moment.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Names that nobody waits for any more are forgotten.
        all.retain(|_, pulling| Arc::strong_count(pulling) > 1);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

/// Whether a pod is wanted, for what may take long on its behalf.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    cancel: Cancel,
    ended: Notify,
}

impl Wanted {
    /// It is not, and never will be again.
    pub(crate) fn end(&self) {
        self.cancel.cancel();
        self.ended.notify_waiters();
    }

    async fn over(&self) {
        // Before the question: what is told in between is heard.
        let ended = self.ended.notified();
        if !self.cancel.is_cancelled() {
            ended.await;
        }
    }
}

/// Brings a container's image; the name or digest by which the store has it then.
pub(super) async fn image(
    tools: &Arc<Tools>,
    job: &Job,
    container: &Container,
) -> Result<String, Failure> {
    let always = container.image_pull_policy == Some(ImagePullPolicy::Always);
    let turn = tools.pulls.of(&container.image);
    let _turn = tokio::select! {
        turn = turn.lock() => turn,
        () = job.wanted.over() => {
            return Err((Reason::ErrImagePull, "the pod is being deleted".to_owned()));
        }
    };
    let name = container.image.clone();
    let with = PullFor { secrets: job.pull_secrets.clone(), cancel: job.wanted.cancel.clone() };
    let brought = tools.at_once(move |tools| {
        // Another container may have brought it meanwhile.
        if !always && is_present(&tools.images, &name) {
            return Ok(name);
        }
        let variable = |name: &str| std::env::var(name).ok();
        tools.images.pull_configured(&name, variable, with, &mut Quiet).map(|pulled| pulled.digest)
    });
    brought.await.map_err(|error| failure(&error))
}

/// Whatever else is wrong with an image is told in its own words when it is used.
fn is_present(store: &Store, name: &str) -> bool {
    !matches!(store.resolve(name), Err(Error::MissingImage { .. }))
}

fn failure(error: &Error) -> Failure {
    let reason = match error {
        Error::BadReference { .. } => Reason::InvalidImageName,
        _ => Reason::ErrImagePull,
    };
    (reason, with_hint(chain(error), error.hint()))
}
