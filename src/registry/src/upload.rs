//! Writing a blob: mounted from another repository, in one piece, or in chunks where a server
//! takes no large requests.
//!
//! An upload that fails is begun anew: what half of it is worth, servers disagree about.

use std::io::{self, Read};

use ureq::Body;
use ureq::http::{Method, Response};

use crate::blob::short;
use crate::error::{Error, Result};
use crate::http::Payload;
use crate::origin::upload_path;
use crate::repository::Repository;
use crate::session::{Access, Call, header};

/// Below the limits of the usual proxies.
const CHUNK: u64 = 16 << 20;
const CHUNK_MAX: u64 = 256 << 20;

/// Opens a blob's bytes from the beginning.
pub type Open<'a> = dyn Fn() -> io::Result<Box<dyn Read + 'a>> + 'a;

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there.
    Present,
    /// It came from another repository of the server.
    Mounted,
    /// It was sent.
    Sent,
}

enum Begun {
    Mounted,
    At { path: String, chunk: Option<u64> },
}

impl Repository {
    /// Sees to it that the repository has a blob.
    ///
    /// # Errors
    /// A refusal, or a source that cannot be read.
    pub fn upload(
        &self,
        digest: &str,
        size: u64,
        mount: Option<&str>,
        open: &Open<'_>,
    ) -> Result<Uploaded> {
        if self.has_blob(digest)? {
            return Ok(Uploaded::Present);
        }
        let action = self.doing(&format!("uploading blob {}", short(digest)));
        let mut chunked = false;
        let mut tried = 0;
        loop {
            tried += 1;
            let (path, chunk) = match self.begin(digest, mount.filter(|_| tried == 1), &action)? {
                Begun::Mounted => return Ok(Uploaded::Mounted),
                Begun::At { path, chunk } => (path, chunk),
            };
            // The source's trouble is not cured by another try here.
            let mut stream = open().map_err(|e| self.session().unread(&action, e))?;
            let sent = if chunked {
                self.in_chunks(path, digest, &mut stream, (size, chunk.unwrap_or(CHUNK)))
            } else {
                self.whole(&path, digest, &mut stream, size)
            };
            match sent {
                Ok(()) => return Ok(Uploaded::Sent),
                // A proxy's limit on the size of one request.
                Err(Error::Status { status: 413, .. }) if !chunked => chunked = true,
                Err(error) => match self.session().http().wait_after_failure(tried, &error) {
                    Some(time) => self.session().http().pause(time),
                    None => return Err(error),
                },
            }
        }
    }

    fn begin(&self, digest: &str, mount: Option<&str>, action: &str) -> Result<Begun> {
        let session = self.session();
        let mut path = self.path("blobs/uploads/");
        if let Some(from) = mount.filter(|m| *m != self.name()) {
            session.mount_from(from);
            path = format!("{path}?mount={digest}&from={from}");
        }
        let call = Call {
            method: Method::POST,
            path,
            headers: Vec::new(),
            body: Some(b""),
            access: Access::Push,
            action: action.to_owned(),
        };
        let answer = session.call(&call)?;
        match answer.status().as_u16() {
            201 if mount.is_some() => Ok(Begun::Mounted),
            202 => {
                let least = header(&answer, "oci-chunk-min-length").and_then(|v| v.parse().ok());
                let chunk = least.map(|l: u64| l.clamp(CHUNK, CHUNK_MAX));
                Ok(Begun::At { path: self.goes_on(&answer, action)?, chunk })
            }
            _ => Err(session.refused(answer, action)),
        }
    }

    fn goes_on(&self, answer: &Response<Body>, action: &str) -> Result<String> {
        let session = self.session();
        let location = header(answer, "location").unwrap_or("");
        upload_path(&session.home()?, location).map_err(|p| session.protocol(action, &p))
    }

    fn send(
        &self,
        (method, path): (Method, &str),
        mut headers: Vec<(&str, String)>,
        payload: Payload,
        action: &str,
    ) -> Result<Response<Body>> {
        let session = self.session();
        headers.extend(session.authorization(Access::Push).map(|a| ("Authorization", a)));
        session.exchange((&method, &session.home()?, path), &headers, payload, action)
    }

    fn whole(&self, path: &str, digest: &str, stream: &mut dyn Read, size: u64) -> Result<()> {
        let action = self.doing(&format!("uploading blob {}", short(digest)));
        let headers = vec![("Content-Type", "application/octet-stream".to_owned())];
        let path = with_digest(path, digest);
        let payload = Payload::Stream(stream, size);
        let answer = self.send((Method::PUT, &path), headers, payload, &action)?;
        self.kept(answer, &action)
    }

    fn in_chunks(
        &self,
        mut path: String,
        digest: &str,
        stream: &mut dyn Read,
        (size, chunk): (u64, u64),
    ) -> Result<()> {
        let action = self.doing(&format!("uploading blob {}", short(digest)));
        let mut at = 0;
        while at < size {
            let length = chunk.min(size - at);
            let headers = vec![
                ("Content-Type", "application/octet-stream".to_owned()),
                ("Content-Range", format!("{at}-{}", at + length - 1)),
            ];
            let mut part = (&mut *stream).take(length);
            let payload = Payload::Stream(&mut part, length);
            let answer = self.send((Method::PATCH, &path), headers, payload, &action)?;
            if !matches!(answer.status().as_u16(), 202 | 204) {
                return Err(self.session().refused(answer, &action));
            }
            path = self.goes_on(&answer, &action)?;
            at += length;
        }
        let path = with_digest(&path, digest);
        let answer = self.send((Method::PUT, &path), Vec::new(), Payload::Bytes(b""), &action)?;
        self.kept(answer, &action)
    }

    fn kept(&self, answer: Response<Body>, action: &str) -> Result<()> {
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(self.session().refused(answer, action)),
        }
    }
}

fn with_digest(path: &str, digest: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}digest={}", digest.replace(':', "%3A"))
}
