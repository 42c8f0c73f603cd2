//! The two clocks in use: wall time for records, boot time for everything that is measured.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Unix time in nanoseconds; 0 before 1970. Jumps when somebody sets the clock.
#[must_use]
pub fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// CLOCK_BOOTTIME in milliseconds: never jumps, goes on in suspend.
#[must_use]
pub fn boot_ms() -> u64 {
    // The call fails only for a clock that does not exist; Linux has had this one since 2.6.39.
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or((0, 0), |t| (t.tv_sec(), t.tv_nsec()));
    u64::try_from(now.0).unwrap_or(0) * 1000 + u64::try_from(now.1).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_clocks_run() {
        assert!(super::unix_ns() > 1_600_000_000_000_000_000);
        assert!(super::boot_ms() > 0);
    }
}
