//! How long an ended container waits before it is started again.
//!
//! Source: 40-pods "Back-off": the first restart at once, then 10 s, doubling to 300 s, forgotten
//! after a run of more than 600 s; the time counts from the finish. All four numbers are settable
//! for the host and, by annotation, for a pod.

use crate::Millis;
use crate::console;
use crate::manifest::ObjectMeta;
use serde::{Deserialize, Serialize};

/// Annotation: wait before the second restart, as in `10s`.
pub const INITIAL: &str = "podvisor/backoff-initial";
/// Annotation: factor from one wait to the next, as in `2` or `1.5`.
pub const FACTOR: &str = "podvisor/backoff-factor";
/// Annotation: longest wait.
pub const MAXIMUM: &str = "podvisor/backoff-max";
/// Annotation: a run longer than this forgets what was before.
pub const RESET: &str = "podvisor/backoff-reset";

/// The numbers of a back-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackoffPolicy {
    /// Wait before the second restart, in milliseconds; the first restart is immediate.
    pub initial_ms: Millis,
    /// Factor in percent: 200 doubles.
    pub factor_percent: u32,
    /// Longest wait, in milliseconds.
    pub max_ms: Millis,
    /// A run longer than this, in milliseconds, starts over.
    pub reset_ms: Millis,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        BackoffPolicy {
            initial_ms: 10_000,
            factor_percent: 200,
            max_ms: 300_000,
            reset_ms: 600_000,
        }
    }
}

impl BackoffPolicy {
    /// Wait after the `failures`-th end in a row: nothing after the first.
    pub fn delay_ms(&self, failures: u32) -> Millis {
        if failures <= 1 { 0 } else { self.retry_ms(failures - 1) }
    }

    /// Wait after the `failures`-th failed attempt to do something that has no free first retry
    /// (find an image, make a sandbox).
    pub fn retry_ms(&self, failures: u32) -> Millis {
        let mut delay = self.initial_ms.min(self.max_ms);
        for _ in 1..failures.min(64) {
            delay = (delay.saturating_mul(u64::from(self.factor_percent)) / 100).min(self.max_ms);
        }
        delay
    }

    /// The policy of a pod: the host's, changed by the pod's annotations. A value that cannot be
    /// read is not used; `manifest::parse` has refused it.
    pub fn for_pod(self, metadata: &ObjectMeta) -> BackoffPolicy {
        let text = |key: &str| metadata.annotations.get(key);
        let time = |key: &str, host: Millis| {
            text(key).and_then(|value| duration_ms(value)).unwrap_or(host)
        };
        BackoffPolicy {
            initial_ms: time(INITIAL, self.initial_ms),
            factor_percent: text(FACTOR)
                .and_then(|value| factor(value))
                .unwrap_or(self.factor_percent),
            max_ms: time(MAXIMUM, self.max_ms),
            reset_ms: time(RESET, self.reset_ms),
        }
    }
}

/// Reads `500ms`, `10s`, `5m`, `1h` or their sums (`1m30s`), in milliseconds.
pub fn duration_ms(text: &str) -> Option<Millis> {
    let mut rest = text;
    let mut total: Millis = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        let number: Millis = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match &rest[..unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

/// Reads a factor from 1 to 100 in percent.
fn factor(text: &str) -> Option<u32> {
    let nano = crate::quantity::Quantity::parse(text).ok()?.nano();
    let percent = u32::try_from(nano / 10_000_000).ok()?;
    (100..=10_000).contains(&percent).then_some(percent)
}

/// Checks one annotation: `Err((problem, hint))` when it is podvisor's and cannot be used.
pub(crate) fn check_annotation(key: &str, value: &str) -> Result<(), (String, String)> {
    const KNOWN: &[&str] = &[INITIAL, FACTOR, MAXIMUM, RESET, console::SIZE];
    let good = match key {
        INITIAL | MAXIMUM | RESET => duration_ms(value).is_some(),
        FACTOR => factor(value).is_some(),
        console::SIZE => console::parse(value).is_some(),
        _ if key.starts_with("podvisor/") => {
            let near = crate::manifest::nearest(key, KNOWN.iter().copied());
            let hint = near.map_or_else(
                || format!("known: {}", KNOWN.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            return Err((format!("annotation {key} is not known to podvisor"), hint));
        }
        _ => true,
    };
    if good {
        return Ok(());
    }
    let form = match key {
        FACTOR => "a number from 1 to 100",
        console::SIZE => "rows and columns, as in 24x80",
        _ => "as in 500ms, 10s or 5m",
    };
    Err((format!("annotation {key}: {value:?} cannot be read"), form.to_owned()))
}
