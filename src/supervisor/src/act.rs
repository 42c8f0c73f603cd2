//! The executor: does what the decisions say, each action in a task of its own.
//!
//! Every action may be done twice with the same effect. Each ends with a message to the loop; what
//! it has found out travels with it. Nothing here looks at the loop's state: a job brings all that
//! is needed.

mod container;
mod http;
mod launch;
mod probe;
mod pull;
mod sandbox;
mod wreck;

use std::net::Ipv4Addr;
use std::sync::Arc;

use image::PullSecret;
use monitor::protocol::ContainerRecord;
use pod::{Action, Outcome, Reason};

use crate::link::{Subject, Subscribed};
use crate::news::News;
use crate::tools::Tools;
use crate::volumes::Keep;

pub(crate) use container::Noted;
pub(crate) use pull::{Pulls, Wanted};
pub(crate) use sandbox::{adopt, dismantle};
pub(crate) use wreck::{lives, remove_cgroup_parents};

/// One action with all it needs.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) subject: Subject,
    pub(crate) action: Action,
    /// The pod's own address; none with hostNetwork.
    pub(crate) address: Option<Ipv4Addr>,
    /// What a removal of the sandbox leaves.
    pub(crate) keep: Keep,
    /// Credentials for the image of a container to start.
    pub(crate) pull_secrets: Vec<PullSecret>,
    /// Ends when nobody wants the pod any more.
    pub(crate) wanted: Arc<Wanted>,
}

impl Job {
    fn uid(&self) -> &str {
        &self.subject.uid
    }
}

/// A container that was started.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) record: ContainerRecord,
    /// Digest of its image.
    pub(crate) image_id: String,
}

/// What an action has brought about.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Nothing that the loop has to know.
    None,
    /// The sandbox is there, and its monitor is subscribed to.
    Raised(Subscribed),
    /// The sandbox is gone.
    Gone,
    /// A container was started.
    Started(Box<Started>),
    /// A container was removed.
    Removed,
}

/// How an action went.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) effect: Effect,
}

impl Done {
    fn ok(effect: Effect) -> Done {
        Done { outcome: Outcome::Ok, effect }
    }

    fn failed(reason: Reason, message: String) -> Done {
        let message = crate::error::named(message);
        Done { outcome: Outcome::Failed { reason, message }, effect: Effect::None }
    }
}

/// Does a job in a task of its own; the loop is told of its end.
pub(crate) fn begin(tools: &Arc<Tools>, job: Job) {
    let tools = Arc::clone(tools);
    tokio::spawn(async move {
        let done = perform(&tools, &job).await;
        tools.tell(News::Done(job.subject.uid, job.action, done));
    });
}

async fn perform(tools: &Arc<Tools>, job: &Job) -> Done {
    match &job.action {
        Action::CreateSandbox => match sandbox::create(tools, job).await {
            Ok(subscribed) => Done::ok(Effect::Raised(subscribed)),
            Err(words) => Done::failed(Reason::CreatePodSandboxError, words),
        },
        Action::RemoveSandbox => match dismantle(tools, job.uid(), job.keep).await {
            Ok(()) => Done::ok(Effect::Gone),
            Err(words) => Done::failed(Reason::KillPodSandboxError, words),
        },
        Action::StartContainer { container, attempt } => {
            container::start(tools, job, container, *attempt).await
        }
        Action::StopContainer { container, attempt } => {
            container::stop(job, container, *attempt).await
        }
        Action::KillContainer { container, attempt } => {
            container::kill(job, container, *attempt).await
        }
        Action::RemoveContainer { container, attempt } => {
            container::remove(tools, job, container, *attempt).await
        }
        Action::Probe { container, attempt, kind } => {
            let outcome = probe::probe(tools, job, container, (*attempt, *kind)).await;
            Done { outcome, effect: Effect::None }
        }
    }
}
