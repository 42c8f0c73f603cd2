//! Query strings and percent signs. Pure.

use crate::error::ApiError;

/// Parameters in their order; the last of a name counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses `a=b&c=d`.
    ///
    /// # Errors
    /// 400 for a broken escape.
    pub fn parse(text: &str) -> Result<Query, ApiError> {
        let pairs = text.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(&value.replace('+', " "))?))
        });
        Ok(Query(pairs.collect::<Result<_, ApiError>>()?))
    }

    /// The value of a parameter.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `1`, `true` or bare is set; `0`, `false` or absent is not.
    ///
    /// # Errors
    /// 400 for any other value.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name) {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(other) => Err(wrong(name, other, "true or false")),
        }
    }

    /// A whole number from 0.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) => {
                let number = text.parse().map_err(|_| wrong(name, text, "a number from 0"))?;
                Ok(Some(number))
            }
        }
    }
}

fn wrong(name: &str, value: &str, wanted: &str) -> ApiError {
    ApiError::bad_request(format!("{name}=\"{value}\": must be {wanted}"))
}

/// Undoes percent escapes.
///
/// # Errors
/// 400 for a broken escape or one that is not UTF-8.
pub fn decode(text: &str) -> Result<String, ApiError> {
    let broken = || ApiError::bad_request(format!("\"{text}\" has a broken percent escape"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or_else(broken);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).map_err(|_| broken())?);
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

/// Escapes what may not stand in a path segment or a query value.
#[must_use]
pub fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
