//! Targets of `make fuzz`: functions that must hold for any input, each with a folder of its own
//! in `/tests/fuzz`.
//!
//! [`targets!`](crate::targets) names those of a crate, in its tests. `cargo test` calls each with
//! the files of its corpus ([`replay`]). Compiled with `--cfg fuzzing` the same tests are a program
//! of libFuzzer's, which `FUZZ_TARGET` tells what to call; `/tests/fuzz/run.sh` compiles and runs
//! those. A crate that has targets says `#![cfg_attr(all(test, fuzzing), no_main)]`, since `main`
//! is libFuzzer's then, and has `libfuzzer-sys` for its tests under `cfg(fuzzing)`.
//!
//! Not here: mutation and coverage. Dev-only.

mod dice;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use dice::Dice;

/// An input that takes longer is a finding.
const SLOW: Duration = Duration::from_secs(5);

/// What is called with each input; it panics where something does not hold.
pub type Check = fn(&[u8]);

/// Makes functions `fn(&[u8])` the targets of their names: of each a test `NAME::corpus`, and for
/// libFuzzer the choice between them. Those behind `;` have a test of their own, which calls
/// [`replay`]. Once a crate.
#[macro_export]
macro_rules! targets {
    ($($check:ident),* $(; $by_hand:ident),*) => {
        $(
            #[cfg(not(fuzzing))]
            mod $check {
                #[test]
                fn corpus() {
                    $crate::replay(stringify!($check), super::$check);
                }
            }
        )*
        #[cfg(fuzzing)]
        static CHOSEN: ::std::sync::LazyLock<$crate::Check> = ::std::sync::LazyLock::new(|| {
            $crate::chosen(&[
                $((stringify!($check), $check as $crate::Check),)*
                $((stringify!($by_hand), $by_hand as $crate::Check),)*
            ])
        });
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|input: &[u8]| (*CHOSEN)(input));
    };
}

/// The one of `targets` that `FUZZ_TARGET` names.
///
/// # Panics
/// When it names none of them.
pub fn chosen(targets: &[(&str, Check)]) -> Check {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = targets.iter().find(|(target, _)| folder_name(target) == name);
    let names: Vec<String> = targets.iter().map(|(target, _)| folder_name(target)).collect();
    found.unwrap_or_else(|| panic!("FUZZ_TARGET={name} is none of {names:?}")).1
}

/// Calls `check` with each file of the corpus of `target`, in the order of their names.
///
/// # Panics
/// When `check` does or takes longer than five seconds, the file named before; when there is no
/// file.
pub fn replay(target: &str, check: Check) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz"));
    let folder = folder.join(folder_name(target));
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        let input = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&input)));
        if let Err(panic) = outcome {
            println!("{target}: {} failed", path.display());
            resume_unwind(panic);
        }
        let took = begun.elapsed();
        assert!(took < SLOW, "{target}: {} took {took:?}", path.display());
    }
}

fn folder_name(target: &str) -> String {
    target.replace('_', "-")
}
