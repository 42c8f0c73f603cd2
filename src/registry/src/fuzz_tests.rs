//! What servers answer: headers by their readers, and whole answers by a client that asks
//! for everything there is. The second runs in a scope: an address of a corpus may lead anywhere.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::origin::{Origin, may_ask_for_token, may_follow, upload_path};
use crate::repository::next_page;
use crate::{MANIFEST_MAX, Pace, Purpose, Remote, Settings, challenge, range, retry};

fuzz::targets![registry_headers; registry_answers];

/// What each reader of a header makes of a line `Name: value`.
fn registry_headers(input: &[u8]) {
    let home = Origin::of_registry("registry.example", true).unwrap();
    let text = String::from_utf8_lossy(input);
    for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "www-authenticate" => {
                for found in challenge::parse(value) {
                    let challenge::Challenge::Bearer { realm, .. } = found else { continue };
                    if let Ok((origin, path)) = Origin::of_url(&realm)
                        && may_ask_for_token(&home, &origin).is_ok()
                    {
                        assert!(origin.https && path.starts_with('/'), "{realm:?}");
                    }
                }
            }
            "link" => {
                let next = next_page(Some(value), &home);
                assert!(next.is_err() || next.is_ok_and(|p| within(p.as_deref())), "{value:?}");
            }
            "location" => {
                let path = upload_path(&home, value).ok();
                assert!(within(path.as_deref()), "{value:?}");
                if let Ok((to, path)) = home.join(value) {
                    assert!(within(Some(&path)), "{value:?}");
                    assert!(may_follow(&home, &to).is_err() || !to.is_link_local());
                }
            }
            "content-range" => {
                if let Some((first, last, total)) = range::parse(value) {
                    assert!(first <= last && total.is_none_or(|total| last < total));
                    let of = range::of(206, Some(value), (first, last.wrapping_add(1)), 10);
                    assert!(total == Some(10) || total.is_none() || of.is_err());
                }
            }
            "retry-after" => {
                assert!(retry::after(value, 0).is_none_or(|w| w <= Duration::MAX));
            }
            "last-modified" => drop(retry::date(value)),
            _ => {}
        }
    }
}

/// A path of a request: nothing that would end its line.
fn within(path: Option<&str>) -> bool {
    path.is_none_or(|p| p.starts_with('/') && !p.contains(|c: char| c.is_control() || c == ' '))
}

/// A server on the loopback.
struct Server {
    address: String,
    /// To come, one a connection, the last of them again and again.
    answers: Mutex<(Vec<Vec<u8>>, usize)>,
}

/// Serves as long as the process lives.
static SERVER: LazyLock<&'static Server> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server: &Server = Box::leak(Box::new(Server { address, answers: Mutex::default() }));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            server.answer(&mut stream.unwrap());
        }
    });
    server
});

impl Server {
    fn will_say(&self, answers: Vec<Vec<u8>>) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = (answers, 0);
    }

    fn answer(&self, stream: &mut TcpStream) {
        let answer = {
            let mut next = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(last) = next.0.len().checked_sub(1) else { return };
            let at = next.1.min(last);
            next.1 += 1;
            String::from_utf8_lossy(&next.0[at]).replace("HERE", &self.address).into_bytes()
        };
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        // A client that has seen enough.
        let _ = stream.write_all(&answer);
    }
}

fn told(error: &dyn std::error::Error) {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        assert!(!text.contains(|c: char| c.is_control()), "a server's signs are told: {text:?}");
        cause = error.source();
    }
}

#[cfg(not(fuzzing))]
#[test]
fn registry_answers_corpus() {
    // Before the scope counts what is there: it ends with the process.
    LazyLock::force(&SERVER);
    let Some(_scope) = scope::enter("fuzz_tests::registry_answers_corpus") else { return };
    fuzz::replay("registry-answers", registry_answers);
}

/// No answer takes the client down, keeps it, or is told with signs that a terminal obeys.
fn registry_answers(input: &[u8]) {
    let digest = format!("sha256:{}", "0".repeat(64));
    let server = *SERVER;
    let (silence, window) = (Duration::from_secs(1), Duration::from_secs(1));
    let pace = Pace { silence, window, bytes: 1 };
    let settings = Settings { insecure: true, tries: Some(1), pace, ..Settings::default() };
    let text = String::from_utf8_lossy(input);
    let parts: Vec<Vec<u8>> = text.split("====\n").map(|part| part.into()).collect();
    let again = || {
        server.will_say(parts.clone());
        Remote::new(&settings, &server.address, "a/b", Purpose::Push).unwrap()
    };
    let remote = again();
    match remote.servers()[0].tags() {
        Ok(tags) => assert!(tags.iter().all(|tag| !tag.contains(char::is_control)), "{tags:?}"),
        Err(error) => told(&error),
    }
    let remote = again();
    match remote.servers()[0].manifest("1") {
        Ok(document) => assert!(document.bytes.len() as u64 <= MANIFEST_MAX),
        Err(error) => told(&error),
    }
    let remote = again();
    remote.servers()[0].head("1").map_or_else(|error| told(&error), drop);
    let remote = again();
    remote.servers()[0].referrers(&digest).map_or_else(|error| told(&error), drop);
    let remote = again();
    let mut bytes = Vec::new();
    let mut blob = remote.blob(&digest, 10, 0);
    blob.open().map_or_else(|error| told(&error), drop);
    // Its error is told by who reads.
    let _ = blob.read_to_end(&mut bytes);
    assert!(bytes.len() <= 10, "{bytes:?}");
    let remote = again();
    let open = || Ok(Box::new(&b"helloworld"[..]) as Box<dyn Read>);
    remote.servers()[0].upload(&digest, 10, None, &open).map_or_else(|error| told(&error), drop);
    let url = format!("http://{}/file", server.address);
    again();
    let fetched = crate::fetch(&settings, &url, None, (&mut Vec::new(), 100));
    fetched.map_or_else(|error| told(&error), drop);
}
