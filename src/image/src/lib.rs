//! Images: from archives of strangers to folders that overlayfs stacks.
//!
//! Start at [`Store`] (`store.rs`: folders and locks). Then the way of a load: `load.rs` reads an
//! archive into blobs (`blobs.rs`) and documents (`document.rs`), `unpack.rs` runs `pipeline.rs`,
//! `tarball.rs` and `extract.rs` a layer, `snapshot.rs` keeps the result. `catalog.rs` finds, lists
//! and removes; `pack.rs` writes layers, `workshop.rs` makes images of them; `container.rs` hands
//! snapshots to containers; `user.rs` reads the image's accounts. `pull.rs` brings an image from a
//! registry (crate `registry`), unpacked while it comes; `copy.rs` and `push.rs` bring them there.
//!
//! What must hold: no byte of an image is trusted before its digest is; no name in a layer reaches
//! outside its folder; a failure at any point leaves the store as it was. Touch `extract` and
//! `tarball` only with a test of the hostile archive in mind. Not here: mounting.

#![cfg_attr(all(test, fuzzing), no_main)]

mod blobs;
mod budget;
mod catalog;
mod compression;
mod container;
mod copy;
mod digest;
mod document;
mod error;
mod extract;
mod fault;
mod import;
mod load;
mod mount;
mod pack;
mod pipeline;
mod platform;
mod progress;
mod prune;
mod pull;
mod push;
mod removal;
mod save;
mod side_by_side;
mod side_hasher;
mod snapshot;
mod staging;
mod step_cache;
mod store;
mod tag;
mod tarball;
mod trust;
mod unpack;
mod workshop;

pub mod reference;
pub mod user;

pub use catalog::{Image, ImageSummary, Layer};
pub use compression::Compression;
pub use container::{Rootfs, Used};
pub use copy::{Copied, CopyOptions, Place, Referrer, copy, referrers};
pub use digest::{Digest, Hasher};
pub use error::{Error, Result};
pub use fault::Fault;
pub use import::ImportOptions;
pub use load::{LoadOptions, Loaded};
pub use pack::{Change, ChangeKind, Packing, Times};
pub use platform::Platform;
pub use progress::{Event, Progress, Quiet};
pub use prune::Usage;
pub use pull::{PullFor, PullOptions, expand};
pub use push::Pushed;
pub use registry::{Cancel, PullSecret};
pub use removal::Removed;
pub use save::{SaveFormat, Saved};
pub use store::Store;
pub use trust::Policy;
pub use workshop::{Stack, Workshop};

#[cfg(test)]
mod fuzz_tests;
