//! Conversions between the units of config.json (those of cgroup v1) and cgroup v2. Pure.

/// cpu.shares (2..=262144, 1024 usual) to cpu.weight (1..=10000, 100 usual).
///
/// The quadratic curve in the exponent that runc and crun agreed on in 2025, so that 1024 becomes
/// 100 and the ends meet; 0 means "unset" and gives `None`.
/// Source: opencontainers/cgroups `ConvertCPUSharesToCgroupV2Value`, KEP-2254.
pub(crate) fn weight_from_shares(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1..=2 => Some(1),
        3..=262_143 => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            Some(10f64.powf(exponent).ceil() as u64)
        }
        _ => Some(10_000),
    }
}

/// `cpu.max`: "QUOTA PERIOD" in microseconds; no quota or a negative one is "max".
pub(super) fn cpu_max(quota_us: Option<i64>, period_us: Option<u64>) -> Option<String> {
    let quota = match quota_us {
        None | Some(0) => None,
        Some(q) if q < 0 => Some("max".to_owned()),
        Some(q) => Some(q.to_string()),
    };
    let period = period_us.filter(|p| *p != 0);
    match (quota, period) {
        (None, None) => None,
        (quota, period) => {
            let quota = quota.unwrap_or_else(|| "max".to_owned());
            Some(format!("{quota} {}", period.unwrap_or(100_000)))
        }
    }
}

/// A byte or count limit of v2: negative is "max".
pub(super) fn or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// v1's memory+swap total to v2's swap alone.
///
/// # Errors
/// Words, when a total is given without a memory limit or below it.
pub(super) fn swap_from_total(total: i64, limit: Option<i64>) -> Result<Option<String>, String> {
    match (total, limit) {
        (0, _) => Ok(None),
        (t, _) if t < 0 => Ok(Some("max".to_owned())),
        (_, None | Some(0)) => Err("needs memory.limit: cgroup v2 counts swap alone".to_owned()),
        (_, Some(l)) if l < 0 => Err("a swap total needs a memory.limit above zero".to_owned()),
        (t, Some(l)) if t < l => Err(format!("{t} is below memory.limit {l}")),
        (t, Some(l)) => Ok(Some((t - l).to_string())),
    }
}

/// blkio weight (10..=1000) to io.weight (1..=10000); 0 is unset.
pub(super) fn io_weight(blkio: u16) -> Option<u64> {
    match blkio {
        0 => None,
        w => Some(1 + u64::from(w.clamp(10, 1000) - 10) * 9999 / 990),
    }
}
