//! Has the linker put the functions that `run`, `exec` and the rest of a container's life call
//! beside one another: the kernel maps a program in pieces of 64 KiB, one fault each.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=order.ld");
    // What is built to be debugged has each function in a section of its own, too, and many more.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("order.ld");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    }
}
