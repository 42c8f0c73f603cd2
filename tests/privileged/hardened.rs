//! Hosts that allow less than others.

use std::fs;

use crate::trial::Trial;

/// The sysctl is of the PID namespace, here the scope's own.
/// Red without `without_name` in `src/sys/src/program_file.rs`.
#[test]
fn a_host_that_executes_no_files_in_memory() {
    let Some(scope) = scope::enter("hardened::a_host_that_executes_no_files_in_memory") else {
        return;
    };
    let trial = Trial::new(scope, &["echo", "begun"]);
    let bundle = trial.path("b").display().to_string();
    let before = trial.traces();
    fs::write("/proc/sys/vm/memfd_noexec", "2").expect("vm.memfd_noexec");
    assert_eq!(trial.oci(&["run", "--bundle", &bundle, "c"]).ok(), "begun\n");
    trial.clean(&before, "a host without executable memfds");
}
