//! `WWW-Authenticate`: which ways of authentication a server offers (RFC 9110, 11.6.1).
//!
//! Several challenges may stand in one header. What cannot be read ends the reading; what was read
//! before it counts. Pure.

/// One way of authentication that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password.
    Basic,
    /// A token from a token server.
    Bearer {
        /// Address of the token server.
        realm: String,
        /// What it is told of the registry's name.
        service: Option<String>,
        /// What access is asked for.
        scope: Option<String>,
    },
}

const LENGTH_MAX: usize = 8 << 10;
const PARAMETERS_MAX: usize = 64;

/// The challenges of one header that are known.
#[must_use]
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = if header.len() > LENGTH_MAX { "" } else { header };
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (scheme, after) = token(rest);
        if scheme.is_empty() {
            return found;
        }
        let (parameters, after) = parameters(after);
        rest = after;
        let get = |name: &str| {
            let found = parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = get("realm")
        {
            found.push(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let length = text.bytes().take_while(|b| is_token(*b)).count();
    text.split_at(length)
}

/// `name=value` pairs up to the next scheme; the rest begins with that scheme.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut pairs = Vec::new();
    let mut rest = text;
    while pairs.len() < PARAMETERS_MAX {
        let start = rest.trim_start_matches([' ', '\t', ',']);
        let (name, after) = token(start);
        let Some(after) = after.trim_start().strip_prefix('=') else {
            return (pairs, start);
        };
        if name.is_empty() {
            return (pairs, "");
        }
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => match unquote(quoted) {
                Some(read) => read,
                None => return (pairs, ""),
            },
            None => {
                let end = after.find([',', ' ', '\t']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        pairs.push((name.to_owned(), value));
        rest = after;
    }
    (pairs, "")
}

fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let own = |t: Option<&str>| t.map(str::to_owned);
        Challenge::Bearer { realm: realm.into(), service: own(service), scope: own(scope) }
    }

    #[test]
    fn challenges_are_read() {
        let docker = r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push""#;
        for (header, expected) in [
            ("Basic realm=\"x\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                docker,
                vec![bearer(
                    "https://auth.example/token",
                    Some("r"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            (
                "Bearer realm=https://a/t , service = r",
                vec![bearer("https://a/t", Some("r"), None)],
            ),
            (
                "Basic realm=\"a\", Bearer realm=\"b\\\"c\"",
                vec![Challenge::Basic, bearer("b\"c", None, None)],
            ),
            ("Negotiate, Basic realm=x", vec![Challenge::Basic]),
            ("Bearer service=\"no realm\"", vec![]),
            ("Bearer realm=\"open", vec![]),
            ("", vec![]),
            (",,,=", vec![]),
            ("=\"x\"", vec![]),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
        assert!(parse(&"Basic ".repeat(10_000)).is_empty());
    }

    #[test]
    fn any_text_ends() {
        let pieces = ["Bearer ", "Basic", "realm", "=", "\"", "\\", ",", " ", "ä", "x"];
        let mut seed = 1u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            assert!(parse(&text).len() <= 12);
        }
    }
}
