//! The subscribed connection to a pod's monitor: one task a pod that turns its events into news.
//!
//! Termination messages are read here, when an end is told, and so before anybody decides about it.
//! A link ends with its connection and says so once; it never reconnects.

use std::path::PathBuf;
use std::sync::Arc;

use monitor::protocol::{ContainerRecord, RecordState};
use oci::IdRange;
use pod::Pod;
use tokio::sync::mpsc;

use crate::listing::Listed;
use crate::news::{LinkNews, News};
use crate::pod_files;
use crate::talk::{Talk, TalkError};

/// What a link's task needs to know of its pod.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) uid: String,
    pub(crate) pod: Arc<Pod>,
    pub(crate) pod_dir: PathBuf,
    /// The folder of its emptyDirs on disk.
    pub(crate) volumes_dir: PathBuf,
    /// `<log-dir>/<namespace>_<name>_<uid>`.
    pub(crate) log_dir: PathBuf,
    /// The host's ids that are the pod's own; none where it has the host's.
    pub(crate) ids: Option<IdRange>,
}

/// A subscribed connection that nobody listens to yet, and its first listing.
#[derive(Debug)]
pub(crate) struct Subscribed {
    pub(crate) talk: Talk,
    pub(crate) listed: Vec<Listed>,
}

/// Subscribes to a pod's monitor.
///
/// # Errors
/// See [`TalkError`].
pub(crate) async fn subscribe(subject: &Subject) -> Result<Subscribed, TalkError> {
    let mut talk = Talk::open(&subject.pod_dir).await?;
    let records = talk.subscribe().await?;
    let listed = records.into_iter().map(|record| read_message(subject, record)).collect();
    Ok(Subscribed { talk, listed })
}

/// Turns events into news until the connection ends. `link` tells the news of this connection from
/// those of the one before.
pub(crate) fn follow(
    subject: Subject,
    mut talk: Talk,
    link: u64,
    news: mpsc::UnboundedSender<News>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let event = talk.next_event().await;
            let ended = event.is_err();
            let what = match event {
                Ok(record) => LinkNews::Changed(read_message(&subject, record)),
                // Why it ended changes nothing: the monitor is looked for again.
                Err(_) => LinkNews::Lost,
            };
            // A loop that has ended needs no news.
            if news.send(News::Link(subject.uid.clone(), link, what)).is_err() || ended {
                return;
            }
        }
    })
}

/// A record with the termination message of its end.
fn read_message(subject: &Subject, record: ContainerRecord) -> Listed {
    let container = subject.pod.spec.container(&record.name);
    let message = match (&record.state, container) {
        (RecordState::Exited(exit), Some(container)) => {
            let end = pod_files::End { attempt: record.attempt, failed: exit.code != 0 };
            pod_files::read_termination_message(&subject.pod_dir, &subject.log_dir, container, &end)
        }
        _ => None,
    };
    Listed { record, message }
}
