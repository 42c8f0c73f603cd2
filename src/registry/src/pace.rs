//! An end to bodies that drip: how many bytes must come in what time.
//!
//! Only the time spent waiting for the server counts, not what the reader does with the bytes.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::Cancel;

/// The slowest body that is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Longest silence.
    pub silence: Duration,
    /// Over each such time of waiting …
    pub window: Duration,
    /// … so many bytes must come.
    pub bytes: u64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { silence: Duration::from_secs(30), window: Duration::from_secs(30), bytes: 30 << 10 }
    }
}

/// Follows one body.
#[derive(Debug)]
pub(crate) struct Meter {
    pace: Pace,
    waited: Duration,
    came: u64,
}

impl Meter {
    pub(crate) fn new(pace: Pace) -> Meter {
        Meter { pace, waited: Duration::ZERO, came: 0 }
    }

    /// Notes a read; false when the body is too slow.
    pub(crate) fn note(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.came += bytes as u64;
        if self.waited < self.pace.window {
            return true;
        }
        let fast = self.came >= self.pace.bytes;
        (self.waited, self.came) = (Duration::ZERO, 0);
        fast
    }
}

/// A body that must keep the pace.
#[derive(Debug)]
pub(crate) struct Paced<R> {
    reader: R,
    meter: Meter,
    cancel: Cancel,
}

impl<R: Read> Paced<R> {
    pub(crate) fn new(reader: R, pace: Pace, cancel: Cancel) -> Paced<R> {
        Paced { reader, meter: Meter::new(pace), cancel }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let count = if self.cancel.is_cancelled() { Ok(0) } else { self.reader.read(buffer) };
        // A connection that was shut down looks like the end of a body without a length.
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        let count = count?;
        if self.meter.note(begun.elapsed(), count) {
            return Ok(count);
        }
        let Pace { window, bytes, .. } = self.meter.pace;
        let words = format!("less than {bytes} bytes came in {} s", window.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_ends_and_a_busy_reader_does_not() {
        let second = Duration::from_secs(1);
        let mut meter = Meter::new(Pace::default());
        assert_eq!((0..100).take_while(|_| meter.note(second, 100)).count(), 29);
        let mut meter = Meter::new(Pace::default());
        assert!((0..100).all(|_| meter.note(second, 2 << 10)));
        let mut meter = Meter::new(Pace::default());
        assert!((0..1_000_000).all(|_| meter.note(Duration::from_micros(1), 1)));
    }
}
