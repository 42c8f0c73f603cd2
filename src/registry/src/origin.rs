//! Where requests go: scheme, host and port, and how two of them compare.
//!
//! Credentials belong to one origin. Everything that would move a request to another one (redirect,
//! token realm, upload location) is decided here, by parsed addresses, never by texts. Pure.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

/// Scheme, host and port of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// TLS or not.
    pub https: bool,
    /// Lower case; IPv6 in brackets.
    pub host: String,
    /// Never left out.
    pub port: u16,
}

impl Origin {
    /// Of a registry's address as it stands in image names, `host[:port]`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn of_registry(address: &str, https: bool) -> Result<Origin, String> {
        let scheme = if https { "https" } else { "http" };
        let uri = format!("{scheme}://{address}/");
        let (origin, path) = Origin::of_url(&uri)?;
        if path != "/" || address.contains(['@', '/', '?', '#']) {
            return Err(format!("{address:?} is not host or host:port"));
        }
        Ok(origin)
    }

    /// Origin, and path with query, of an absolute URL.
    ///
    /// # Errors
    /// What is wrong with it: no http(s), a user, no host.
    pub(crate) fn of_url(url: &str) -> Result<(Origin, String), String> {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if let Some(scheme) = scheme.filter(|s| s != "https" && s != "http") {
            return Err(format!("scheme {scheme:?} is neither https nor http"));
        }
        let uri: Uri = url.parse().map_err(|e| format!("{url:?} is no URL: {e}"))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            other => return Err(format!("scheme {other:?} is neither https nor http")),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it carries a user name".into());
        }
        if authority.host().is_empty() {
            return Err("it names no host".into());
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => {
                if https {
                    443
                } else {
                    80
                }
            }
            _ => authority.port_u16().ok_or("its port is no port")?,
        };
        // A query alone belongs to `/` (RFC 9112, 3.2.1).
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        // `Uri` refuses those of ASCII alone.
        if path.contains(char::is_control) {
            return Err(format!("{url:?} has a control character"));
        }
        Ok((Origin { https, host: authority.host().to_ascii_lowercase(), port }, path))
    }

    /// Where a `Location` leads that came from `self`: absolute, or a path of the same server.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn join(&self, location: &str) -> Result<(Origin, String), String> {
        if location.starts_with("//") {
            let scheme = if self.https { "https" } else { "http" };
            return Origin::of_url(&format!("{scheme}:{location}"));
        }
        if location.starts_with('/') {
            let (_, path) = Origin::of_url(&format!("{self}{location}"))?;
            return Ok((self.clone(), path));
        }
        Origin::of_url(location)
    }

    /// A literal address that only means something on one link, 169.254.0.0/16 (where clouds
    /// answer with the machine's own credentials) and fe80::/10.
    #[must_use]
    pub(crate) fn is_link_local(&self) -> bool {
        let text = self.host.trim_start_matches('[').trim_end_matches(']');
        let text = text.split('%').next().unwrap_or(text);
        text.parse().is_ok_and(link_local)
    }
}

/// See [`Origin::is_link_local`]; also for what a name resolves to.
pub(crate) fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local())
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Whether a redirect from one origin may be followed.
///
/// # Errors
/// Why not: TLS would be left, or the target is a link-local address.
pub(crate) fn may_follow(from: &Origin, to: &Origin) -> Result<(), String> {
    if from.https && !to.https {
        return Err(format!("{to} has no TLS"));
    }
    if to.is_link_local() {
        return Err(format!("{to} is a link-local address"));
    }
    Ok(())
}

/// Whether credentials for `registry` may be shown to a token server.
///
/// # Errors
/// Why not.
pub(crate) fn may_ask_for_token(registry: &Origin, realm: &Origin) -> Result<(), String> {
    if realm.is_link_local() {
        return Err(format!("{realm} is a link-local address"));
    }
    if !realm.https && realm != registry {
        return Err(format!("{realm} has no TLS"));
    }
    Ok(())
}

/// Where an upload goes on: on the same server only.
///
/// # Errors
/// Why not.
pub(crate) fn upload_path(registry: &Origin, location: &str) -> Result<String, String> {
    let (origin, path) = registry.join(location)?;
    if origin != *registry {
        return Err(format!("the upload is sent on to {origin}, away from {registry}"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of_url(text).unwrap().0
    }

    #[test]
    fn addresses_are_compared_parsed() {
        assert_eq!(origin("https://A.example/"), origin("https://a.example:443/x?y"));
        assert_ne!(origin("https://a.example/"), origin("http://a.example/"));
        assert_ne!(origin("https://a.example/"), origin("https://a.example:444/"));
        assert_ne!(origin("https://a.example/"), origin("https://a.example.evil/"));
        for bad in
            ["ftp://a/", "https://user@a/", "a/b", "", "https:///x", "https://u:p@a.example/"]
        {
            assert!(Origin::of_url(bad).is_err(), "{bad}");
        }
        for bad in ["a/b", "a@b", "", "a?b", "a#b", "a:99999"] {
            assert!(Origin::of_registry(bad, true).is_err(), "{bad}");
        }
        assert_eq!(
            Origin::of_registry("[::1]:5000", false).unwrap().to_string(),
            "http://[::1]:5000"
        );
    }

    #[test]
    fn uploads_stay_where_they_began() {
        let registry = origin("https://r.example:5000/");
        assert_eq!(upload_path(&registry, "/v2/x/uploads/1?a=b").unwrap(), "/v2/x/uploads/1?a=b");
        let whole = "https://r.example:5000/v2/x";
        assert_eq!(upload_path(&registry, whole).unwrap(), "/v2/x");
        for bad in [
            "http://r.example:5000/v2/x",
            "https://r.example/v2/x",
            "https://evil.example:5000/v2/x",
            "//evil.example/v2/x",
            "file:///etc/passwd",
            "v2/x",
        ] {
            assert!(upload_path(&registry, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_are_asked_for_over_tls_or_at_the_registry_itself() {
        let secure = origin("https://r.example/");
        let plain = origin("http://127.0.0.1:5000/");
        assert!(may_ask_for_token(&secure, &origin("https://auth.example/token")).is_ok());
        assert!(may_ask_for_token(&plain, &origin("http://127.0.0.1:5000/token")).is_ok());
        for (registry, realm) in [
            (&secure, "http://auth.example/token"),
            (&secure, "http://r.example/token"),
            (&plain, "http://127.0.0.1:5001/token"),
            (&secure, "https://169.254.169.254/latest"),
            (&secure, "https://[fe80::1]/"),
            (&secure, "https://[::ffff:169.254.169.254]/"),
        ] {
            assert!(may_ask_for_token(registry, &origin(realm)).is_err(), "{realm}");
        }
    }

    #[test]
    fn redirects_keep_tls_and_leave_links_alone() {
        let secure = origin("https://r.example/");
        assert!(may_follow(&secure, &origin("https://cdn.example/x")).is_ok());
        assert!(may_follow(&secure, &origin("http://r.example/x")).is_err());
        assert!(may_follow(&secure, &origin("https://169.254.169.254/x")).is_err());
        assert!(may_follow(&origin("http://a/"), &origin("https://a/")).is_ok());
    }
}
