//! Plain scalars as kubectl reads them (sigs.k8s.io/yaml, which is YAML 1.1 with a few 1.2 forms).
//!
//! `0644` is 420, `0o17` is 15, `0x1f` is 31, `1_000` is 1000; `yes`, `on` and `y`-less forms are
//! booleans. A quoted scalar is text and never comes here.

/// `~`, `null` or nothing.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// YAML 1.1 booleans; `y` and `n` alone are text, as in go-yaml.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// YAML 1.1 integers: decimal, octal (`0644`, `0o644`), hexadecimal, binary, `_` between digits.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    let (radix, digits) = match plain.as_bytes() {
        [b'0', b'x' | b'X', rest @ ..] if !rest.is_empty() => (16, &plain[2..]),
        [b'0', b'o' | b'O', rest @ ..] if !rest.is_empty() => (8, &plain[2..]),
        [b'0', b'b' | b'B', rest @ ..] if !rest.is_empty() => (2, &plain[2..]),
        // go-yaml falls back to a float for 089; a float is no integer for us.
        [b'0', rest @ ..] if !rest.is_empty() => (8, &plain[1..]),
        _ => (10, plain.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// Floats, including an integral one such as `1e3`.
pub(crate) fn float(text: &str) -> Option<f64> {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    match rest {
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if !rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-' | '_')) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// What a plain scalar is, in words, when text was wanted; `None` when it is text.
pub(crate) fn non_text(text: &str) -> Option<&'static str> {
    if is_null(text) {
        Some("null")
    } else if boolean(text).is_some() {
        Some("a boolean")
    } else if integer(text).is_some() || float(text).is_some() {
        Some("a number")
    } else {
        None
    }
}
