//! What an answer to a request for the rest of a blob means (RFC 9110, 14). Pure.

/// What to do with the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It begins where it was asked to.
    Follows,
    /// It is the whole blob: so many bytes are to be passed over.
    Whole {
        /// Bytes that are there already.
        skip: u64,
    },
}

/// Reads an answer to a request for the bytes `from` up to `end` of a blob of `size` bytes.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn of(
    status: u16,
    content_range: Option<&str>,
    (from, end): (u64, u64),
    size: u64,
) -> Result<Rest, String> {
    match status {
        200 => Ok(Rest::Whole { skip: from }),
        206 => {
            let header = content_range.ok_or("206 without Content-Range")?;
            let (first, last, total) =
                parse(header).ok_or_else(|| format!("Content-Range {header:?} is no range"))?;
            if first != from {
                return Err(format!("bytes from {first} came, from {from} were asked for"));
            }
            if last + 1 != end || total.is_some_and(|t| t != size) {
                return Err(format!("Content-Range {header:?} does not fit {size} bytes"));
            }
            Ok(Rest::Follows)
        }
        other => Err(format!("status {other} to a range")),
    }
}

/// First, last and total of `bytes 0-9/10`.
#[must_use]
pub(crate) fn parse(header: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |t: &str| {
        (!t.is_empty() && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok()).flatten()
    };
    let total = if total == "*" { None } else { Some(number(total)?) };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && total.is_none_or(|t| last < t)).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_a_range_are_checked() {
        assert_eq!(of(206, Some("bytes 4-9/10"), (4, 10), 10), Ok(Rest::Follows));
        assert_eq!(of(206, Some("bytes 4-9/*"), (4, 10), 10), Ok(Rest::Follows));
        assert_eq!(of(200, None, (4, 10), 10), Ok(Rest::Whole { skip: 4 }));
        assert_eq!(of(206, Some("bytes 4-6/10"), (4, 7), 10), Ok(Rest::Follows));
        for (status, header) in [
            (206, None),
            (206, Some("bytes 0-9/10")),
            (206, Some("bytes 5-9/10")),
            (206, Some("bytes 4-8/10")),
            (206, Some("bytes 4-9/11")),
            (206, Some("bytes 9-4/10")),
            (206, Some("bytes 4-9/5")),
            (206, Some("bytes +4-9/10")),
            (206, Some("bytes */10")),
            (206, Some("items 4-9/10")),
            (416, None),
            (204, None),
        ] {
            assert!(of(status, header, (4, 10), 10).is_err(), "{status} {header:?}");
        }
    }
}
