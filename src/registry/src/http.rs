//! Connections: one agent a host, with that host's TLS and nobody else's.
//!
//! Redirects are never followed here, statuses are no errors, and every wait has a limit.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, Proxy, SendBody};

use crate::connect::connector;
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::pace::{Pace, Paced};
use crate::resolve::Names;
use crate::session::header;
use crate::{Cancel, Settings, chance, retry, tls};

const CONNECT: Duration = Duration::from_secs(15);
/// A registry may verify gigabytes before it answers to the end of an upload.
const ANSWER: Duration = Duration::from_secs(300);
const HEADERS_MAX: usize = 32 << 10;

/// What goes with a request.
pub(crate) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// A stream and its length.
    Stream(&'a mut dyn Read, u64),
}

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Http {
    certificates: Vec<PathBuf>,
    /// A folder for one host alone.
    given: Option<(String, PathBuf)>,
    pace: Pace,
    tries: u32,
    cancel: Cancel,
    agents: Arc<Agents>,
}

/// By origin, and whether it may be insecure.
#[derive(Debug, Default)]
pub(crate) struct Agents(Mutex<BTreeMap<(String, bool), Agent>>);

impl Agents {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, bool), Agent>> {
        // A panic elsewhere leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection, also those that somebody reads from.
    pub(crate) fn shut_down(&self) {
        self.all().values().for_each(|agent| agent.clone().shutdown());
    }
}

impl Http {
    /// Connections as `settings` say; its given certificates are for `host` (`host[:port]`).
    pub(crate) fn new(settings: &Settings, host: &str) -> Http {
        let given = settings.given_certificates.clone().map(|folder| (host.to_owned(), folder));
        let (certificates, pace) = (settings.certificates.clone(), settings.pace);
        let tries = settings.tries.unwrap_or(retry::TRIES);
        let cancel = settings.cancel.clone();
        let agents = Arc::default();
        cancel.ends(&agents);
        Http { certificates, given, pace, tries, cancel, agents }
    }

    /// A body that must keep the pace.
    pub(crate) fn paced<R: Read>(&self, reader: R) -> Paced<R> {
        Paced::new(reader, self.pace, self.cancel.clone())
    }

    /// The wait after an answer that a later try may change; `None`: it stands.
    pub(crate) fn wait_after(
        &self,
        tried: u32,
        answer: &Result<Response<Body>>,
    ) -> Option<Duration> {
        match answer {
            Ok(answer) if retry::may_pass(answer.status().as_u16()) => {
                retry::wait((tried, self.tries), asked(answer), chance())
            }
            Ok(_) => None,
            Err(error) => self.wait_after_failure(tried, error),
        }
    }

    /// The same after a failure.
    pub(crate) fn wait_after_failure(&self, tried: u32, error: &Error) -> Option<Duration> {
        if !error.may_pass() {
            return None;
        }
        match error.absence() {
            // A person wants to know that at once; a server that starts anew is soon there.
            Some(tries) => retry::wait((tried, self.tries.min(tries)), None, chance())
                .map(|time| time / retry::SHORTER),
            None => retry::wait((tried, self.tries), None, chance()),
        }
    }

    /// Lets time pass, as long as anybody waits.
    pub(crate) fn pause(&self, time: Duration) {
        self.cancel.pause(time);
    }

    fn agent(&self, origin: &Origin, insecure: bool) -> Result<Agent> {
        let usual = if origin.https { 443 } else { 80 };
        let address = match origin.port {
            port if port == usual => origin.host.clone(),
            port => format!("{}:{port}", origin.host),
        };
        let key = (origin.to_string(), insecure);
        let mut agents = self.agents.all();
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let given = self.given.iter().filter(|(host, _)| *host == address).map(|(_, f)| f.clone());
        let folders: Vec<PathBuf> =
            self.certificates.iter().map(|f| f.join(&address)).chain(given).collect();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls::config(&folders, insecure)?)
            .proxy(Proxy::try_from_env())
            .user_agent(concat!("podvisor/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_response_header_size(HEADERS_MAX)
            .input_buffer_size(128 << 10)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_send_request(Some(self.pace.silence))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(self.pace.silence))
            .timeout_per_write(Some(self.pace.silence))
            .build();
        let agent = Agent::with_parts(config, connector(&self.cancel), Names(self.cancel.clone()));
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    /// One request, one answer.
    pub(crate) fn send(
        &self,
        (method, origin, path): (&Method, &Origin, &str),
        headers: &[(&str, &str)],
        payload: Payload,
        insecure: bool,
    ) -> Result<std::result::Result<Response<Body>, ureq::Error>> {
        let agent = self.agent(origin, insecure)?;
        let broken_off = || Err(Error::Cancelled { registry: origin.to_string() });
        // After the agent is among those that are shut down.
        if self.cancel.is_cancelled() {
            return broken_off();
        }
        let mut request = Request::builder().method(method).uri(format!("{origin}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Payload::Stream(_, length) = &payload {
            request = request.header("Content-Length", *length);
        }
        let bad = |e: ureq::http::Error| Error::Protocol {
            registry: origin.to_string(),
            action: "making a request".into(),
            problem: e.to_string(),
        };
        let with_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
        let answer = match payload {
            Payload::None if with_body => agent.run(request.body(&b""[..]).map_err(bad)?),
            Payload::None => agent.run(request.body(()).map_err(bad)?),
            Payload::Bytes(bytes) => agent.run(request.body(bytes).map_err(bad)?),
            Payload::Stream(stream, _) => {
                agent.run(request.body(SendBody::from_reader(stream)).map_err(bad)?)
            }
        };
        if answer.is_err() && self.cancel.is_cancelled() { broken_off() } else { Ok(answer) }
    }
}

/// The server's Retry-After.
fn asked(answer: &Response<Body>) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    retry::after(header(answer, "retry-after")?, now)
}
