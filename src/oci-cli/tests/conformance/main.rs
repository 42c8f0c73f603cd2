//! `make conformance`: the same cases on podvisor-oci, runc and crun, in three columns.
//!
//! A case is a few lines of text in `/tests/conformance/*.case` (see `case.rs` for the words). Each
//! case and runtime gets a scope of its own (mount, pid, network, ipc, uts and cgroup namespaces,
//! an own cgroup subtree), an own bundle and an own `--root`; after it, what it left in the scope
//! is counted. Several run at a time; what then goes wrong is tried once more alone, and told.
//!
//! The run fails when a case fails on podvisor-oci; when a peer of the judged versions fails one
//! without a `differs` line, or passes one that has it; and when the table of differences in
//! `docs/runtime.md` is not the one that the cases give (PODVISOR_WRITE=1 writes it).
//!
//! Arguments that are no options select cases by a part of their name. Environment: PODVISOR_BIN,
//! the folder with podvisor-oci (else the test build's own); PODVISOR_CASES, the folder of the
//! cases; PODVISOR_ALONE, set on a machine that has nothing else to do: no scope is made then;
//! PODVISOR_PEERS, whether the peers run there; PODVISOR_PART, "0/2" and "1/2" for half the cases.

mod case;
mod peers;
mod table;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use case::Case;
use peers::Runtime;
use trial::{Outcome, Workshop};

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let folder = std::env::var_os("PODVISOR_CASES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance")),
        PathBuf::from,
    );
    let run = || -> std::io::Result<bool> {
        refuse_alone()?;
        let mut cases = case::read_all(&folder)?;
        let mut fine = true;
        if filters.is_empty() && std::env::var_os("PODVISOR_ALONE").is_none() {
            fine = table::check(&cases)?;
        }
        let chosen = |c: &Case| filters.iter().any(|f| c.name.contains(f.as_str()));
        cases.retain(|c| filters.is_empty() || chosen(c));
        if let Some(part) = std::env::var_os("PODVISOR_PART") {
            cases = part_of(cases, &part.to_string_lossy())?;
        }
        Ok(run(&cases)? && fine)
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Without a scope the cases are on the host itself: for a machine of `tests/vm` alone, which says
/// so on its command line.
fn refuse_alone() -> std::io::Result<()> {
    let words = std::fs::read_to_string("/proc/cmdline")?;
    if std::env::var_os("PODVISOR_ALONE").is_none()
        || words.split_whitespace().any(|word| word == "podvisor.alone")
    {
        return Ok(());
    }
    Err(std::io::Error::other("PODVISOR_ALONE: not here, there may be others on this machine"))
}

/// Each nth case, from the `at`th on, as "AT/N" says: several machines share the cases.
fn part_of(cases: Vec<Case>, part: &str) -> std::io::Result<Vec<Case>> {
    let numbers =
        part.split_once('/').and_then(|(at, n)| Some((at.parse().ok()?, n.parse().ok()?)));
    let (at, n): (usize, usize) = numbers
        .filter(|(_, n)| *n > 0)
        .ok_or_else(|| std::io::Error::other(format!("PODVISOR_PART={part}: want AT/N")))?;
    Ok(cases.into_iter().skip(at).step_by(n).collect())
}

fn run(cases: &[Case]) -> std::io::Result<bool> {
    let workshop = Workshop::open();
    let runtimes = peers::find(workshop.folder())?;
    let width = cases.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
    print!("{:<width$}", "case");
    runtimes.iter().for_each(|r| print!("  {:<12}", r.name));
    println!();
    let mut passed = vec![0usize; runtimes.len()];
    let (mut at, mut doubtful) = (0, Vec::new());
    in_order(cases, &runtimes, &workshop, |case, outcomes| {
        print!("{:<width$}", case.name);
        for (index, outcome) in outcomes.iter().enumerate() {
            let runtime = &runtimes[index];
            passed[index] += usize::from(*outcome == Outcome::Passed);
            let (word, problem) = judge(case, runtime, outcome);
            print!("  {word:<12}");
            doubtful.extend(problem.map(|problem| (at, index, problem)));
        }
        at += 1;
        println!();
    })?;
    // A crowd of trials on a slow machine upsets what waits for an instant: once more, alone.
    let mut wrong = Vec::new();
    for (number, (at, index, first)) in doubtful.into_iter().enumerate() {
        let (case, runtime) = (&cases[at], &runtimes[index]);
        let outcome = workshop.trial(case, runtime, cases.len() * runtimes.len() + number);
        let name = format!("{} on {}", case.name, runtime.name);
        match judge(case, runtime, &outcome).1 {
            Some(problem) => wrong.push(format!("{name}: {problem}")),
            None => println!("\n{name}: only alone; among others: {first}"),
        }
    }
    println!();
    for (runtime, passed) in runtimes.iter().zip(&passed) {
        println!("{:<12} {passed} of {} cases ({})", runtime.name, cases.len(), runtime.version);
    }
    println!();
    wrong.iter().for_each(|words| println!("{words}"));
    if !wrong.is_empty() {
        println!("conformance: {} findings", wrong.len());
    }
    Ok(wrong.is_empty())
}

/// The word for the column, and what is wrong with that, if anything.
fn judge(case: &Case, runtime: &Runtime, outcome: &Outcome) -> (&'static str, Option<String>) {
    let known = case.differs.iter().find(|d| d.runtime == runtime.name);
    match (outcome, known) {
        (Outcome::NotHere, _) => ("-", None),
        (Outcome::Untried(why), _) => ("FAIL", Some(why.clone())),
        (Outcome::Passed, Some(d)) if runtime.is_judged_by(case) && !d.unsteady => {
            ("ok?", Some(format!("passes, but is said to differ: {}", d.reason)))
        }
        (Outcome::Passed, _) => ("ok", None),
        (Outcome::Failed(_), Some(_)) => ("differs", None),
        (Outcome::Failed(_), None) if !runtime.is_judged_by(case) => ("differs", None),
        (Outcome::Failed(why), None) => ("FAIL", Some(why.clone())),
    }
}

/// Tries every case on every runtime, a few at a time; tells of each case in the cases' order.
fn in_order(
    cases: &[Case],
    runtimes: &[Runtime],
    workshop: &Workshop,
    mut tell: impl FnMut(&Case, &[Outcome]),
) -> std::io::Result<()> {
    let alone = workshop.alone();
    let workers = if alone { 1 } else { 4 };
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let sender = Mutex::new(sender);
    std::thread::scope(|threads| {
        for _ in 0..workers {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number / runtimes.len()) else { return };
                    let outcome = workshop.trial(case, &runtimes[number % runtimes.len()], number);
                    let Ok(sender) = sender.lock() else { return };
                    if sender.send((number, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        let mut waiting = std::collections::BTreeMap::new();
        let mut told = 0;
        while told < cases.len() {
            let (number, outcome) = results.recv().map_err(std::io::Error::other)?;
            waiting.insert(number, outcome);
            loop {
                let mine = told * runtimes.len()..(told + 1) * runtimes.len();
                if waiting.range(mine.clone()).count() < runtimes.len() {
                    break;
                }
                let outcomes: Vec<_> = mine.filter_map(|n| waiting.remove(&n)).collect();
                tell(&cases[told], &outcomes);
                told += 1;
            }
        }
        Ok(())
    })
}
