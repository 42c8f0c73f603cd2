//! Reading a blob: from any place on, again where a connection broke, from the next server where
//! one does not have it.
//!
//! No byte more than the blob's size is delivered, and its end is only told when the server has
//! ended, too. Whether the bytes are the right ones is the caller's to check: by their digest.

use std::io::{self, Read};

use ureq::http::Method;

use crate::error::{Error, Result};
use crate::range::{self, Rest};
use crate::remote::Remote;
use crate::repository::Repository;
use crate::session::{Access, Call, header};

/// A server that sends at least so much between two breaks is asked on and on.
const PROGRESS: u64 = 1 << 20;

/// A blob on its way.
pub struct Blob<'a> {
    remote: &'a Remote,
    digest: String,
    size: u64,
    at: u64,
    /// Where it is to end: the size, or before it.
    end: u64,
    /// Which of the remote's servers is read from.
    server: usize,
    body: Option<Box<dyn Read + Send>>,
    failures: u32,
    /// Where the last failure was.
    broke_at: u64,
}

impl<'a> Blob<'a> {
    pub(crate) fn new(remote: &'a Remote, digest: &str, size: u64, part: (u64, u64)) -> Blob<'a> {
        let digest = digest.to_owned();
        let (at, end) = (part.0.min(size), part.1.min(size));
        let server = remote.first();
        Blob { remote, digest, size, at, end, server, body: None, failures: 0, broke_at: at }
    }

    /// Opens the connection, so that a blob that is not there is told at once.
    ///
    /// # Errors
    /// What every server said.
    pub fn open(&mut self) -> Result<()> {
        while self.body.is_none() && self.at < self.end {
            let Some(server) = self.remote.servers().get(self.server) else { break };
            match begin(server, &self.digest, (self.at, self.end), self.size) {
                Ok(body) => self.body = Some(body),
                Err(error) => self.failed(error)?,
            }
        }
        Ok(())
    }

    /// Decides what follows a failure: a wait, the next server, or its end.
    fn failed(&mut self, error: Error) -> Result<()> {
        self.body = None;
        if self.at >= self.broke_at.saturating_add(PROGRESS) {
            self.failures = 0;
        }
        self.broke_at = self.at;
        self.failures += 1;
        let remote = self.remote;
        let http = remote.servers().get(self.server).map(|server| server.session().http());
        let within = match error {
            // Calls have waited and tried again already.
            Error::Transport { .. } | Error::Status { .. } => None,
            _ => http.and_then(|http| http.wait_after_failure(self.failures, &error)),
        };
        match (within, http) {
            (Some(time), Some(http)) => http.pause(time),
            _ if self.server + 1 < self.remote.servers().len() => {
                if matches!(error, Error::Transport { .. }) {
                    self.remote.leave(self.server);
                }
                self.server += 1;
                self.failures = 0;
            }
            _ => return Err(error),
        }
        Ok(())
    }

    fn broke(&self, source: io::Error) -> Error {
        let action = format!("downloading blob {}", short(&self.digest));
        match self.remote.servers().get(self.server) {
            Some(server) => server.session().unread(&server.doing(&action), source),
            None => Error::Body { registry: String::new(), action, source },
        }
    }

    /// At the end of what was promised nothing may follow.
    fn ended(&mut self) -> io::Result<usize> {
        let Some(mut body) = self.body.take() else { return Ok(0) };
        if self.end < self.size {
            return Ok(0);
        }
        match body.read(&mut [0; 1]) {
            Ok(1..) => {
                let problem = format!("the blob is longer than the {} bytes promised", self.size);
                let action = format!("downloading blob {}", short(&self.digest));
                let server = &self.remote.servers()[self.server];
                let error = server.session().protocol(&server.doing(&action), &problem);
                Err(io::Error::other(error))
            }
            // All bytes are here: how the connection ends does not matter.
            _ => Ok(0),
        }
    }
}

impl Read for Blob<'_> {
    /// Errors of the kind `Other` carry this crate's [`Error`].
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.at >= self.end {
                return self.ended();
            }
            self.open().map_err(io::Error::other)?;
            let Some(body) = &mut self.body else {
                return Err(io::Error::other(self.broke(io::ErrorKind::NotFound.into())));
            };
            let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let most = most.min(buffer.len());
            let source = match body.read(&mut buffer[..most]) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => e,
            };
            let error = self.broke(source);
            self.failed(error).map_err(io::Error::other)?;
        }
    }
}

/// The first digits of a digest, for messages.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

fn begin(
    server: &Repository,
    digest: &str,
    (from, end): (u64, u64),
    size: u64,
) -> Result<Box<dyn Read + Send>> {
    let session = server.session();
    let action = server.doing(&format!("downloading blob {}", short(digest)));
    let mut headers = Vec::new();
    let is_part = from > 0 || end < size;
    if end < size {
        headers.push(("Range", format!("bytes={from}-{}", end.saturating_sub(1))));
    } else if is_part {
        headers.push(("Range", format!("bytes={from}-")));
    }
    let call = Call {
        method: Method::GET,
        path: server.path(&format!("blobs/{digest}")),
        headers,
        body: None,
        access: Access::Pull,
        action: action.clone(),
    };
    let answer = session.call(&call)?;
    let status = answer.status().as_u16();
    if !matches!(status, 200 | 206) {
        return Err(session.refused(answer, &action));
    }
    let wrong = |problem: String| session.protocol(&action, &problem);
    if status == 200 && end < size {
        // Passing over the rest of a large blob is not what a small part is asked for.
        return Err(wrong("the server sends no parts".into()));
    }
    let rest = if !is_part && status == 200 {
        Rest::Follows
    } else {
        range::of(status, header(&answer, "content-range"), (from, end), size).map_err(wrong)?
    };
    let skip = match rest {
        Rest::Follows => 0,
        Rest::Whole { skip } => skip,
    };
    let expected = if status == 200 { size } else { end - from };
    let length = answer.body().content_length();
    if let Some(length) = length.filter(|l| *l != expected) {
        return Err(wrong(format!("{length} bytes come, {expected} were promised")));
    }
    let reader = answer.into_body().into_with_config().limit(u64::MAX).reader();
    let mut reader = session.http().paced(reader);
    let unread = |e: io::Error| session.unread(&action, e);
    let passed = io::copy(&mut (&mut reader).take(skip), &mut io::sink()).map_err(unread)?;
    if passed < skip {
        return Err(unread(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Box::new(reader))
}
