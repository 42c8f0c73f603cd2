//! What nobody waits for any more: it ends at once, whatever the server does or does not.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use registry::{Cancel, Error, Purpose, Remote, Settings};

use crate::server::{Server, head};
use crate::settings;

/// Far less than any time limit of a request.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A remote that has usual time limits, and what breaks it off.
fn remote(server: &Server) -> (Remote, Cancel) {
    let cancel = Cancel::default();
    let settings = Settings { cancel: cancel.clone(), pace: Default::default(), ..settings() };
    let remote = Remote::new(&settings, &server.address, "team/web", Purpose::Pull(false)).unwrap();
    (remote, cancel)
}

/// A server that says this much of an answer and then nothing; tells when it has.
fn silent(said: &'static str) -> (Server, Receiver<()>) {
    let (told, heard) = channel();
    let server = Server::new(move |_, stream| {
        let _ = stream.write_all(said.as_bytes());
        let _ = told.send(());
        // Until the other side ends it.
        let _ = stream.read(&mut [0]);
    });
    (server, heard)
}

#[test]
fn a_flood_ends() {
    let server = Server::new(|_, stream| {
        head(stream, "200 OK", &[], Some(1 << 40));
        while stream.write_all(&[0; 4096]).is_ok() {}
    });
    let (remote, cancel) = remote(&server);
    let digest = format!("sha256:{}", "a".repeat(64));
    let mut blob = remote.blob(&digest, 1 << 40, 0);
    blob.read_exact(&mut [0; 10_000]).unwrap();
    cancel.cancel();
    let error = blob.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("broken off"), "{error}");
    assert_eq!(server.asked().len(), 1, "nothing more is asked");
    assert!(matches!(remote.manifest("1"), Err(Error::Cancelled { .. })));
}

#[test]
fn a_silence_ends() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for said in [
        "",
        "HTTP/1.1 200 OK\r\nContent-",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234",
    ] {
        let (server, heard) = silent(said);
        let (remote, cancel) = remote(&server);
        let begun = std::thread::scope(|threads| {
            let reading = threads
                .spawn(|| remote.blob(&digest, 9, 0).read_to_end(&mut Vec::new()).unwrap_err());
            heard.recv().unwrap();
            let begun = Instant::now();
            cancel.cancel();
            let error = reading.join().unwrap();
            assert!(error.to_string().contains("broken off"), "{said:?}: {error}");
            begun
        });
        assert!(begun.elapsed() < AT_ONCE, "{said:?}: {:?}", begun.elapsed());
        assert_eq!(server.asked().len(), 1, "{said:?}: nothing more is asked");
    }
}

#[test]
fn a_body_without_a_length_is_not_taken_for_whole() {
    let (server, heard) = silent("HTTP/1.1 200 OK\r\n\r\n{}");
    let (remote, cancel) = remote(&server);
    std::thread::scope(|threads| {
        let reading = threads.spawn(|| remote.manifest("1"));
        heard.recv().unwrap();
        cancel.cancel();
        let read = reading.join().unwrap();
        assert!(matches!(read, Err(Error::Cancelled { .. } | Error::Body { .. })), "{read:?}");
    });
}
