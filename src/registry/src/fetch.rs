//! A file of the web, as `ADD https://…` wants it: one GET without credentials.
//!
//! Redirects are followed within the scheme: what was asked for by TLS must come by it, and a plain
//! URL says itself where it leads. The body has a bound, and is whole when its length was told.

use std::io::{self, Read, Write};

use ureq::Body;
use ureq::http::{Method, Response};

use crate::error::{Error, Result};
use crate::http::{Http, Payload};
use crate::origin::{Origin, may_follow};
use crate::session::header;
use crate::{Settings, retry};

const HOPS_MAX: usize = 8;
const ACTION: &str = "fetching";

/// Longest text of a version that is kept, bytes.
const VERSION_MAX: usize = 1024;

/// What a server says of the version of a file, as it says it (RFC 9110, 8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

impl Version {
    fn of(answer: &Response<Body>) -> Version {
        let text =
            |name| header(answer, name).filter(|text| text.len() <= VERSION_MAX).map(str::to_owned);
        Version { etag: text("etag"), last_modified: text("last-modified") }
    }

    /// Whether it says anything.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// The headers that ask for another one only. A date is for servers without tags.
    fn headers(&self) -> Vec<(&'static str, &str)> {
        match (&self.etag, &self.last_modified) {
            (Some(etag), _) => vec![("If-None-Match", etag)],
            (None, Some(date)) => vec![("If-Modified-Since", date)],
            (None, None) => Vec::new(),
        }
    }
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes of the file.
    pub size: u64,
    /// When it was changed as the server says, seconds since 1970.
    pub modified: Option<u64>,
    /// Its version.
    pub version: Version,
}

fn wrong(origin: &Origin, problem: &str) -> Error {
    let problem = crate::error::shown(problem);
    Error::Protocol { registry: origin.to_string(), action: ACTION.into(), problem }
}

/// Writes the file at `url` to `out`, `max` bytes at most; `None`: it is still of the version
/// `known`, and nothing came.
///
/// # Errors
/// A URL that is none, a server that does not answer or has no such file, a redirect to another
/// scheme, a body that is too long or breaks off.
pub fn fetch(
    settings: &Settings,
    url: &str,
    known: Option<&Version>,
    (out, max): (&mut dyn Write, u64),
) -> Result<Option<Fetched>> {
    let bad = |problem| Error::Protocol { registry: url.into(), action: ACTION.into(), problem };
    let (mut origin, mut path) = Origin::of_url(url).map_err(bad)?;
    let http = Http::new(settings, &origin.host);
    let headers = known.map(Version::headers).unwrap_or_default();
    for _ in 0..HOPS_MAX {
        let answer = get(&http, &origin, &path, &headers)?;
        let status = answer.status();
        if status.is_success() {
            return body(answer, &origin, (&http, max), out).map(Some);
        }
        if status.as_u16() == 304 && !headers.is_empty() {
            return Ok(None);
        }
        if !status.is_redirection() || status.as_u16() == 304 {
            return Err(refused(&origin, status.as_u16()));
        }
        let location = header(&answer, "location").unwrap_or("");
        let refuse =
            |why: String| wrong(&origin, &format!("a redirect to {location:?} is refused: {why}"));
        let (to, on) = origin.join(location).map_err(refuse)?;
        may_follow(&origin, &to).map_err(refuse)?;
        if to.https != origin.https {
            return Err(refuse("it leads to another scheme; name where it leads".into()));
        }
        (origin, path) = (to, on);
    }
    Err(wrong(&origin, &format!("over {HOPS_MAX} redirects")))
}

fn refused(origin: &Origin, status: u16) -> Error {
    let (registry, action, detail) = (origin.to_string(), ACTION.to_owned(), String::new());
    match status {
        404 => Error::NotFound { registry, action, detail },
        status => Error::Status { registry, action, status, detail },
    }
}

/// One answer, asked for again while that may help.
fn get(
    http: &Http,
    origin: &Origin,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Response<Body>> {
    let mut tried = 0;
    loop {
        tried += 1;
        let answer = http.send((&Method::GET, origin, path), headers, Payload::None, false)?;
        let (registry, action) = (origin.to_string(), ACTION.to_owned());
        let answer = answer.map_err(|source| {
            let source = Box::new(source);
            Error::Transport { registry, action, source }
        });
        match http.wait_after(tried, &answer) {
            Some(time) => http.pause(time),
            None => return answer,
        }
    }
}

fn body(
    answer: Response<Body>,
    origin: &Origin,
    (http, max): (&Http, u64),
    out: &mut dyn Write,
) -> Result<Fetched> {
    let version = Version::of(&answer);
    let modified = version.last_modified.as_deref().and_then(retry::date);
    let told = header(&answer, "content-length").and_then(|text| text.parse::<u64>().ok());
    let too_long = || wrong(origin, &format!("the file is longer than {max} bytes"));
    if told.is_some_and(|told| told > max) {
        return Err(too_long());
    }
    let reader = answer.into_body().into_with_config().limit(max.saturating_add(1)).reader();
    let mut reader = http.paced(reader).take(max.saturating_add(1));
    let size = io::copy(&mut reader, out).map_err(|source| {
        let (registry, action) = (origin.to_string(), ACTION.to_owned());
        Error::Body { registry, action, source }
    })?;
    match told {
        _ if size > max => Err(too_long()),
        Some(told) if told != size => {
            Err(wrong(origin, &format!("{size} bytes came of {told} that were told")))
        }
        _ => Ok(Fetched { size, modified, version }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;

    use super::*;

    /// Gives these answers one after the other, each on a connection of its own.
    fn served(answers: &[&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = answers.to_vec();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = io::BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let text = format!("HTTP/1.1 {answer}").replace("HERE", &address.to_string());
                stream.write_all(text.as_bytes()).unwrap();
            }
        });
        format!("http://{address}/file")
    }

    fn got(answers: &[&'static str]) -> std::result::Result<(String, Fetched), String> {
        let settings = Settings { tries: Some(2), ..Settings::default() };
        let mut out = Vec::new();
        let fetched = fetch(&settings, &served(answers), None, (&mut out, 5)).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", source.unwrap_or_default())
        })?;
        Ok((String::from_utf8(out).unwrap(), fetched.unwrap()))
    }

    #[test]
    fn a_file_comes_whole_by_its_scheme_and_within_its_bound() {
        const OK: &str = "200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\
            Last-Modified: Thu, 01 Jan 1970 00:00:07 GMT\r\n\r\nhello";
        let last_modified = Some("Thu, 01 Jan 1970 00:00:07 GMT".to_owned());
        let version = Version { etag: None, last_modified };
        let hello = ("hello".to_owned(), Fetched { size: 5, modified: Some(7), version });
        assert_eq!(got(&[OK]).unwrap(), hello);
        let again = "503 Wait\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let path = "302 There\r\nLocation: /x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let whole = "302 There\r\nLocation: http://HERE/x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(got(&[again, path, whole, OK]).unwrap(), hello);
        for (answers, words) in [
            (&["302 There\r\nLocation: https://HERE/x\r\n\r\n"][..], "another scheme"),
            (&["302 There\r\nLocation: file:///etc/passwd\r\n\r\n"], "neither https nor http"),
            (&["302 There\r\nLocation: http://169.254.169.254/\r\n\r\n"], "link-local"),
            (&["200 OK\r\nContent-Length: 6\r\n\r\nhello!"], "longer than 5"),
            (&["200 OK\r\nConnection: close\r\n\r\nhello!"], "longer than 5"),
            (&["200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhell"], ""),
            (&["404 No\r\nContent-Length: 0\r\n\r\n"], "not found"),
            // Nobody asked whether it has changed.
            (&["304 Same\r\n\r\n"], "304"),
            (&["500 No\r\nConnection: close\r\n\r\n", "500 No\r\n\r\n"], "status 500"),
            (&[path; 9], "over 8 redirects"),
        ] {
            let problem = got(answers).unwrap_err();
            assert!(problem.contains(words), "{words}: {problem}");
        }
        let nothing =
            fetch(&Settings::default(), "ftp://a/b", None, (&mut Vec::new(), 5)).unwrap_err();
        assert!(nothing.to_string().contains("neither https nor http"), "{nothing}");
    }

    #[test]
    fn a_known_version_is_asked_for_by_its_tag_or_date() {
        let (etag, date) = (Some("\"a\"".to_owned()), Some("Thu, 01 Jan 1970".to_owned()));
        for (etag, last_modified, wanted) in [
            (etag.clone(), date.clone(), vec![("If-None-Match", "\"a\"")]),
            (None, date, vec![("If-Modified-Since", "Thu, 01 Jan 1970")]),
            (None, None, vec![]),
        ] {
            assert_eq!(Version { etag, last_modified }.headers(), wanted);
        }
        let known = Version { etag, last_modified: None };
        let mut out = Vec::new();
        let same = served(&["304 Same\r\nConnection: close\r\n\r\n"]);
        let answer = fetch(&Settings::default(), &same, Some(&known), (&mut out, 5)).unwrap();
        assert!(answer.is_none() && out.is_empty());
        let other = served(&["200 OK\r\nETag: \"b\"\r\nContent-Length: 1\r\n\r\nx"]);
        let answer = fetch(&Settings::default(), &other, Some(&known), (&mut out, 5)).unwrap();
        assert_eq!(answer.unwrap().version.etag.as_deref(), Some("\"b\""));
    }
}
