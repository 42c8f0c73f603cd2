//! The only door to the kernel, one module a concern.

pub mod abi;
pub mod bpf;
pub mod children;
pub mod clock;
pub mod code;
pub mod dir;
pub mod errno;
pub mod folder;
pub mod foreground;
pub mod kernel_file;
pub mod launch;
pub mod loopback;
pub mod machine;
pub mod malloc;
pub mod netlink;
pub mod pid1;
pub mod pin;
pub mod port;
pub mod reboot;
pub mod seqpacket;
pub mod spawn;
pub mod stdio;
pub mod teardown;
pub mod tree;
pub mod volume;
pub mod watch;
