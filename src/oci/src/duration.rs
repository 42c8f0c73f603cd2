//! Durations as Go writes them, and so the flags of its programs and the files they read: `1m30s`,
//! `1.5h`, `100ms`. Pure.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// Digits of a fraction that count: an hour's are nanoseconds behind the 13th.
const FRACTION_DIGITS: usize = 13;

/// Reads a duration of whole nanoseconds: numbers with a unit each, added up, or `0`. `None` for
/// what is none, for less than nothing, and for more than Go's 292 years.
///
/// Source: Go's `time.ParseDuration`.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, 0u64);
    while !rest.is_empty() || text.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, behind) = rest.split_at(number);
        let unit = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (name, next) = behind.split_at(unit);
        let (_, unit_ns) = UNITS.iter().find(|(known, _)| *known == name)?;
        total = total.checked_add(part(digits, *unit_ns)?)?;
        rest = next;
    }
    i64::try_from(total).is_ok().then(|| Duration::from_nanos(total))
}

/// Nanoseconds of a decimal number of units; what is less than one is dropped.
fn part(digits: &str, unit_ns: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return None;
    }
    let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let below = u128::from(number(fraction)?) * u128::from(unit_ns) / scale;
    number(whole)?.checked_mul(unit_ns)?.checked_add(u64::try_from(below).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, ns) in [
            ("0", 0),
            ("0s", 0),
            ("100ms", 100_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1us1\u{b5}s1\u{3bc}s", 3_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("1.1ns", 1),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(ns)), "{text}");
        }
        for wrong in [
            "",
            "+",
            "5",
            "1m30",
            "s",
            ".s",
            "1.2.3s",
            "5d",
            "-1s",
            "1 s",
            "++1s",
            "1m-3s",
            "9223372036854775808ns",
            "2562048h",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
