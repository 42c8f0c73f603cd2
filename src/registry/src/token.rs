//! Tokens from a token server (distribution's token authentication, and OAuth2's refresh form).
//!
//! A redirect of the token server is refused: it would carry the credentials on.

use ureq::http::Method;

use base64::Engine as _;

use crate::challenge::Challenge;
use crate::credentials::{BASE64, Credential};
use crate::error::Result;
use crate::http::Payload;
use crate::origin::{Origin, may_ask_for_token};
use crate::session::Session;

const ANSWER_MAX: u64 = 1 << 20;

#[derive(serde::Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The header for a name and a password.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Gets a token for `scopes` from the server that a challenge of `home` names.
pub(crate) fn fetch(
    session: &Session,
    home: &Origin,
    challenge: &Challenge,
    scopes: &[String],
) -> Result<String> {
    let Challenge::Bearer { realm, service, .. } = challenge else {
        return Err(session.protocol("authenticating", "no token server is named"));
    };
    let action = "asking for a token";
    let wrong = |problem: String| {
        session.protocol(action, &format!("token server {}: {problem}", crate::error::shown(realm)))
    };
    let (origin, path) = Origin::of_url(realm).map_err(&wrong)?;
    may_ask_for_token(home, &origin).map_err(&wrong)?;
    let mut form: Vec<(&str, &str)> = Vec::new();
    if let Some(service) = service {
        form.push(("service", service));
    }
    let joined = scopes.join(" ");
    let mut headers: Vec<(&str, String)> = Vec::new();
    let by_post = matches!(session.credential(), Some(Credential::Identity(_)));
    match session.credential() {
        Some(Credential::Identity(token)) => {
            form.push(("grant_type", "refresh_token"));
            form.push(("refresh_token", token));
            form.push(("client_id", "podvisor"));
            form.push(("scope", &joined));
        }
        Some(Credential::Password { user, password }) => {
            headers.push(("Authorization", basic(user, password)));
            form.push(("account", user));
        }
        None => {}
    }
    if !by_post {
        form.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
    }
    let text: Vec<String> =
        form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let text = text.join("&");
    let answer = if by_post {
        headers.push(("Content-Type", "application/x-www-form-urlencoded".into()));
        let payload = Payload::Bytes(text.as_bytes());
        session.exchange((&Method::POST, &origin, &path), &headers, payload, action)
    } else {
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = if text.is_empty() { path } else { format!("{path}{mark}{text}") };
        session.exchange((&Method::GET, &origin, &path), &headers, Payload::None, action)
    }?;
    let status = answer.status().as_u16();
    if answer.status().is_redirection() {
        return Err(wrong("it sends us elsewhere".into()));
    }
    if status != 200 {
        return Err(session.refused(answer, action));
    }
    let bytes = session.body(answer, ANSWER_MAX, action)?;
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|_| wrong("its answer is no token".into()))?;
    let token = answer.token.or(answer.access_token).filter(|t| !t.is_empty());
    let token = token.ok_or_else(|| wrong("its answer holds no token".into()))?;
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong("its token is no word".into()));
    }
    Ok(format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_break_a_form() {
        assert_eq!(encode("repository:a/b:pull,push"), "repository%3Aa%2Fb%3Apull%2Cpush");
        assert_eq!(encode("a&b=c d\n"), "a%26b%3Dc%20d%0A");
        assert_eq!(basic("a", "b:c"), "Basic YTpiOmM=");
    }
}
