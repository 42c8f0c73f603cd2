//! The OCI runtime (front page: rt1).

pub mod cgroup;
pub mod seccomp;
