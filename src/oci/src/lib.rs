//! The OCI specifications' types in use, the state document, and validation.
//!
//! [`runtime`] and [`image`] are oci-spec's types, which [`document`] reads; [`state`] is what
//! `state` prints and hooks read; [`validate`] reports everything that is wrong with a config.json
//! at once, by field path. Pure: no kernel, no files. May be touched: a rule belongs here when the
//! document alone decides it.

pub use oci_spec::{image, runtime};

pub mod core_scheduling;
pub mod document;
pub mod duration;
mod id_range;
pub mod idmap;
pub mod landlock;
pub mod profile;
pub mod state;
pub mod validate;

pub use id_range::IdRange;
pub use state::{State, Status};
pub use validate::Finding;
