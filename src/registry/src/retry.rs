//! When a failed request is tried again, and after what time. Pure.

use std::time::Duration;

/// Tries of one request, the first included, unless settings say otherwise.
pub(crate) const TRIES: u32 = 6;
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(20);
/// So much shorter are waits for a server that is not there.
pub(crate) const SHORTER: u32 = 4;
/// The longest wait that a server may ask for.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// Answers that a later try may change.
#[must_use]
pub(crate) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long to wait before try number `tried + 1` of `tries`; `None`: no more. `asked` is the
/// server's Retry-After, `chance` 0 to 255 spreads clients that failed together.
#[must_use]
pub(crate) fn wait(
    (tried, tries): (u32, u32),
    asked: Option<Duration>,
    chance: u8,
) -> Option<Duration> {
    if tried >= tries {
        return None;
    }
    let doubled = FIRST.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(LONGEST);
    let spread = doubled.mul_f64(0.75 + f64::from(chance) / 512.0);
    Some(match asked {
        Some(asked) => asked.min(ASKED_MAX).max(spread.min(Duration::from_millis(100))),
        None => spread,
    })
}

/// The value of `Retry-After`: seconds, or an HTTP date relative to `now` (seconds since 1970).
#[must_use]
pub(crate) fn after(value: &str, now: u64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    date(value).map(|at| Duration::from_secs(at.saturating_sub(now)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970 (RFC 9110, 5.6.7; not its old forms).
pub(crate) fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|m| *m == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|p| p.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let fits = (1970..=9999).contains(&year) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    // A leap second is one.
    let fits = fits && second <= 60;
    if !fits || words.next()? != "GMT" {
        return None;
    }
    // Days of the civil calendar, years counted from March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let plain: Vec<Option<Duration>> = (1..=6).map(|n| wait((n, TRIES), None, 128)).collect();
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(plain, [ms(500), ms(1000), ms(2000), ms(4000), ms(8000), None]);
        assert!(wait((1, TRIES), None, 0).unwrap() < wait((1, TRIES), None, 255).unwrap());
        assert_eq!(wait((1, TRIES), Some(Duration::from_secs(3)), 0), Some(Duration::from_secs(3)));
        assert_eq!(wait((1, TRIES), Some(Duration::from_secs(86_400)), 0), Some(ASKED_MAX));
        assert!(wait((1, TRIES), Some(Duration::ZERO), 0).unwrap() >= Duration::from_millis(100));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(after("7", 0), Some(Duration::from_secs(7)));
        let then = 784_111_777; // from RFC 9110's example
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", then - 5), Some(Duration::from_secs(5)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", then + 5), Some(Duration::ZERO));
        assert_eq!(after("99999999999999999999999", 0), Some(Duration::from_secs(u64::MAX)));
        for bad in ["", "-1", "soon", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 1:1:1 GMT"]
        {
            assert_eq!(after(bad, 0), None, "{bad}");
        }
    }
}
