//! Durations and sizes as people read them. Pure.

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

/// Bytes of a size as people write it: `20GiB`, `500MB`, `1.5G`, `4096`.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let (letter, base) = match unit.strip_suffix("ib") {
        Some(letter) => (letter, 1024.0),
        // A bare letter is docker's: a power of 1,024.
        None => match unit.strip_suffix('b') {
            Some(letter) => (letter, 1000.0),
            None => (unit.as_str(), 1024.0),
        },
    };
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * f64::powi(base, power);
    (bytes.is_finite() && (0.0..9e18).contains(&bytes)).then_some(bytes as u64)
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
    fn sizes_are_short() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1_572_864), "1.5 MiB");
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("4096", Some(4096)),
            ("1k", Some(1024)),
            ("1.5KiB", Some(1536)),
            ("500MB", Some(500_000_000)),
            ("20GiB", Some(20 << 30)),
            ("2t", Some(2 << 40)),
            ("GiB", None),
            ("-1", None),
            ("1x", None),
            ("infMB", None),
            ("1e30", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }
}
