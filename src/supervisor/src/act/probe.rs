//! Making one probe attempt.
//!
//! Exec probes are asked of the monitor, which enters the container directly. HTTP and TCP probes
//! use a socket made inside the pod's network namespace, so that they see what the pod sees and no
//! tool has to be in the image. Waiting holds no thread. A probe that could not be made at all is
//! told apart from one that failed: it changes nothing.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use monitor::protocol::{MAX_PROBE_OUTPUT_BYTES, Request, Response};
use pod::manifest::{Container, HttpGetAction, PortRef, Probe, Scheme};
use pod::{Outcome, ProbeKind, Reason};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::Job;
use super::http::{self, Get};
use crate::bundle;
use crate::error::chain;
use crate::talk::Talk;
use crate::tools::Tools;

/// How much longer than a probe's own time-out its answer may take.
const MARGIN: Duration = Duration::from_secs(5);
/// Most redirects that are followed (kubelet: 10).
const REDIRECTS: usize = 10;
/// Most bytes of a message.
const MESSAGE_MAX: usize = 1024;

/// Makes the attempt.
pub(super) async fn probe(
    tools: &Arc<Tools>,
    job: &Job,
    name: &str,
    (attempt, kind): (u32, ProbeKind),
) -> Outcome {
    let container = job.subject.pod.spec.container(name);
    let Some((container, probe)) = container.and_then(|c| Some((c, spec(c, kind)?))) else {
        return unknown("the probe is not in the pod any more".to_owned());
    };
    if let Some(exec) = &probe.exec {
        return run(job, container, attempt, (exec.command.clone(), probe.timeout_ms())).await;
    }
    let limit = Duration::from_millis(probe.timeout_ms());
    let asked = async {
        match (&probe.http_get, &probe.tcp_socket) {
            (Some(get), _) => ask(tools, job, container, get).await,
            (None, Some(tcp)) => {
                let place = Place::new(job, container, &tcp.port, tcp.host.as_deref())?;
                place.connect(tools, job).await.map(|_| String::new())
            }
            (None, None) => Err("the probe does nothing".to_owned()),
        }
    };
    match timeout(limit, asked).await {
        Ok(Ok(message)) => Outcome::Probe { success: true, message: cut(message) },
        Ok(Err(message)) => Outcome::Probe { success: false, message: cut(message) },
        Err(_) => {
            let message = format!("no answer within {} s", limit.as_secs());
            Outcome::Probe { success: false, message }
        }
    }
}

fn spec(container: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
    }
}

fn unknown(message: String) -> Outcome {
    Outcome::Failed { reason: Reason::RunContainerError, message }
}

fn cut(mut text: String) -> String {
    let mut end = text.len().min(MESSAGE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// A program inside the container.
async fn run(
    job: &Job,
    container: &Container,
    attempt: u32,
    (argv, timeout_ms): (Vec<String>, u64),
) -> Outcome {
    let id = bundle::runtime_id(job.uid(), &container.name, attempt);
    let request = Request::Probe { id, argv, timeout_ms, max_output: MAX_PROBE_OUTPUT_BYTES };
    let limit = Duration::from_millis(timeout_ms) + MARGIN;
    let answer = async { Talk::open(&job.subject.pod_dir).await?.ask(&request, limit).await };
    match answer.await {
        Ok(Response::ProbeResult { timed_out: true, .. }) => {
            let message = format!("the command did not end within {} s", timeout_ms / 1000);
            Outcome::Probe { success: false, message }
        }
        Ok(Response::ProbeResult { code, output, .. }) => {
            let success = code == 0;
            let output = output.trim_end();
            let message = match (success, output.is_empty()) {
                (false, true) => format!("the command ended with {code}"),
                _ => output.to_owned(),
            };
            Outcome::Probe { success, message: cut(message) }
        }
        // A command that cannot be started has failed; a container that is gone has not.
        Ok(Response::Error { kind, message, .. }) => match kind {
            monitor::protocol::ErrorKind::NotFound
            | monitor::protocol::ErrorKind::NotExecutable => {
                Outcome::Probe { success: false, message: cut(message) }
            }
            _ => unknown(message),
        },
        Ok(other) => unknown(chain(&crate::talk::unexpected(other))),
        Err(error) => unknown(chain(&error)),
    }
}

/// An HTTP GET; redirects within the host are followed.
async fn ask(
    tools: &Arc<Tools>,
    job: &Job,
    container: &Container,
    get: &HttpGetAction,
) -> Result<String, String> {
    if get.scheme == Some(Scheme::Https) {
        return Err("HTTPS probes are not supported: use tcpSocket or exec".to_owned());
    }
    let place = Place::new(job, container, &get.port, get.host.as_deref())?;
    let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let headers = get.http_headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
    let mut request = Get { path, host: place.address.to_string(), headers };
    for _ in 0..=REDIRECTS {
        let stream = place.connect(tools, job).await?;
        let answer = http::get(stream, &request).await?;
        let location = answer.location.filter(|_| (300..400).contains(&answer.status));
        match location {
            Some(location) => match local_path(&location, &place.address.to_string()) {
                Some(path) => request.path = path,
                None => return Ok(format!("redirected to another host: {location}")),
            },
            None if (200..400).contains(&answer.status) => return Ok(String::new()),
            None => {
                let body = answer.body.trim();
                let colon = if body.is_empty() { "" } else { ": " };
                return Err(format!("HTTP status {}{colon}{body}", answer.status));
            }
        }
    }
    Err(format!("more than {REDIRECTS} redirects"))
}

/// The path of a redirect that stays on the host; `None` for another host.
fn local_path(location: &str, host: &str) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(location.to_owned());
    }
    let rest = location.strip_prefix("http://")?;
    let rest = rest.strip_prefix(host)?;
    match rest.chars().next() {
        None => Some("/".to_owned()),
        Some('/') => Some(rest.to_owned()),
        Some(_) => None,
    }
}

/// Where a probe connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    address: SocketAddr,
}

impl Place {
    fn new(
        job: &Job,
        container: &Container,
        port: &PortRef,
        host: Option<&str>,
    ) -> Result<Place, String> {
        let number = container.port(port);
        let number = number.ok_or_else(|| format!("the container has no port {port:?}"))?;
        let own = job.address.unwrap_or(Ipv4Addr::LOCALHOST);
        let ip = match host.filter(|host| !host.is_empty()) {
            None => IpAddr::V4(own),
            Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(host) => host
                .parse()
                .map_err(|_| format!("host {host:?} is no address; names are not looked up"))?,
        };
        Ok(Place { address: SocketAddr::new(ip, number) })
    }

    /// Connects from within the pod's network.
    async fn connect(&self, tools: &Arc<Tools>, job: &Job) -> Result<TcpStream, String> {
        let v4 = self.address.is_ipv4();
        let make = move || if v4 { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = match job.address {
            None => make(),
            Some(_) => {
                let netns = job.subject.pod_dir.join("ns").join(sys::pin::Kind::Net.name());
                let made = tools.at_once(move |_| {
                    let netns = File::open(netns)?;
                    sys::netlink::in_namespace(netns.as_fd(), make)?
                });
                made.await
            }
        };
        let socket = socket.map_err(|error| format!("make a socket in the pod: {error}"))?;
        let connected = socket.connect(self.address).await;
        connected.map_err(|error| format!("connect to {}: {error}", self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_within_the_host_are_told_from_others() {
        let host = "10.77.0.2:8080";
        for (location, path) in [
            ("/a?b", Some("/a?b")),
            ("http://10.77.0.2:8080", Some("/")),
            ("http://10.77.0.2:8080/x", Some("/x")),
            ("http://10.77.0.2:80800/x", None),
            ("http://elsewhere/x", None),
            ("https://10.77.0.2:8080/x", None),
            ("//elsewhere/x", None),
        ] {
            assert_eq!(local_path(location, host).as_deref(), path, "{location}");
        }
    }

    #[test]
    fn messages_are_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        assert_eq!(cut("ä".repeat(600)).len(), 1024);
        assert_eq!(cut(format!("a{}", "ä".repeat(600))).len(), 1023);
    }
}
