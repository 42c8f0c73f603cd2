//! Durations as people write and read them. Pure.

/// A duration in seconds, short: `5s`, `3m20s`, `2h5m`, `9d`.
#[must_use]
pub fn short(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let two = |big: i64, unit: &str, small: i64, less: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{less}"),
    };
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=599 => two(seconds / 60, "m", seconds % 60, "s"),
        600..=10_799 => format!("{}m", seconds / 60),
        10_800..=28_799 => two(seconds / 3600, "h", seconds / 60 % 60, "m"),
        28_800..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The time since an RFC 3339 stamp, short; `-` without one.
#[must_use]
pub fn since(stamp: Option<&str>, now_ns: i64) -> String {
    match stamp.and_then(api::stamp::parse) {
        Some(at) => short(now_ns.saturating_sub(at) / 1_000_000_000),
        None => "-".into(),
    }
}

/// Seconds of `90`, `90s`, `10m`, `2h`, `1d`.
#[must_use]
pub fn parse_seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Bytes for a person: `512 B`, `1.5 MiB`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_writes_them() {
        let cases = [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3600, "60m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (100_000, "27h"),
            (864_000, "10d"),
        ];
        for (seconds, want) in cases {
            assert_eq!(short(seconds), want);
        }
        assert_eq!(since(Some("1970-01-01T00:00:05Z"), 15_000_000_000), "10s");
        assert_eq!(since(None, 0), "-");
        assert_eq!(since(Some("nonsense"), 0), "-");
    }

    #[test]
    fn ages_and_sizes() {
        for (text, want) in [
            ("90", Some(90)),
            ("90s", Some(90)),
            ("2h", Some(7200)),
            ("1d", Some(86_400)),
            ("x", None),
            ("5y", None),
            ("", None),
        ] {
            assert_eq!(parse_seconds(text), want, "{text}");
        }
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1_572_864), "1.5 MiB");
    }
}
