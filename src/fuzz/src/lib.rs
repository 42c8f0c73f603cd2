//! Seeded mutation of a corpus, for tests that must hold for any input.
//!
//! [`run`] takes the files of `/tests/fuzz/TARGET`, tries each as it is and then mutations of
//! them: bytes and bits changed, numbers at their edges, pieces repeated, cut, and crossed with
//! another file's. `cargo test` does a fixed number with a fixed seed; PODVISOR_FUZZ_SECONDS makes
//! it go on for that long with a seed of its own. The input of a failure stays in a file, which
//! the words of the failure name: put it into the corpus with the fix.
//!
//! Not here: coverage. That takes instrumentation which a stable compiler does not offer without
//! unsafe code; the corpora hold one file a kind of input instead. Dev-only.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Mutations tried when no time is given.
const FEW: u64 = 1500;
/// An input that takes longer is a finding.
const SLOW: Duration = Duration::from_secs(5);
/// Longest input that mutations grow to, in bytes.
const LENGTH_MAX: usize = 1 << 16;

/// Bytes of an input that are printed when it fails.
const SHOWN: usize = 4096;

/// Words that parsers look for, and numbers at the edges of their types.
const WORDS: [&str; 24] = [
    "0",
    "-1",
    "1",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "9223372036854775808",
    "0-4294967295",
    "max",
    "..",
    "/",
    ":",
    ",",
    "\n",
    "\0",
    " ",
    "\\040",
    "null",
    "[]",
    "{}",
    "\"\"",
    "1e308",
    "-",
    "\u{e9}",
];

/// Calls `check` with inputs of `target`.
///
/// # Panics
/// When `check` does or takes longer than five seconds, and when the corpus is missing.
pub fn run(target: &str, check: impl Fn(&[u8])) {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz"));
    let folder = folder.join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().filter_map(|p| fs::read(p).ok()).collect();
    assert!(!corpus.is_empty(), "{} is empty", folder.display());
    corpus.iter().for_each(|input| attempt(target, input, &check));

    let seconds = std::env::var("PODVISOR_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let (begun, mut dice) = (Instant::now(), Dice(1));
    let mut tried = 0;
    if seconds.is_some() {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        dice = Dice(since.map_or(1, |d| d.as_nanos() as u64));
    }
    while seconds.map_or(tried < FEW, |s| begun.elapsed() < Duration::from_secs(s)) {
        attempt(target, &mutated(&corpus, &mut dice), &check);
        tried += 1;
    }
    println!("{target}: {} files, {tried} mutations", corpus.len());
}

fn attempt(target: &str, input: &[u8], check: &impl Fn(&[u8])) {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| check(input)));
    if outcome.is_ok() && begun.elapsed() < SLOW {
        return;
    }
    let path = std::env::temp_dir().join(format!("fuzz-{target}-{}", std::process::id()));
    let kept = fs::write(&path, input);
    // A scope's files go with it.
    println!("{target}: {}", input[..input.len().min(SHOWN)].escape_ascii());
    println!("{target}: input kept in {} ({kept:?}), {:?}", path.display(), begun.elapsed());
    match outcome {
        Err(panic) => resume_unwind(panic),
        Ok(()) => panic!("{target}: an input took {:?}", begun.elapsed()),
    }
}

fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(input.len() + 1);
        let to = at + dice.below(input.len() - at + 1).min(64);
        match dice.below(8) {
            0 if at < input.len() => input[at] = dice.bits() as u8,
            1 if at < input.len() => input[at] ^= 1 << dice.below(8),
            2 => drop(input.splice(at..to, WORDS[dice.below(WORDS.len())].bytes())),
            3 => drop(input.splice(at..at, WORDS[dice.below(WORDS.len())].bytes())),
            4 => drop(input.drain(at..to)),
            5 => {
                let piece = input[at..to].repeat(1 + dice.below(40));
                drop(input.splice(at..at, piece));
            }
            6 => input.truncate(at),
            _ => replace_number(&mut input, at, dice),
        }
        if dice.below(8) == 0 {
            let other = &corpus[dice.below(corpus.len())];
            let from = dice.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        input.truncate(LENGTH_MAX);
    }
    input
}

/// The first number behind `at` becomes one at an edge.
fn replace_number(input: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let digits = |b: &u8| b.is_ascii_digit();
    let Some(start) = input[at.min(input.len())..].iter().position(digits).map(|p| p + at) else {
        return;
    };
    let end = input[start..].iter().position(|b| !digits(b)).map_or(input.len(), |p| p + start);
    let shift = dice.below(65) as u32;
    let edge = 1u64.checked_shl(shift).unwrap_or(0).wrapping_sub(dice.below(3) as u64);
    drop(input.splice(start..end, edge.to_string().into_bytes()));
}

/// A small deterministic generator (SplitMix64), made of its seed.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when that is 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }
}
