//! The shell round `pod`: it lists what is, lets `pod` decide, writes the memory down, and acts.
//!
//! Where to start: [`serve`] (from the lock to the end), `turn` (one decision over everything that
//! is due), `act` (what the actions of `pod` do), `requests` (what people ask through [`Handle`]).
//!
//! | part                                  | what it is                                           |
//! |---------------------------------------|------------------------------------------------------|
//! | `serve`, `recover`, `ending`, `lock`  | start, adoption of what runs, orderly end            |
//! | `world`, `turn`, `news`, `requests`   | the loop: one owner of all state, on one thread      |
//! | `act`, `talk`, `link`, `ports`        | the executor: monitors, images, network, probes      |
//! | `store`, `event`                      | what outlives the process                            |
//! | `bundle`, `volumes`, `pod_files`      | a pod's container as the runtime wants it            |
//!
//! Invariants: level-triggered (events only wake, a listing decides); what an action follows from
//! is durable before the action begins; nothing polls; one slow pod never delays another; killing
//! this process at any point loses neither a container nor an exit code.
//! May be touched: everything; what is decided belongs to `pod`, and a step that is not in the
//! database or a pod's folder is lost with the process.
//! It does not decide what is to be done (crate `pod`) and is no parent of a container (crate
//! `monitor`).

mod act;
mod bundle;
mod children;
mod ending;
mod error;
mod event;
mod handle;
mod host;
mod id_pool;
mod link;
mod listing;
mod lock;
mod naming;
mod news;
mod options;
mod pod_files;
mod ports;
mod recover;
mod requests;
mod serve;
mod store;
mod talk;
mod tell;
mod tools;
mod turn;
mod view;
mod volumes;
mod world;

pub use error::{Error, split_hint};
pub use event::Event;
pub use handle::{
    Applied, DeploymentView, ExecTarget, Handle, Outcome, PodView, Result, ShutdownMode,
};
pub use options::{LogRotation, Options, Paths, runtime_program};
pub use serve::serve;
