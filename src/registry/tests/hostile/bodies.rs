//! Bodies: cut, dripping, endless, of the wrong place or length, and busy servers.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use registry::{Pace, Purpose, Remote, Settings};

use crate::server::{Server, head, say};
use crate::{blob, remote, settings};

const TEXT: &[u8] = b"0123456789";

/// The place that a Range header asks for.
fn asked_from(request: &crate::server::Request) -> Option<usize> {
    let range = request.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?;
    range.parse().ok()
}

#[test]
fn a_cut_download_goes_on_where_it_was_cut() {
    let server = Server::new(|request, stream| match asked_from(request) {
        None => {
            head(stream, "200 OK", &[], Some(10));
            let _ = stream.write_all(&TEXT[..4]);
        }
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-9/10");
            head(stream, "206 Part", &[&range], Some(10 - from));
            let _ = stream.write_all(&TEXT[from..(from + 4).min(10)]);
        }
    });
    assert_eq!(blob(&remote(&server), 10, 0).unwrap(), TEXT);
    let from: Vec<_> = server.asked().iter().map(asked_from).collect();
    assert_eq!(from, [None, Some(4), Some(8)]);
}

#[test]
fn a_server_without_ranges_serves_the_rest_as_well() {
    let server = Server::new(|_, stream| say(stream, "200 OK", &[], TEXT));
    assert_eq!(blob(&remote(&server), 10, 7).unwrap(), b"789");
}

#[test]
fn what_is_not_what_was_asked_for_is_refused() {
    let range = |text: &str| vec![format!("Content-Range: bytes {text}")];
    for (case, status, headers, body, words) in [
        ("another place", "206 Part", range("0-9/10"), TEXT, "from 7 were asked"),
        ("no range", "206 Part", vec![], &TEXT[7..], "without Content-Range"),
        ("another size", "206 Part", range("7-11/12"), &TEXT[..5], "does not fit"),
        ("not to the end", "206 Part", range("7-8/10"), &TEXT[7..9], "does not fit"),
        ("nonsense", "206 Part", range("9-7/10"), &TEXT[7..], "no range"),
        ("another length", "206 Part", range("7-9/10"), TEXT, "were promised"),
        ("longer", "200 OK", vec![], b"0123456789x", "were promised"),
        ("shorter", "200 OK", vec![], b"01234", "were promised"),
        ("refused", "416 No", vec![], b"", "status 416"),
    ] {
        let headers: Vec<String> = headers;
        let server = Server::new(move |_, stream| {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            say(stream, status, &headers, body);
        });
        let error = blob(&remote(&server), 10, 7).unwrap_err();
        assert!(error.contains(words), "{case}: {error}");
        assert_eq!(server.asked().len(), 1, "{case}: asked again");
    }
    // A part that nobody asked for.
    let server = Server::new(move |_, stream| {
        say(stream, "206 Part", &["Content-Range: bytes 3-9/10"], &TEXT[3..]);
    });
    assert!(blob(&remote(&server), 10, 0).unwrap_err().contains("from 0 were asked"));
}

#[test]
fn a_part_is_a_part_or_refused() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let part = |remote: &Remote| {
        let mut bytes = Vec::new();
        remote.part(&digest, 10, (2, 5)).read_to_end(&mut bytes).map(|_| bytes)
    };
    let server = Server::new(|request, stream| {
        assert_eq!(request.header("range"), Some("bytes=2-4"));
        say(stream, "206 Part", &["Content-Range: bytes 2-4/10"], &TEXT[2..5]);
    });
    assert_eq!(part(&remote(&server)).unwrap(), &TEXT[2..5]);
    // The whole blob is not passed over for a small part of it.
    let server = Server::new(|_, stream| say(stream, "200 OK", &[], TEXT));
    let error = part(&remote(&server)).unwrap_err().to_string();
    assert!(error.contains("sends no parts"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn an_endless_body_is_read_up_to_its_promise() {
    let sent = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&sent);
    let server = Server::new(move |_, stream| {
        head(stream, "200 OK", &["Transfer-Encoding: chunked"], None);
        while stream.write_all(b"4\r\nmore\r\n").is_ok() {
            counted.fetch_add(4, Ordering::Relaxed);
        }
    });
    let error = blob(&remote(&server), 10, 0).unwrap_err();
    assert!(error.contains("longer than the 10 bytes"), "{error}");
    let error = remote(&server).manifest("1").unwrap_err().to_string();
    assert!(error.contains("longer than 4194304 bytes"), "{error}");
}

#[test]
fn a_manifest_has_a_bound() {
    let server = Server::new(|_, stream| say(stream, "200 OK", &[], &vec![b' '; (4 << 20) + 1]));
    let error = remote(&server).manifest("1").unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn a_drip_and_a_silence_end() {
    let begun = Instant::now();
    let server = Server::new(|_, stream| {
        head(stream, "200 OK", &[], Some(1 << 20));
        while stream.write_all(b"x").is_ok() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let pace = Pace { window: Duration::from_millis(300), ..settings().pace };
    let hasty = Settings { pace, ..settings() };
    let hasty = Remote::new(&hasty, &server.address, "team/web", Purpose::Pull(false)).unwrap();
    let error = blob(&hasty, 1 << 20, 0).unwrap_err();
    assert!(error.contains("came in"), "{error}");
    let server = Server::new(|_, stream| {
        head(stream, "200 OK", &[], Some(10));
        let _ = stream.write_all(b"x");
        std::thread::park_timeout(Duration::from_secs(60));
    });
    let error = blob(&remote(&server), 10, 0).unwrap_err();
    assert!(error.contains("timeout"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let count = AtomicUsize::new(0);
    let server = Server::new(move |_, stream| match count.fetch_add(1, Ordering::Relaxed) {
        0 => say(stream, "429 Busy", &["Retry-After: 1"], b""),
        1 => say(stream, "503 Down", &[], b"<html>"),
        _ => say(stream, "200 OK", &[], TEXT),
    });
    let begun = Instant::now();
    assert_eq!(blob(&remote(&server), 10, 0).unwrap(), TEXT);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_server_that_stays_broken_is_told_with_its_words() {
    for (status, code) in [("500 Oops", 500), ("429 Busy", 429), ("502 Bad", 502)] {
        let body = b"{\"errors\":[{\"code\":\"X\",\"message\":\"bro\\u001bken\"}]}";
        let server = Server::new(move |_, stream| say(stream, status, &[], body));
        let error = remote(&server).manifest("1").unwrap_err().to_string();
        assert!(error.contains(&format!("status {code}: bro\\u{{1b}}ken")), "{error}");
        assert_eq!(server.asked().len(), 3, "tries");
    }
    let server = Server::new(|_, stream| say(stream, "404 No", &[], b""));
    assert!(remote(&server).manifest("1").unwrap_err().to_string().contains("not found"));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn noise_is_no_answer() {
    for noise in
        [&b"\x00\x01\x02"[..], b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad\r\n\r\n", b""]
    {
        let server = Server::new(move |_, stream| {
            let _ = stream.write_all(noise);
        });
        assert!(remote(&server).manifest("1").is_err());
    }
    let server = Server::new(|_, stream| {
        let long = format!("X: {}", "y".repeat(64 << 10));
        say(stream, "200 OK", &[&long], TEXT);
    });
    assert!(remote(&server).manifest("1").is_err());
}

#[test]
fn where_nobody_listens_is_told_soon() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    // As many tries as usual.
    let settings = Settings { tries: None, ..settings() };
    let remote = Remote::new(&settings, &address, "team/web", Purpose::Pull(false)).unwrap();
    let begun = Instant::now();
    let error = remote.manifest("1").unwrap_err();
    let took = begun.elapsed();
    assert!(error.hint().unwrap().contains("nothing listens there"), "{error}");
    assert!((Duration::from_millis(200)..Duration::from_secs(3)).contains(&took), "{took:?}");
}
