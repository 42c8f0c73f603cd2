//! Tests of tarball.
