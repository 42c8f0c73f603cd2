//! A connection to systemd: its private socket, or the system bus where that is all there is.
//!
//! Blocking, one call at a time, everything before one deadline. No signals are asked for: what a
//! job has brought about is looked for in the kernel.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use super::Error;
use super::wire::{self, Answer, Body, FIXED, Method};

/// systemd's own, which root may use; no bus daemon is needed.
const PRIVATE: &str = "/run/systemd/private";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// Of an answer to AUTH.
const LONGEST_LINE: usize = 512;

const HELLO: Method = Method {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
    signature: "",
};

/// Whoever takes our calls.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    pub(super) deadline: Instant,
    serial: u32,
}

impl Bus {
    /// Connects and says who we are; everything that is asked is answered before `deadline`.
    pub(super) fn open(deadline: Instant) -> Result<Bus, Error> {
        let through_bus = !Path::new(PRIVATE).exists();
        let path = Path::new(if through_bus { SYSTEM_BUS } else { PRIVATE });
        let failed = |source| Error::Connect { path: path.to_owned(), source };
        let left = deadline.saturating_duration_since(Instant::now());
        let stream = sys::tree::connect_stream_within(path, left);
        let stream = stream.map_err(in_time).map_err(failed)?;
        let mut bus = Bus { stream: stream.into(), deadline, serial: 0 };
        bus.authenticate().map_err(failed)?;
        if through_bus {
            bus.call(&HELLO, &Body::default())?;
        }
        Ok(bus)
    }

    /// "EXTERNAL": the kernel vouches for our uid, in hexadecimal ASCII.
    fn authenticate(&mut self) -> std::io::Result<()> {
        let uid = sys::seqpacket::own_uid().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.limit()?;
        // With BEGIN in the same write: a message that systemd has read together with BEGIN lies
        // there until there is something more to read.
        let words = format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n");
        self.stream.write_all(words.as_bytes()).map_err(in_time)?;
        let (mut line, mut length) = ([0; LONGEST_LINE], 0);
        while !line[..length].ends_with(b"\r\n") {
            length += self.some(&mut line[length..])?;
        }
        if line.starts_with(b"OK") { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
    }

    /// Calls a method and waits for its end.
    pub(super) fn call(&mut self, method: &Method, body: &Body) -> Result<(), Error> {
        self.serial += 1;
        let failed = |source| Error::Call { method: method.member, source };
        self.limit().map_err(failed)?;
        let message = wire::call(method, self.serial, &body.0);
        self.stream.write_all(&message).map_err(in_time).map_err(failed)?;
        loop {
            match self.next(self.serial).map_err(failed)? {
                Answer::Done => return Ok(()),
                Answer::Other => {}
                Answer::Refused { name, words } => {
                    return Err(Error::Refused { method: method.member, name, words });
                }
            }
        }
    }

    fn next(&mut self, serial: u32) -> std::io::Result<Answer> {
        let mut start = [0; FIXED];
        self.fill(&mut start)?;
        let rest = wire::rest(&start).ok_or(ErrorKind::InvalidData)?;
        let mut message = start.to_vec();
        message.resize(FIXED + rest, 0);
        self.fill(&mut message[FIXED..])?;
        wire::answer(&message, serial).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> std::io::Result<()> {
        while !buffer.is_empty() {
            let count = self.some(buffer)?;
            buffer = &mut buffer[count..];
        }
        Ok(())
    }

    /// At least one byte.
    fn some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            self.limit()?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => return other.map_err(in_time),
            }
        }
    }

    /// What is left of the time is the limit of the next read and write.
    fn limit(&self) -> std::io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.set_write_timeout(Some(left))
    }
}

/// What a socket whose limit has passed says.
fn in_time(error: std::io::Error) -> std::io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}
