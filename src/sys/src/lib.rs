//! The only door to the kernel: system calls as safe functions, one module a concern.
//!
//! | module | what |
//! |---|---|
//! | [`launch`], [`pid1`], [`spawn`] | processes: a container's child, a pod's PID 1, a program |
//! | [`children`], [`teardown`], [`watch`], [`folder`] | ends, deadlines, many descriptors, files |
//! | [`tree`], [`pin`], [`volume`], [`dir`] | mount trees, pins, volumes, trees of archives |
//! | [`survey`], [`overlay`] | what a file is, stacked folders |
//! | [`stdio`], [`foreground`], [`seqpacket`] | FIFOs, terminals, messages with descriptors |
//! | [`netlink`], [`netns`], [`loopback`], [`port`], [`bpf`] | links, ports, device programs |
//! | [`machine`], [`reboot`] | what PID 1 does to the machine |
//! | [`errno`], [`abi`], [`kernel_file`], [`clock`] | words, numbers, small files, time |
//! | [`pattern`], [`cpus`] | regular expressions, where a process may run |
//! | [`malloc`], [`code`], [`seal`] | a small idle process; its file out of reach |
//!
//! Start at [`launch`]. Invariants: nothing unsafe is to be had from outside; descriptors are owned
//! and close-on-exec; a process is known by pidfd, or pid and start time. Here and in `child` alone
//! may code be unsafe: one operation a block, and SAFETY says who keeps the invariant.
//! Not here: what any of it is for. Nothing here knows of containers, images or pods' manifests.

pub mod abi;
pub mod bpf;
pub mod children;
pub mod clock;
pub mod code;
pub mod cpus;
pub mod dir;
mod errand;
pub mod errno;
pub mod folder;
pub mod foreground;
pub mod kernel_file;
pub mod launch;
pub mod locked;
pub mod loopback;
pub mod machine;
pub mod malloc;
pub mod nameless;
pub mod netlink;
pub mod netns;
pub mod overlay;
pub mod pattern;
pub mod pid1;
pub mod pin;
pub mod port;
mod program_file;
pub mod reboot;
pub mod seqpacket;
pub mod spawn;
pub mod start;
pub mod stdio;
pub mod survey;
pub mod teardown;
pub mod tree;
pub mod volume;
pub mod watch;
