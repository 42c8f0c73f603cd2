//! The only door to the kernel, one module a concern.

pub mod seqpacket;
