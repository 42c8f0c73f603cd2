//! From a host's name to addresses: /etc/hosts, then DNS over UDP, and TCP where that is cut.
//!
//! Own code, because a static program's getaddrinfo(3) loads the host's libc at run time. A name
//! that resolves to link-local addresses alone is not found: see [`crate::origin`].

mod message;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::origin::link_local;
use crate::{Cancel, chance};
use message::{Answer, Kind};

const ADDRESSES_MAX: usize = 16;
const LONGEST: Duration = Duration::from_secs(15);

/// No server said anything about a name.
#[derive(Debug, thiserror::Error)]
#[error("look up {host}: {source}")]
pub(crate) struct Unresolved {
    host: String,
    source: io::Error,
}

impl Unresolved {
    pub(crate) fn new(host: &str, source: io::Error) -> Unresolved {
        Unresolved { host: host.to_owned(), source }
    }
}

/// ureq's way to ask.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) Cancel);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(usual);
        let deadline = Instant::now() + (*timeout.after).min(LONGEST);
        let mut all = self.empty();
        let name = host.to_owned();
        let found = self.0.unless(move || addresses(&name, deadline)).flatten();
        let found = found
            .map_err(|source| ureq::Error::Io(io::Error::other(Unresolved::new(host, source))))?;
        for address in found.into_iter().take(ADDRESSES_MAX) {
            all.push(SocketAddr::new(address, port));
        }
        if all.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(all) }
    }
}

fn addresses(host: &str, deadline: Instant) -> io::Result<Vec<IpAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(literal) = bare.parse() {
        return Ok(vec![literal]);
    }
    let host = host.trim_end_matches('.');
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut found = in_hosts(&hosts, host);
    if found.is_empty() && (host == "localhost" || host.ends_with(".localhost")) {
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    if found.is_empty() {
        let settings = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        found = Servers::parse(&settings).ask(host, deadline)?;
    }
    found.retain(|address| !link_local(*address));
    Ok(found)
}

/// The addresses of a name in the text of /etc/hosts.
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or(""));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|w| w.eq_ignore_ascii_case(host)).then_some(address)
        })
        .collect()
}

/// What resolv.conf(5) says.
#[derive(Debug, PartialEq, Eq)]
struct Servers {
    addresses: Vec<SocketAddr>,
    search: Vec<String>,
    dots: usize,
    patience: Duration,
    tries: u32,
}

impl Servers {
    fn parse(text: &str) -> Servers {
        let mut all = Servers {
            addresses: Vec::new(),
            search: Vec::new(),
            dots: 1,
            patience: Duration::from_secs(5),
            tries: 2,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|w| w.parse::<IpAddr>().ok());
                    all.addresses.extend(address.map(|a| SocketAddr::new(a, 53)));
                }
                Some("search" | "domain") => all.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|word| all.option(word)),
                _ => {}
            }
        }
        all.addresses.truncate(3);
        all.search.truncate(6);
        if all.addresses.is_empty() {
            all.addresses.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        all
    }

    fn option(&mut self, word: &str) {
        let Some((name, Ok(value))) = word.split_once(':').map(|(n, v)| (n, v.parse::<u32>()))
        else {
            return;
        };
        match name {
            "ndots" => self.dots = value.min(15) as usize,
            "timeout" => self.patience = Duration::from_secs(u64::from(value.clamp(1, 30))),
            "attempts" => self.tries = value.clamp(1, 5),
            _ => {}
        }
    }

    /// Full names to ask for, in order.
    fn names(&self, host: &str) -> Vec<String> {
        let whole = host.to_owned();
        let longer = self.search.iter().map(|s| format!("{host}.{}", s.trim_matches('.')));
        if host.matches('.').count() >= self.dots {
            [whole].into_iter().chain(longer).collect()
        } else {
            longer.chain([whole]).collect()
        }
    }

    fn ask(&self, host: &str, deadline: Instant) -> io::Result<Vec<IpAddr>> {
        let mut silent = None;
        for name in self.names(host) {
            let mut found = Vec::new();
            for kind in [Kind::A, Kind::Aaaa] {
                match self.ask_all(&name, kind, deadline) {
                    Ok(addresses) => found.extend(addresses),
                    Err(error) => silent = Some(error),
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        silent.map_or(Ok(Vec::new()), Err)
    }

    /// Asks one server after the other until one answers.
    fn ask_all(&self, name: &str, kind: Kind, deadline: Instant) -> io::Result<Vec<IpAddr>> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for server in (0..self.tries).flat_map(|_| &self.addresses) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match ask_one(*server, name, kind, self.patience.min(left)) {
                Ok(Answer::Addresses(found)) => return Ok(found),
                Ok(Answer::NoSuchName) => return Ok(Vec::new()),
                Ok(Answer::Refused | Answer::Cut) => last = io::Error::other("DNS server failed"),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn ask_one(server: SocketAddr, name: &str, kind: Kind, patience: Duration) -> io::Result<Answer> {
    let id = u16::from_be_bytes([chance(), chance()]);
    let query = message::query(id, name, kind)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no host name"))?;
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(&query)?;
    let until = Instant::now() + patience;
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let count = socket.recv(&mut buffer)?;
        // What does not answer this question is not ours.
        match message::answer(&buffer[..count], &query, kind) {
            Some(Answer::Cut) => return by_tcp(server, &query, kind, patience),
            Some(answer) => return Ok(answer),
            None => {}
        }
    }
}

fn by_tcp(server: SocketAddr, query: &[u8], kind: Kind, patience: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
    stream.write_all(&[&length.to_be_bytes()[..], query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    message::answer(&bytes, query, kind)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "DNS answer is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let servers = Servers::parse(
            "# x\nnameserver 192.0.2.1\nnameserver bad\nsearch a.example b.example\n\
             options ndots:2 timeout:1 attempts:9",
        );
        assert_eq!(servers.addresses, ["192.0.2.1:53".parse().unwrap()]);
        assert_eq!((servers.dots, servers.tries), (2, 5));
        assert_eq!(servers.names("r.x"), ["r.x.a.example", "r.x.b.example", "r.x"]);
        assert_eq!(servers.names("r.x.y")[0], "r.x.y");
        let hosts = "127.0.0.1 localhost\n192.0.2.7\tR.example alias # r2\n::1 r.example";
        assert_eq!(in_hosts(hosts, "r.example").len(), 2);
        assert!(in_hosts(hosts, "r2").is_empty());
    }

    #[test]
    fn a_server_is_asked_and_link_local_answers_are_dropped() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let asked = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            for _ in 0..2 {
                let (count, from) = server.recv_from(&mut buffer).unwrap();
                let query = &buffer[..count];
                server.send_to(b"noise", from).unwrap();
                let good = message::forge(query, &[[192, 0, 2, 1], [169, 254, 169, 254]]);
                server.send_to(&good, from).unwrap();
            }
        });
        let servers = Servers {
            addresses: vec![address],
            search: vec![],
            dots: 1,
            patience: Duration::from_secs(5),
            tries: 1,
        };
        let found = servers.ask("r.example", Instant::now() + LONGEST).unwrap();
        asked.join().unwrap();
        assert_eq!(found[0], IpAddr::from([192, 0, 2, 1]));
        assert!(found.iter().any(|a| link_local(*a)));
    }
}
