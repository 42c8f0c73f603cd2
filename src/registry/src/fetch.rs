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
use crate::pace::Paced;
use crate::session::header;
use crate::{Settings, chance, pause, retry};

const HOPS_MAX: usize = 8;
const ACTION: &str = "fetching";

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes of the file.
    pub size: u64,
    /// When it was changed as the server says, seconds since 1970.
    pub modified: Option<u64>,
}

fn wrong(origin: &Origin, problem: &str) -> Error {
    let problem = crate::error::shown(problem);
    Error::Protocol { registry: origin.to_string(), action: ACTION.into(), problem }
}

/// Writes the file at `url` to `out`, `max` bytes at most.
///
/// # Errors
/// A URL that is none, a server that does not answer or has no such file, a redirect to another
/// scheme, a body that is too long or breaks off.
pub fn fetch(settings: &Settings, url: &str, max: u64, out: &mut dyn Write) -> Result<Fetched> {
    let bad = |problem| Error::Protocol { registry: url.into(), action: ACTION.into(), problem };
    let (mut origin, mut path) = Origin::of_url(url).map_err(bad)?;
    let http = Http::new(settings, &origin.host);
    for _ in 0..HOPS_MAX {
        let answer = get(&http, &origin, &path)?;
        let status = answer.status();
        if status.is_success() {
            return body(answer, &origin, (http.pace(), max), out);
        }
        if !status.is_redirection() {
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
fn get(http: &Http, origin: &Origin, path: &str) -> Result<Response<Body>> {
    let mut tried = 0;
    loop {
        tried += 1;
        let answer = http.send((&Method::GET, origin, path), &[], Payload::None, false)?;
        let (registry, action) = (origin.to_string(), ACTION.to_owned());
        let answer = answer.map_err(|source| {
            let source = Box::new(source);
            Error::Transport { registry, action, source }
        });
        let may_pass = match &answer {
            Ok(answer) => retry::may_pass(answer.status().as_u16()),
            Err(error) => error.may_pass(),
        };
        match retry::wait((tried, http.tries()), None, chance()).filter(|_| may_pass) {
            Some(time) => pause(time),
            None => return answer,
        }
    }
}

fn body(
    answer: Response<Body>,
    origin: &Origin,
    (pace, max): (crate::Pace, u64),
    out: &mut dyn Write,
) -> Result<Fetched> {
    let modified = header(&answer, "last-modified").and_then(retry::date);
    let told = header(&answer, "content-length").and_then(|text| text.parse::<u64>().ok());
    let too_long = || wrong(origin, &format!("the file is longer than {max} bytes"));
    if told.is_some_and(|told| told > max) {
        return Err(too_long());
    }
    let reader = answer.into_body().into_with_config().limit(max.saturating_add(1)).reader();
    let mut reader = Paced::new(reader, pace).take(max.saturating_add(1));
    let size = io::copy(&mut reader, out).map_err(|source| {
        let (registry, action) = (origin.to_string(), ACTION.to_owned());
        Error::Body { registry, action, source }
    })?;
    match told {
        _ if size > max => Err(too_long()),
        Some(told) if told != size => {
            Err(wrong(origin, &format!("{size} bytes came of {told} that were told")))
        }
        _ => Ok(Fetched { size, modified }),
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
        let fetched = fetch(&settings, &served(answers), 5, &mut out).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", source.unwrap_or_default())
        })?;
        Ok((String::from_utf8(out).unwrap(), fetched))
    }

    #[test]
    fn a_file_comes_whole_by_its_scheme_and_within_its_bound() {
        const OK: &str = "200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\
            Last-Modified: Thu, 01 Jan 1970 00:00:07 GMT\r\n\r\nhello";
        let hello = ("hello".to_owned(), Fetched { size: 5, modified: Some(7) });
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
            (&["500 No\r\nConnection: close\r\n\r\n", "500 No\r\n\r\n"], "status 500"),
            (&[path; 9], "over 8 redirects"),
        ] {
            let problem = got(answers).unwrap_err();
            assert!(problem.contains(words), "{words}: {problem}");
        }
        let nothing = fetch(&Settings::default(), "ftp://a/b", 5, &mut Vec::new()).unwrap_err();
        assert!(nothing.to_string().contains("neither https nor http"), "{nothing}");
    }
}
