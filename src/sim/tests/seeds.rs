//! Runs the seeds, and proves that planted bugs are found.

use sim::{Bug, Failure, Summary, pods, rollouts};

const SEEDS: u64 = 2_000;

type Run = fn(u64, Bug) -> Result<Summary, Failure>;

fn all(run: Run) -> Summary {
    let mut sum = Summary::default();
    for seed in 0..SEEDS {
        match run(seed, Bug::None) {
            Ok(one) => {
                sum.decisions += one.decisions;
                sum.actions += one.actions;
                sum.kills += one.kills;
                sum.starts += one.starts;
            }
            Err(failure) => {
                assert_eq!(run(seed, Bug::None), Err(failure.clone()), "a replay differs");
                panic!("{failure}\nreplay: PODVISOR_SIM_SEED={seed} cargo test -p sim");
            }
        }
    }
    sum
}

#[test]
fn pods_keep_every_promise() {
    let sum = all(pods::run);
    println!("{sum:?}");
    // The worlds are not idle: faults happened, and were survived.
    assert!(sum.kills > SEEDS && sum.starts > 4 * SEEDS, "{sum:?}");
}

#[test]
fn rollouts_keep_every_promise() {
    let sum = all(rollouts::run);
    println!("{sum:?}");
    assert!(sum.kills > SEEDS && sum.actions > 5 * SEEDS, "{sum:?}");
}

/// The first failure of a planted bug, which must replay to the letter.
fn found(run: Run, bug: Bug) -> Failure {
    let failure = (0..200).find_map(|seed| run(seed, bug).err());
    let failure = failure.unwrap_or_else(|| panic!("{bug:?} was not found in 200 seeds"));
    assert_eq!(run(failure.seed, bug), Err(failure.clone()), "a replay differs");
    assert!(run(failure.seed, Bug::None).is_ok(), "the seed fails without the bug too");
    failure
}

#[test]
fn planted_bugs_are_found() {
    let bugs = [
        (Bug::ForgetInFlight, "already in flight"),
        (Bug::ForgetBackoff, "too early"),
        (Bug::ForgetDeletion, "of a deleted pod"),
        (Bug::ForgetMemory, ""),
    ];
    for (bug, word) in bugs {
        let failure = found(pods::run, bug);
        println!("{bug:?}: seed {} {}", failure.seed, failure.what);
        let named = failure.what.contains(word) || failure.what.contains("deleted pod");
        assert!(named, "{bug:?}: {}", failure.what);
    }
}

#[test]
fn a_rollout_that_forgets_pods_is_found() {
    let failure = found(rollouts::run, Bug::ForgetInFlight);
    assert!(failure.what.contains("promised") || failure.what.contains("complete"));
}

/// `PODVISOR_SIM_SEED=n` replays one seed and prints its story.
#[test]
fn replay() {
    let Some(seed) = std::env::var("PODVISOR_SIM_SEED").ok().and_then(|s| s.parse().ok()) else {
        return;
    };
    for run in [pods::run as Run, rollouts::run] {
        match run(seed, Bug::None) {
            Ok(summary) => println!("seed {seed}: {summary:?}"),
            Err(failure) => panic!("{failure}"),
        }
    }
}
