//! What an operation tells while it runs. Showing it is the caller's.

/// A step of a load or import.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The archive is being read; comes about every 4 MiB.
    Reading {
        /// Bytes so far, of the archive's contents.
        bytes: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
    /// Images are being written out; comes about every 4 MiB.
    Writing {
        /// Bytes so far.
        bytes: u64,
    },
    /// A layer is there already and needs no work.
    LayerReused {
        /// Its number, from 1.
        number: usize,
        /// How many the image has.
        count: usize,
        /// Its digest.
        digest: String,
    },
    /// Another process downloads the layer; this one waits for it.
    LayerAwaited {
        /// Its number, from 1.
        number: usize,
        /// How many the image has.
        count: usize,
        /// Its digest.
        digest: String,
    },
    /// A layer comes from a registry; told about every MiB, and at its end.
    Downloading {
        /// Its number, from 1.
        number: usize,
        /// How many the image has.
        count: usize,
        /// Its digest.
        digest: String,
        /// Bytes that are here, those of earlier tries included.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A blob goes to a registry or a folder; told about every MiB. A try that fails begins anew.
    Uploading {
        /// Its number, from 1; the configuration counts as the last one.
        number: usize,
        /// How many there are.
        count: usize,
        /// Its digest.
        digest: String,
        /// Bytes that are read of it.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A blob is where it was to go.
    Uploaded {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        count: usize,
        /// Its digest.
        digest: String,
        /// Bytes in all.
        total: u64,
        /// `sent`, `present` (it was there) or `mounted` (from another repository).
        how: &'static str,
    },
    /// A layer begins to be unpacked.
    LayerStarted {
        /// Its number, from 1.
        number: usize,
        /// How many the image has.
        count: usize,
        /// Its digest.
        digest: String,
        /// Its packed size, bytes.
        size: u64,
    },
    /// A layer is unpacked and verified.
    LayerDone {
        /// Its number, from 1.
        number: usize,
        /// How many the image has.
        count: usize,
        /// Its digest.
        digest: String,
        /// Files, folders and the rest.
        entries: u64,
        /// Bytes of file data.
        bytes: u64,
    },
    /// Everything is being made durable.
    Syncing,
}

/// Takes the steps of an operation, in the caller's thread.
pub trait Progress {
    /// Called for each step.
    fn on(&mut self, event: &Event);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn on(&mut self, _: &Event) {}
}

impl<F: FnMut(&Event)> Progress for F {
    fn on(&mut self, event: &Event) {
        self(event);
    }
}
