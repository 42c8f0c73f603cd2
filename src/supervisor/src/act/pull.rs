//! Bringing a container's image from its registry before the container is made.
//!
//! `Never` looks into the store alone, `Always` asks the registry each time, else it is asked when
//! the store has no such image. A tag `latest` alone does not mean `Always` here: images are loaded
//! and built on this host, too, and no registry has those. One pull of a name at a time: replicas
//! wait for the first and find what it brought. A pull is not broken off when its pod is deleted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use image::{Error, Quiet, Store};
use pod::Reason;
use pod::manifest::{Container, ImagePullPolicy};

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

/// Brings a container's image; the name or digest by which the store has it then.
pub(super) async fn image(tools: &Arc<Tools>, container: &Container) -> Result<String, Failure> {
    let always = container.image_pull_policy == Some(ImagePullPolicy::Always);
    let turn = tools.pulls.of(&container.image);
    let _turn = turn.lock().await;
    let name = container.image.clone();
    let brought = tools.at_once(move |tools| {
        // Another container may have brought it meanwhile.
        if !always && is_present(&tools.images, &name) {
            return Ok(name);
        }
        let variable = |name: &str| std::env::var(name).ok();
        tools.images.pull_configured(&name, variable, &mut Quiet).map(|pulled| pulled.digest)
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
