//! What a repository of one server can be asked for (distribution-spec).

use ureq::http::Method;

use crate::MANIFEST_MAX;
use crate::blob::short;
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::session::{Access, Call, Session, header};

/// What is accepted for a manifest: images and indexes, OCI's and docker's.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, \
    application/vnd.docker.distribution.manifest.v1+json";
const PAGES_MAX: usize = 1_000;
const BODY_TRIES: u32 = 3;

/// A manifest or index as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Content-Type, without parameters; may be empty.
    pub media_type: String,
    /// Its bytes, at most [`MANIFEST_MAX`].
    pub bytes: Vec<u8>,
}

/// A repository at one server.
#[derive(Debug)]
pub struct Repository {
    session: Session,
}

#[derive(serde::Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Repository {
    pub(crate) fn new(session: Session) -> Repository {
        Repository { session }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Its server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.session.source().registry
    }

    /// Its name at that server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.session.source().repository
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.session.source().repository)
    }

    /// What is done, with the repository's name, for messages.
    pub(crate) fn doing(&self, what: &str) -> String {
        format!("repository {}: {what}", self.session.source().repository)
    }

    fn get(&self, path: String, accept: &str, access: Access, action: &str) -> Call<'static> {
        let headers = match accept {
            "" => Vec::new(),
            accept => vec![("Accept", accept.to_owned())],
        };
        Call { method: Method::GET, path, headers, body: None, access, action: action.to_owned() }
    }

    /// A manifest or index, by tag or digest.
    ///
    /// # Errors
    /// [`Error::NotFound`] and the rest.
    pub fn manifest(&self, reference: &str) -> Result<Document> {
        let action = self.doing(&format!("reading manifest {}", short_of(reference)));
        let path = self.path(&format!("manifests/{reference}"));
        let call = self.get(path, ACCEPT, Access::Pull, &action);
        let mut tried = 0;
        loop {
            tried += 1;
            let answer = self.session.call(&call)?;
            if answer.status().as_u16() != 200 {
                return Err(self.session.refused(answer, &action));
            }
            let kind = header(&answer, "content-type").unwrap_or("");
            let media_type = kind.split(';').next().unwrap_or("").trim().to_owned();
            match self.session.body(answer, MANIFEST_MAX, &action) {
                Ok(bytes) => return Ok(Document { media_type, bytes }),
                Err(Error::Body { .. }) if tried < BODY_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest that a tag has, as the server says it; `None` when there is no such tag.
    ///
    /// # Errors
    /// Every refusal but "not found".
    pub fn head(&self, reference: &str) -> Result<Option<String>> {
        let action = self.doing(&format!("looking for manifest {}", short_of(reference)));
        let path = self.path(&format!("manifests/{reference}"));
        let call = Call { method: Method::HEAD, ..self.get(path, ACCEPT, Access::Pull, &action) };
        let answer = self.session.call(&call)?;
        match answer.status().as_u16() {
            200 => Ok(Some(header(&answer, "docker-content-digest").unwrap_or("").to_owned())),
            404 => Ok(None),
            _ => Err(self.session.refused(answer, &action)),
        }
    }

    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// Every refusal but "not found".
    pub fn has_blob(&self, digest: &str) -> Result<bool> {
        let action = self.doing(&format!("looking for blob {}", short(digest)));
        let path = self.path(&format!("blobs/{digest}"));
        let call = Call { method: Method::HEAD, ..self.get(path, "", Access::Push, &action) };
        let answer = self.session.call(&call)?;
        match answer.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.session.refused(answer, &action)),
        }
    }

    /// Writes a manifest under a tag or its digest; whether the server keeps its `subject` by
    /// itself (OCI-Subject).
    ///
    /// # Errors
    /// A refusal, or another digest than `digest`.
    pub fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
        digest: &str,
    ) -> Result<bool> {
        let action = self.doing(&format!("writing manifest {}", short_of(reference)));
        let call = Call {
            method: Method::PUT,
            path: self.path(&format!("manifests/{reference}")),
            headers: vec![("Content-Type", media_type.to_owned())],
            body: Some(bytes),
            access: Access::Push,
            action: action.clone(),
        };
        let answer = self.session.call(&call)?;
        if !answer.status().is_success() {
            return Err(self.session.refused(answer, &action));
        }
        if let Some(other) = header(&answer, "docker-content-digest").filter(|d| *d != digest) {
            let problem = format!("the server has kept {other}, not {digest}");
            return Err(self.session.protocol(&action, &problem));
        }
        Ok(answer.headers().contains_key("oci-subject"))
    }

    /// Removes a manifest (by digest) or a tag.
    ///
    /// # Errors
    /// A refusal; many registries do not allow it.
    pub fn delete_manifest(&self, reference: &str) -> Result<()> {
        let action = self.doing(&format!("deleting manifest {}", short_of(reference)));
        let path = self.path(&format!("manifests/{reference}"));
        let call = Call { method: Method::DELETE, ..self.get(path, "", Access::Delete, &action) };
        let answer = self.session.call(&call)?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(self.session.refused(answer, &action)),
        }
    }

    /// All tags, in the server's order.
    ///
    /// # Errors
    /// A refusal, or pages that lead elsewhere or do not end.
    pub fn tags(&self) -> Result<Vec<String>> {
        let action = self.doing("listing tags");
        let home = self.session.home()?;
        let mut path = self.path("tags/list?n=1000");
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = self.session.call(&self.get(path, "", Access::Pull, &action))?;
            if answer.status().as_u16() != 200 {
                return Err(self.session.refused(answer, &action));
            }
            let link = header(&answer, "link").map(str::to_owned);
            let bytes = self.session.body(answer, MANIFEST_MAX, &action)?;
            let page: Tags = serde_json::from_slice(&bytes)
                .map_err(|e| self.session.protocol(&action, &e.to_string()))?;
            all.extend(page.tags.unwrap_or_default().iter().map(|t| crate::error::shown(t)));
            match next_page(link.as_deref(), &home) {
                Ok(Some(next)) => path = next,
                Ok(None) => return Ok(all),
                Err(problem) => return Err(self.session.protocol(&action, &problem)),
            }
        }
        Err(self.session.protocol(&action, &format!("over {PAGES_MAX} pages")))
    }

    /// The index of what refers to a manifest; `None` when the server does not know the question.
    ///
    /// # Errors
    /// A refusal.
    pub fn referrers(&self, digest: &str) -> Result<Option<Document>> {
        let action = self.doing(&format!("listing referrers of {}", short(digest)));
        let accept = "application/vnd.oci.image.index.v1+json";
        let path = self.path(&format!("referrers/{digest}"));
        let answer = self.session.call(&self.get(path, accept, Access::Pull, &action))?;
        match answer.status().as_u16() {
            200 => {
                let kind = header(&answer, "content-type").unwrap_or("");
                let media_type = kind.split(';').next().unwrap_or("").trim().to_owned();
                let bytes = self.session.body(answer, MANIFEST_MAX, &action)?;
                Ok((media_type == accept).then_some(Document { media_type, bytes }))
            }
            400 | 404 | 405 | 406 => Ok(None),
            _ => Err(self.session.refused(answer, &action)),
        }
    }

    /// Whether the server is a registry and takes the credentials.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] when it does not.
    pub fn ping(&self) -> Result<()> {
        let action = "logging in";
        let answer = self.session.call(&self.get("/v2/".into(), "", Access::Pull, action))?;
        match answer.status().as_u16() {
            200 => Ok(()),
            _ => Err(self.session.refused(answer, action)),
        }
    }
}

/// A tag whole, a digest's beginning.
fn short_of(reference: &str) -> &str {
    if reference.contains(':') { short(reference) } else { reference }
}

/// Where `<path>; rel="next"` leads, on the same server.
pub(crate) fn next_page(
    link: Option<&str>,
    home: &Origin,
) -> std::result::Result<Option<String>, String> {
    let Some(link) = link.filter(|l| l.contains("next")) else { return Ok(None) };
    let target = link.trim().strip_prefix('<').and_then(|l| l.split_once('>'));
    let (target, _) = target.ok_or_else(|| format!("Link {link:?} is no link"))?;
    let (origin, path) = home.join(target)?;
    if origin != *home {
        return Err(format!("the list goes on at {origin}, away from {home}"));
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_stay_at_the_server() {
        let home = Origin::of_registry("r.example", true).unwrap();
        let next = |link| next_page(Some(link), &home);
        assert_eq!(
            next("</v2/a/tags/list?last=x>; rel=\"next\"").unwrap().unwrap(),
            "/v2/a/tags/list?last=x"
        );
        assert_eq!(next_page(None, &home), Ok(None));
        for bad in
            ["<https://evil.example/v2/>; rel=\"next\"", "next", "<http://r.example/>; rel=next"]
        {
            assert!(next(bad).is_err(), "{bad}");
        }
    }
}
