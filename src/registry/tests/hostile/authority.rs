//! Credentials: who gets to see them.

use std::sync::Arc;

use registry::{Purpose, Registries, Remote, Settings};

use crate::server::{Server, say};
use crate::{blob, remote, settings};

/// `me:hunter2`
const BASIC: &str = "Basic bWU6aHVudGVyMg==";
const WANTS_BASIC: &str = "WWW-Authenticate: Basic realm=\"r\"";

/// A registry that wants Basic, and sends blobs on to `to`.
fn redirecting(to: String) -> Server {
    Server::new(move |request, stream| match request.header("authorization") {
        Some(BASIC) => say(stream, "307 Go", &[&format!("Location: {to}")], b""),
        _ => say(stream, "401 No", &[WANTS_BASIC], b""),
    })
}

#[test]
fn credentials_are_not_carried_along_a_redirect() {
    let other = Server::new(|_, stream| say(stream, "200 OK", &[], b"blob"));
    let registry = redirecting(format!("http://{}/elsewhere", other.address));
    assert_eq!(blob(&remote(&registry), 4, 0).unwrap(), b"blob");
    let asked = other.asked();
    assert_eq!(asked[0].path, "/elsewhere");
    assert_eq!(asked[0].header("authorization"), None);
    assert!(registry.asked().iter().any(|r| r.header("authorization") == Some(BASIC)));
}

#[test]
fn a_server_we_are_sent_to_cannot_ask_for_credentials() {
    for challenge in [
        WANTS_BASIC.to_owned(),
        "WWW-Authenticate: Bearer realm=\"https://127.0.0.1:1/token\"".to_owned(),
    ] {
        let other = Server::new(move |_, stream| say(stream, "401 No", &[&challenge], b""));
        let registry = redirecting(format!("http://{}/x", other.address));
        let error = blob(&remote(&registry), 4, 0).unwrap_err();
        assert!(error.contains("sent to wants credentials"), "{error}");
        assert!(other.asked().iter().all(|r| r.header("authorization").is_none()));
    }
}

#[test]
fn redirects_to_link_local_addresses_and_other_schemes_are_refused() {
    for (to, words) in [
        ("http://169.254.169.254/latest/meta-data", "link-local"),
        ("http://[fe80::1]/", "link-local"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
        ("file:///etc/passwd", "neither https nor http"),
        ("ftp://a/", "neither https nor http"),
        ("http://user:pw@127.0.0.1:1/", "user name"),
        ("", "redirect"),
    ] {
        let registry = redirecting(to.into());
        let error = blob(&remote(&registry), 4, 0).unwrap_err();
        assert!(error.contains(words), "{to}: {error}");
    }
}

#[test]
fn redirects_end() {
    let registry = Server::new(|request, stream| {
        say(stream, "302 Go", &[&format!("Location: {}x", request.path)], b"");
    });
    let error = blob(&remote(&registry), 4, 0).unwrap_err();
    assert!(error.contains("redirects"), "{error}");
    assert!(registry.asked().len() <= 8);
}

#[test]
fn a_challenge_is_answered_once() {
    let registry = Server::new(|_, stream| say(stream, "401 No", &[WANTS_BASIC], b""));
    let error = blob(&remote(&registry), 4, 0).unwrap_err();
    assert!(error.contains("credentials are refused"), "{error}");
    assert_eq!(registry.asked().len(), 2);
}

#[test]
fn a_token_comes_from_the_registry_itself_or_over_tls() {
    let elsewhere = Server::new(|_, stream| say(stream, "200 OK", &[], b"{\"token\":\"t\"}"));
    for (realm, words) in [
        (format!("http://{}/token", elsewhere.address), "no TLS"),
        ("https://169.254.169.254/token".to_owned(), "link-local"),
        ("http://169.254.169.254/token".to_owned(), "link-local"),
        ("file:///token".to_owned(), "neither"),
        ("".to_owned(), "no URL"),
    ] {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"");
        let registry = Server::new(move |_, stream| say(stream, "401 No", &[&challenge], b""));
        let error = blob(&remote(&registry), 4, 0).unwrap_err();
        assert!(error.contains(words), "{realm}: {error}");
    }
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
}

/// A registry that is its own token server, which answers by `token`.
fn with_token(token: (&'static str, Vec<String>, &'static str)) -> Server {
    let (status, headers, body) = token;
    Server::new(move |request, stream| {
        if request.path.starts_with("/token") {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            return say(stream, status, &headers, body.as_bytes());
        }
        match request.header("authorization") {
            Some("Bearer good") => say(stream, "200 OK", &[], b"blob"),
            _ => {
                let host = request.header("host").unwrap();
                let challenge = format!(
                    "WWW-Authenticate: Bearer realm=\"http://{host}/token?a=b\",service=\"s\""
                );
                say(stream, "401 No", &[&challenge], b"");
            }
        }
    })
}

#[test]
fn a_token_is_asked_for_the_repository_alone() {
    let registry = with_token(("200 OK", vec![], "{\"access_token\":\"good\"}"));
    assert_eq!(blob(&remote(&registry), 4, 0).unwrap(), b"blob");
    let asked = registry.asked();
    assert_eq!(asked[1].header("authorization"), Some(BASIC));
    assert_eq!(
        asked[1].path,
        "/token?a=b&service=s&account=me&scope=repository%3Ateam%2Fweb%3Apull"
    );
}

#[test]
fn a_token_server_cannot_send_us_on_or_break_a_header() {
    let other = Arc::new(Server::new(|_, stream| say(stream, "200 OK", &[], b"{\"token\":\"t\"}")));
    let location = vec![format!("Location: http://{}/", other.address)];
    for (answer, words) in [
        (("307 Go", location, ""), "sends us elsewhere"),
        (("200 OK", vec![], "{\"token\":\"a\\r\\nX: y\"}"), "no word"),
        (("200 OK", vec![], "{\"token\":\"\"}"), "no token"),
        (("200 OK", vec![], "<html>"), "no token"),
        (("401 No", vec![], ""), "refused"),
    ] {
        let error = blob(&remote(&with_token(answer)), 4, 0).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
    assert!(other.asked().is_empty());
}

#[test]
fn an_upload_stays_at_the_registry() {
    let other = Server::new(|_, stream| say(stream, "201 Created", &[], b""));
    let location = format!("Location: http://{}/upload", other.address);
    let registry = Server::new(move |request, stream| match request.method.as_str() {
        "HEAD" => say(stream, "404 No", &[], b""),
        _ => say(stream, "202 OK", &[&location], b""),
    });
    let remote = Remote::new(&settings(), &registry.address, "team/web", Purpose::Push).unwrap();
    let digest = format!("sha256:{}", "a".repeat(64));
    let open = || -> std::io::Result<Box<dyn std::io::Read>> { Ok(Box::new(&b"blob"[..])) };
    let error = remote.registry().unwrap().upload(&digest, 4, None, &open).unwrap_err();
    assert!(error.to_string().contains("away from"), "{error}");
    assert!(other.asked().is_empty());
}

#[test]
fn a_writing_request_is_not_sent_on() {
    let other = Server::new(|_, stream| say(stream, "201 Created", &[], b""));
    let location = format!("Location: http://{}/x", other.address);
    let registry = Server::new(move |_, stream| say(stream, "307 Go", &[&location], b""));
    let remote = Remote::new(&settings(), &registry.address, "team/web", Purpose::Push).unwrap();
    let put = remote.registry().unwrap().put_manifest("1", "a/b", b"{}", "sha256:x");
    assert!(put.unwrap_err().to_string().contains("only reading"));
    assert!(other.asked().is_empty());
}

#[test]
fn a_manifest_is_kept_under_its_own_digest() {
    let put = |kept: &str| {
        let kept = format!("Docker-Content-Digest: {kept}");
        let registry = Server::new(move |_, stream| say(stream, "201 Created", &[&kept], b""));
        let remote =
            Remote::new(&settings(), &registry.address, "team/web", Purpose::Push).unwrap();
        let put = remote.registry().unwrap().put_manifest("1", "a/b", b"{}", "sha256:x");
        put.map_err(|error| error.to_string())
    };
    assert_eq!(put("sha256:x"), Ok(false));
    let error = put("sha256:y").unwrap_err();
    assert!(error.contains("kept sha256:y, not sha256:x"), "{error}");
}

/// Settings with a mirror of a registry.
fn mirrored(registry: &Server, mirror: &Server) -> Settings {
    let folder = scope::Folder::new("mirrored");
    let file = folder.join("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        registry.address, mirror.address
    );
    std::fs::write(&file, text).unwrap();
    Settings { registries: Registries::read(&[file]).unwrap(), ..settings() }
}

#[test]
fn what_was_given_for_a_registry_is_not_for_its_mirrors() {
    // Both ask for it.
    let server = || {
        Server::new(|request, stream| match request.header("authorization") {
            Some(BASIC) => say(stream, "200 OK", &[], b"blob"),
            _ => say(stream, "401 No", &[WANTS_BASIC], b""),
        })
    };
    let (registry, mirror) = (server(), server());
    let settings = mirrored(&registry, &mirror);
    let remote =
        Remote::new(&settings, &registry.address, "team/web", Purpose::Pull(false)).unwrap();
    assert_eq!(blob(&remote, 4, 0).unwrap(), b"blob");
    let asked = mirror.asked();
    assert!(!asked.is_empty() && asked.iter().all(|r| r.header("authorization").is_none()));
    assert!(registry.asked().iter().any(|r| r.header("authorization") == Some(BASIC)));
}

#[test]
fn lists_do_not_go_on_elsewhere() {
    let other = Server::new(|_, stream| say(stream, "200 OK", &[], b"{\"tags\":[\"b\"]}"));
    let link = format!("Link: <http://{}/v2/>; rel=\"next\"", other.address);
    let registry =
        Server::new(move |_, stream| say(stream, "200 OK", &[&link], b"{\"tags\":[\"a\"]}"));
    let error = remote(&registry).registry().unwrap().tags().unwrap_err();
    assert!(error.to_string().contains("away from"), "{error}");
    assert!(other.asked().is_empty());
}
