//! Image names: `web`, `web:1`, `registry.example:5000/team/web:1`, with an optional digest.
//!
//! Grammar and defaults of distribution/reference: a first part with a dot, a colon or `localhost`
//! is a registry; else the name belongs to docker.io, and a single part to its `library`. The tag
//! defaults to `latest`. Pure text; nothing is looked up.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::Error;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_FOLDER: &str = "library/";
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// A normalised image name: registry, repository, tag, digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: String,
    digest: Option<Digest>,
}

impl Reference {
    /// The short form that people type: with the tag, without docker.io and library where it names
    /// the same without.
    #[must_use]
    pub fn familiar(&self) -> String {
        let (registry, path, tag) = (&self.registry, &self.repository, &self.tag);
        let official = path.strip_prefix(DEFAULT_FOLDER).filter(|name| !name.contains('/'));
        let other = path.split_once('/').is_some_and(|(first, _)| is_registry(first));
        match official {
            _ if registry != DEFAULT_REGISTRY || other => format!("{registry}/{path}:{tag}"),
            Some(name) => format!("{name}:{tag}"),
            None => format!("{path}:{tag}"),
        }
    }

    /// The digest pinned after `@`, if any.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Repository with registry, without tag: for finding near names.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// A name to give to an image: without a digest, which is not ours to choose.
    ///
    /// # Errors
    /// [`Error::BadReference`].
    pub fn tag_of(text: &str) -> Result<Reference, Error> {
        let reference: Reference = text.parse()?;
        if reference.digest.is_none() {
            return Ok(reference);
        }
        let problem = "a name that is given cannot have a digest".into();
        Err(Error::BadReference { name: text.into(), problem })
    }

    /// The registry: `docker.io`, `registry.example:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository at its registry: `library/web`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.repository
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for Reference {
    /// The full form: `docker.io/library/web:1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)?;
        self.digest.as_ref().map_or(Ok(()), |d| write!(f, "@{d}"))
    }
}

fn component(text: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().copied().is_some_and(edge) && bytes.last().copied().is_some_and(edge);
    let mut run = (0u8, 0usize);
    let separated = bytes.iter().all(|&b| {
        if edge(b) {
            run = (0, 0);
            return true;
        }
        run = if run.0 == b || run.1 == 0 { (b, run.1 + 1) } else { (b, usize::MAX) };
        match b {
            b'.' => run.1 == 1,
            b'_' => run.1 <= 2,
            b'-' => run.1 != usize::MAX,
            _ => false,
        }
    });
    ends && separated
}

fn registry(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let port_fits = |p: &str| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok();
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let host_fits = if bracketed {
        host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        host.split('.').all(label)
    };
    host_fits && port.is_none_or(port_fits)
}

fn tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Whether the first part of a name, of several, is a registry's.
fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn parse(text: &str) -> Result<Reference, String> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
        None => (text, None),
    };
    let (host, path) = match rest.split_once('/') {
        Some((first, path)) if is_registry(first) => (first, path),
        _ => (DEFAULT_REGISTRY, rest),
    };
    let host = if host == "index.docker.io" { DEFAULT_REGISTRY } else { host };
    let (path, tagged) = match path.split_once(':') {
        Some((path, tag)) => (path, tag),
        None => (path, "latest"),
    };
    if !registry(host) {
        return Err(format!("{host:?} is not a registry's address"));
    }
    if !tag(tagged) {
        return Err(format!("{tagged:?} is not a tag (letters, digits, `_.-`, up to {TAG_MAX})"));
    }
    if path.is_empty() {
        return Err("the name is empty".into());
    }
    let folder = if host == DEFAULT_REGISTRY && !path.contains('/') { DEFAULT_FOLDER } else { "" };
    // Of the whole name: what is short to type must not be too long to be written down.
    if host.len() + folder.len() + path.len() > NAME_MAX {
        return Err(format!("it is longer than {NAME_MAX} characters"));
    }
    if let Some(part) = path.split('/').find(|p| !component(p)) {
        let upper = part.bytes().any(|b| b.is_ascii_uppercase());
        let why =
            if upper { "upper case is not allowed" } else { "only a-z, 0-9 and `._-` within" };
        return Err(format!("{part:?}: {why}"));
    }
    let repository = format!("{folder}{path}");
    Ok(Reference { registry: host.into(), repository, tag: tagged.into(), digest })
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference, Error> {
        parse(text).map_err(|problem| Error::BadReference { name: text.into(), problem })
    }
}

/// How many edits (insert, remove, replace) lie between two short texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Up to three of `names` that look like `wanted`: nearest first.
pub(crate) fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let base = |n: &str| n.rsplit_once(':').map_or(n.to_owned(), |(b, _)| b.to_owned());
    let wanted: String = wanted.chars().take(NAME_MAX).collect();
    let mut found: Vec<(usize, String)> = names
        .filter_map(|name| {
            let apart = distance(&base(&wanted), &base(name));
            let close = apart <= 1 + base(&wanted).chars().count() / 4;
            close.then(|| (apart, name.to_owned()))
        })
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(3).map(|(_, n)| n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (given, full, familiar) in [
            ("web", "docker.io/library/web:latest", "web:latest"),
            ("web:1", "docker.io/library/web:1", "web:1"),
            ("team/web:1.2-a", "docker.io/team/web:1.2-a", "team/web:1.2-a"),
            ("docker.io/library/web", "docker.io/library/web:latest", "web:latest"),
            ("index.docker.io/x/y", "docker.io/x/y:latest", "x/y:latest"),
            ("localhost/web", "localhost/web:latest", "localhost/web:latest"),
            ("r.example:5000/a/b:c", "r.example:5000/a/b:c", "r.example:5000/a/b:c"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest", "a__b/c--d.e:latest"),
            ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
            ("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"),
            (
                "docker.io/localhost/c",
                "docker.io/localhost/c:latest",
                "docker.io/localhost/c:latest",
            ),
        ] {
            let parsed: Reference = given.parse().unwrap();
            assert_eq!(parsed.to_string(), full, "{given}");
            assert_eq!(parsed.familiar(), familiar, "{given}");
            assert_eq!(parsed.familiar().parse::<Reference>().unwrap(), parsed, "{given}");
        }
    }

    #[test]
    fn wrong_names_are_refused() {
        let long = "a".repeat(300);
        for bad in [
            "",
            ":",
            "/",
            "a//b",
            "A",
            "a:",
            "a:b:c",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "../a",
            "a/../b",
            "a b",
            "a\n",
            "a:\u{1b}[0m",
            "a@sha256:12",
            "a@md5:00",
            "ä",
            &long,
            "r.example:99999/a",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
        let pinned = format!("web@sha256:{}", "0".repeat(64));
        assert!(pinned.parse::<Reference>().unwrap().digest().is_some());
    }

    #[test]
    fn near_names_are_found() {
        let names = ["busybox:latest", "nginx:1", "box:1"];
        assert_eq!(near("busibox:latest", names.into_iter()), ["busybox:latest"]);
        assert!(near("postgres", names.into_iter()).is_empty());
    }
}
