//! `make conformance`: the same cases on podvisor-oci, runc and crun, in three columns.
//!
//! A case is a few lines of text in `/tests/conformance/*.case` (see `case.rs` for the words). Each
//! case and runtime gets a scope of its own (mount, pid, network, ipc, uts and cgroup namespaces,
//! an own cgroup subtree), an own bundle and an own `--root`; after it, what it left in the scope
//! is counted. A case that fails on podvisor-oci fails the run; a peer's difference is shown, for a
//! case that all peers fail is suspect itself.
//!
//! Arguments that are no options select cases by a part of their name. PODVISOR_BIN is the folder
//! with podvisor-oci; without it the test build's own is used.

mod case;
mod peers;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use case::Case;
use trial::{Outcome, Workshop};

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance"));
    let mut cases = match case::read_all(&folder) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("conformance: {error}");
            return ExitCode::FAILURE;
        }
    };
    cases.retain(|c| filters.is_empty() || filters.iter().any(|f| c.name.contains(f.as_str())));
    match run(&cases) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cases: &[Case]) -> std::io::Result<bool> {
    let workshop = Workshop::open()?;
    let runtimes = peers::find(workshop.folder())?;
    let width = cases.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
    print!("{:<width$}", "case");
    runtimes.iter().for_each(|r| print!("  {:<12}", r.name));
    println!();
    let mut passed = vec![0usize; runtimes.len()];
    let mut failures = Vec::new();
    for case in cases {
        print!("{:<width$}", case.name);
        for (index, runtime) in runtimes.iter().enumerate() {
            let outcome = workshop.trial(case, runtime)?;
            print!("  {:<12}", outcome.word());
            passed[index] += usize::from(outcome == Outcome::Passed);
            if let Outcome::Failed(why) = outcome {
                failures.push((index, format!("{} on {}: {why}", case.name, runtime.name)));
            }
        }
        println!();
    }
    println!();
    for (runtime, passed) in runtimes.iter().zip(&passed) {
        println!("{:<12} {passed} of {} cases ({})", runtime.name, cases.len(), runtime.version);
    }
    println!();
    failures.iter().for_each(|(_, words)| println!("{words}"));
    let own = failures.iter().filter(|(index, _)| *index == 0).count();
    if own > 0 {
        println!("conformance: {own} cases fail on podvisor-oci");
    }
    Ok(own == 0)
}
