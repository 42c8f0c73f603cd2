//! The programs inside the demo's image, which holds podvisor's own binary and nothing else.
//!
//! `demo-web` answers `/` (who it is), `/healthz`, `/slow` (after two seconds) and `/crash` (ends
//! with 3). `demo-client` asks it again and again. Plain threads and blocking sockets: what they
//! show is the pod, not the server. Requests are bounded in size and time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::args::{DemoClientArgs, DemoWebArgs};
use crate::failure::Failure;
use crate::print;
use crate::verbs::Ended;

/// How long a peer may take, milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_MAX_BYTES: u64 = 8 * 1024;
/// Exit code of `/crash`.
const CRASHED: i32 = 3;

static ANSWERED: AtomicU64 = AtomicU64::new(0);

/// Serves until killed.
///
/// # Errors
/// The port cannot be had.
pub fn web(args: &DemoWebArgs) -> Ended {
    let what = format!("demo-web on port {}", args.port);
    let listener = TcpListener::bind(("0.0.0.0", args.port));
    let listener = listener.map_err(|error| Failure::of(&what, &error))?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = args.name.clone().unwrap_or_else(|| host.trim().to_owned());
    print::out(&format!("{name} listens on port {}\n", args.port))?;
    end_on_terminate(&what)?;
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let name = name.clone();
        std::thread::spawn(move || {
            // A peer that breaks off is its own affair.
            let _ = answer(&stream, &name);
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// As process 1 of a container there is no default action: without a handler nothing would end us.
fn end_on_terminate(what: &str) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::of(what, &error))?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (terminate, interrupt) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            if let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                std::process::exit(0);
            }
        });
    });
    Ok(())
}

fn answer(stream: &TcpStream, name: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = BufReader::new(stream.take(HEAD_MAX_BYTES));
    let mut request = String::new();
    head.read_line(&mut request)?;
    let mut header = String::new();
    while head.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let number = ANSWERED.fetch_add(1, Ordering::Relaxed) + 1;
    let (code, text) = match path {
        "/" => ("200 OK", format!("hello from {name}, answer {number}\n")),
        "/healthz" => ("200 OK", "ok\n".to_owned()),
        "/slow" => {
            std::thread::park_timeout(Duration::from_secs(2));
            ("200 OK", format!("{name} took its time\n"))
        }
        "/crash" => ("200 OK", format!("{name} crashes now\n")),
        _ => ("404 Not Found", format!("{name} has no {path}\n")),
    };
    if path != "/healthz" {
        // The log is the pod's; a server answers all the same.
        let _ = print::out(&format!("{path} {code}\n"));
    }
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {code}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{text}",
        text.len()
    )?;
    if path == "/crash" {
        print::note("asked to crash");
        std::process::exit(CRASHED);
    }
    Ok(())
}

/// Asks again and again, and logs each answer.
///
/// # Errors
/// A URL that cannot be read.
pub fn client(args: &DemoClientArgs) -> Ended {
    let usage = || {
        Failure::new("demo-client", format!("{} is no plain http URL", args.url))
            .hint("http://127.0.0.1:8080/")
            .code(2)
    };
    let rest = args.url.strip_prefix("http://").ok_or_else(usage)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    end_on_terminate("demo-client")?;
    let mut asked = 0;
    loop {
        let line = match ask(host, path) {
            Ok(body) => body.trim_end().to_owned(),
            Err(error) => format!("no answer: {error}"),
        };
        print::out(&format!("{line}\n"))?;
        asked += 1;
        if asked == args.count {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::park_timeout(Duration::from_millis(args.interval_ms));
    }
}

fn ask(host: &str, path: &str) -> io::Result<String> {
    let place = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let address = place.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.take(64 * 1024).read_to_string(&mut text)?;
    let (_, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_says_who_it_is_and_what_it_lacks() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            for _ in 0..3 {
                answer(&listener.accept().unwrap().0, "web-1").unwrap();
            }
        });
        assert!(ask(&place, "").unwrap().starts_with("hello from web-1, answer "));
        assert_eq!(ask(&place, "healthz").unwrap(), "ok\n");
        assert_eq!(ask(&place, "nowhere").unwrap(), "web-1 has no /nowhere\n");
        server.join().unwrap();
    }
}
