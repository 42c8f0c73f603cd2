//! The OCI specification types in use.

pub use oci_spec::{image, runtime};
