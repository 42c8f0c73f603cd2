//! A conversation with one repository's server: authentication, redirects, retries.
//!
//! The `Authorization` header is made anew for each hop: it goes to the registry's own origin, and
//! to no other, whatever redirects say. A challenge of another origin is not answered.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::Body;
use ureq::http::{Method, Response};

use crate::challenge::{self, Challenge};
use crate::credentials::Credential;
use crate::error::{Error, Result, detail, is_no_tls};
use crate::http::{Http, Payload};
use crate::origin::{Origin, may_follow};
use crate::registries::Source;
use crate::token;

const HOPS_MAX: usize = 8;
const ERROR_MAX: u64 = 64 << 10;

/// What is to be done in a repository: tokens are given for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    Pull,
    Push,
    Delete,
}

/// A request to the registry.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// From `/v2/` on.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) access: Access,
    /// For messages.
    pub(crate) action: String,
}

/// The conversation.
#[derive(Debug)]
pub(crate) struct Session {
    http: Arc<Http>,
    source: Source,
    credential: Option<Credential>,
    /// Known from the first answer on: an insecure server may have no TLS.
    home: Mutex<Option<Origin>>,
    headers: Mutex<BTreeMap<Access, String>>,
    /// A repository whose blobs are to be mounted: tokens must allow to read it.
    mounting: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is kept is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(crate) fn new(http: Arc<Http>, source: Source, credential: Option<Credential>) -> Session {
        Session {
            http,
            source,
            credential,
            home: Mutex::default(),
            headers: Mutex::default(),
            mounting: Mutex::default(),
        }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// Asks for tokens that can also read this repository.
    pub(crate) fn mount_from(&self, repository: &str) {
        let mut mounting = lock(&self.mounting);
        if mounting.as_deref() != Some(repository) {
            *mounting = Some(repository.to_owned());
            lock(&self.headers).remove(&Access::Push);
        }
    }

    pub(crate) fn protocol(&self, action: &str, problem: &str) -> Error {
        Error::Protocol {
            registry: self.source.registry.clone(),
            action: action.into(),
            problem: crate::error::shown(problem),
        }
    }

    /// A whole body, up to a bound.
    pub(crate) fn body(&self, answer: Response<Body>, max: u64, action: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reader = answer.into_body().into_with_config().limit(max + 1).reader();
        let mut reader = self.http.paced(reader).take(max + 1);
        reader.read_to_end(&mut bytes).map_err(|e| self.unread(action, e))?;
        if bytes.len() as u64 > max {
            return Err(self.protocol(action, &format!("the answer is longer than {max} bytes")));
        }
        Ok(bytes)
    }

    pub(crate) fn unread(&self, action: &str, source: std::io::Error) -> Error {
        Error::Body { registry: self.source.registry.clone(), action: action.into(), source }
    }

    /// An answer that is no success, as an error.
    pub(crate) fn refused(&self, answer: Response<Body>, action: &str) -> Error {
        let status = answer.status().as_u16();
        let (registry, action) = (self.source.registry.clone(), action.to_owned());
        // Words that cannot be read are left out.
        let detail = self.body(answer, ERROR_MAX, &action).map(|b| detail(&b)).unwrap_or_default();
        match status {
            401 | 403 => {
                let given = self.credential.is_some();
                Error::Unauthorized { registry, action, given, detail }
            }
            404 => Error::NotFound { registry, action, detail },
            status => Error::Status { registry, action, status, detail },
        }
    }

    fn transport(&self, action: &str, source: ureq::Error) -> Error {
        let (registry, action) = (self.source.registry.clone(), action.to_owned());
        match source {
            // The words of a limit of ours on headers are the protocol's business.
            ureq::Error::LargeResponseHeader(..) => {
                Error::Protocol { registry, action, problem: source.to_string() }
            }
            source => Error::Transport { registry, action, source: Box::new(source) },
        }
    }

    /// One exchange, tried again while it may pass.
    pub(crate) fn exchange(
        &self,
        to: (&Method, &Origin, &str),
        headers: &[(&str, String)],
        mut payload: Payload,
        action: &str,
    ) -> Result<Response<Body>> {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let insecure = self.source.insecure && self.is_home(to.1);
        let mut tried = 0;
        loop {
            tried += 1;
            let (again, once) = match &mut payload {
                Payload::None => (Payload::None, false),
                Payload::Bytes(bytes) => (Payload::Bytes(bytes), false),
                Payload::Stream(stream, length) => (Payload::Stream(*stream, *length), true),
            };
            let answer = self.http.send(to, &headers, again, insecure)?;
            let answer = answer.map_err(|e| self.transport(action, e));
            match self.http.wait_after(tried, &answer).filter(|_| !once) {
                Some(time) => self.http.pause(time),
                None => return answer,
            }
        }
    }

    fn is_home(&self, origin: &Origin) -> bool {
        Origin::of_registry(host(&self.source.registry), origin.https).is_ok_and(|h| h == *origin)
    }

    /// The registry's origin; an insecure one is asked whether it speaks TLS.
    pub(crate) fn home(&self) -> Result<Origin> {
        let mut home = lock(&self.home);
        if let Some(home) = home.as_ref() {
            return Ok(home.clone());
        }
        let action = "looking for the registry";
        let of = |https| {
            Origin::of_registry(host(&self.source.registry), https)
                .map_err(|p| self.protocol(action, &p))
        };
        let secure = of(true)?;
        let found = if self.source.insecure {
            let ping = (&Method::GET, &secure, "/v2/");
            match self.http.send(ping, &[], Payload::None, true)? {
                Err(e) if is_no_tls(&e) || matches!(e, ureq::Error::Io(_)) => of(false)?,
                _ => secure,
            }
        } else {
            secure
        };
        *home = Some(found.clone());
        Ok(found)
    }

    /// Does a call; the answer may have any status but those that were worth another try.
    pub(crate) fn call(&self, call: &Call) -> Result<Response<Body>> {
        let home = self.home()?;
        let mut authenticated = false;
        loop {
            let (answer, at_home) = self.follow(&home, call)?;
            if answer.status().as_u16() != 401 || at_home && authenticated {
                return Ok(answer);
            }
            if !at_home {
                let problem = "the server that we were sent to wants credentials";
                return Err(self.protocol(&call.action, problem));
            }
            authenticated = true;
            if !self.authenticate(&home, &answer, call.access)? {
                return Ok(answer);
            }
        }
    }

    /// Follows redirects of reading requests; tells whether the last answer is the registry's own.
    fn follow(&self, home: &Origin, call: &Call) -> Result<(Response<Body>, bool)> {
        let (mut origin, mut path) = (home.clone(), call.path.clone());
        let reads = matches!(call.method, Method::GET | Method::HEAD);
        for _ in 0..HOPS_MAX {
            let at_home = origin == *home;
            let mut headers = call.headers.clone();
            if at_home && let Some(header) = lock(&self.headers).get(&call.access) {
                headers.push(("Authorization", header.clone()));
            }
            let payload = call.body.map_or(Payload::None, Payload::Bytes);
            let to = (&call.method, &origin, path.as_str());
            let answer = self.exchange(to, &headers, payload, &call.action)?;
            if !answer.status().is_redirection() || answer.status().as_u16() == 304 {
                return Ok((answer, at_home));
            }
            let location = header(&answer, "location").unwrap_or("").to_owned();
            let refuse = |why: String| {
                self.protocol(
                    &call.action,
                    &format!("a redirect to {location:?} is refused: {why}"),
                )
            };
            if !reads {
                return Err(refuse("only reading requests are sent on".into()));
            }
            let (to, on) = origin.join(&location).map_err(refuse)?;
            may_follow(&origin, &to).map_err(refuse)?;
            (origin, path) = (to, on);
        }
        Err(self.protocol(&call.action, &format!("over {HOPS_MAX} redirects")))
    }

    /// Answers a challenge; false when there is nothing to answer with.
    fn authenticate(&self, home: &Origin, answer: &Response<Body>, access: Access) -> Result<bool> {
        let offered = answer.headers().get_all("www-authenticate").iter();
        let offered: Vec<Challenge> =
            offered.filter_map(|v| v.to_str().ok()).flat_map(challenge::parse).collect();
        let bearer = offered.iter().find(|c| matches!(c, Challenge::Bearer { .. }));
        let header = if let Some(bearer) = bearer {
            token::fetch(self, home, bearer, &self.scopes(bearer, access))?
        } else if offered.contains(&Challenge::Basic)
            && let Some(Credential::Password { user, password }) = &self.credential
        {
            token::basic(user, password)
        } else {
            return Ok(false);
        };
        lock(&self.headers).insert(access, header);
        Ok(true)
    }

    fn scopes(&self, challenge: &Challenge, access: Access) -> Vec<String> {
        let repository = &self.source.repository;
        if repository.is_empty() {
            let asked = match challenge {
                Challenge::Bearer { scope, .. } => scope.clone(),
                Challenge::Basic => None,
            };
            return asked.into_iter().collect();
        }
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
            Access::Delete => "pull,push,delete",
        };
        let mut all = vec![format!("repository:{repository}:{actions}")];
        if access == Access::Push
            && let Some(other) = lock(&self.mounting).as_ref()
        {
            all.push(format!("repository:{other}:pull"));
        }
        all
    }

    /// The header to authenticate a stream with, which cannot be sent twice.
    pub(crate) fn authorization(&self, access: Access) -> Option<String> {
        lock(&self.headers).get(&access).cloned()
    }
}

/// Docker Hub's registry has another name than its images.
fn host(registry: &str) -> &str {
    if registry == "docker.io" { "registry-1.docker.io" } else { registry }
}

pub(crate) fn header<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}
