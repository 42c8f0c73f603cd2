//! One HTTP/1.1 GET for a probe: bounded, without redirects, connections closed.
//!
//! Source: kubelet's pkg/probe/http. The answer may come from anybody, so every length has a limit
//! and nothing in it is trusted. Only the status and the beginning of the body are read.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Most bytes of an answer's head.
const HEAD_MAX: usize = 16 * 1024;
/// Most bytes of a body that are looked at.
const BODY_MAX: usize = 10 * 1024;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Get {
    /// Path with query, begins with a slash.
    pub(super) path: String,
    /// Of the `Host` header, unless `headers` has one.
    pub(super) host: String,
    /// Further headers.
    pub(super) headers: Vec<(String, String)>,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Of a redirect.
    pub(super) location: Option<String>,
    /// The beginning of the body.
    pub(super) body: String,
}

impl Get {
    /// The request as it is sent. Nothing of it can end a line early.
    fn text(&self) -> String {
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        let path = plain(&self.path).replace(' ', "%20");
        let mut text = format!("GET {path} HTTP/1.1\r\n");
        let mut add = |name: &str, value: &str| {
            text.push_str(&format!("{}: {}\r\n", plain(name), plain(value)));
        };
        let given = |name: &str| self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        for (name, value) in
            [("Host", self.host.as_str()), ("User-Agent", "podvisor-probe/1"), ("Accept", "*/*")]
        {
            if !given(name) {
                add(name, value);
            }
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        add("Connection", "close");
        text.push_str("\r\n");
        text
    }
}

/// Asks over a fresh connection.
///
/// # Errors
/// In words.
pub(super) async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &Get,
) -> Result<Answer, String> {
    let failed = |error: std::io::Error| error.to_string();
    stream.write_all(request.text().as_bytes()).await.map_err(failed)?;
    let mut bytes = Vec::new();
    let (head, mut body) = loop {
        if let Some(end) = head_end(&bytes) {
            let body = bytes.split_off(end);
            break (bytes, body);
        }
        if bytes.len() > HEAD_MAX {
            return Err(format!("the answer's head exceeds {HEAD_MAX} bytes"));
        }
        if stream.read_buf(&mut bytes).await.map_err(failed)? == 0 {
            return Err("the connection was closed before an answer".to_owned());
        }
    };
    let (status, location, length) = parse_head(&head)?;
    let wanted = length.unwrap_or(BODY_MAX).min(BODY_MAX);
    // A body that is cut short is as good as its beginning.
    while body.len() < wanted && matches!(stream.read_buf(&mut body).await, Ok(1..)) {}
    body.truncate(BODY_MAX);
    Ok(Answer { status, location, body: String::from_utf8_lossy(&body).into_owned() })
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

type Head = (u16, Option<String>, Option<usize>);

/// Status, location and length of the body.
fn parse_head(head: &[u8]) -> Result<Head, String> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .filter(|code| (100..1000).contains(code))
        .ok_or_else(|| {
            format!("not an HTTP answer: {:?}", first.chars().take(80).collect::<String>())
        })?;
    let header = |name: &str| {
        let mut all = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        all.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let length = header("content-length").and_then(|value| value.parse().ok());
    Ok((status, header("location").map(str::to_owned), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Get {
        Get { path: "/ok?a b\r\nX: y".into(), host: "10.0.0.1:80".into(), headers: Vec::new() }
    }

    async fn ask(answer: &'static [u8]) -> Result<Answer, String> {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let server = async move {
            let mut seen = Vec::new();
            while head_end(&seen).is_none() {
                theirs.read_buf(&mut seen).await.unwrap();
            }
            theirs.write_all(answer).await.unwrap();
            String::from_utf8(seen).unwrap()
        };
        let own = request();
        let (answer, seen) = tokio::join!(get(ours, &own), server);
        assert!(
            seen.starts_with("GET /ok?a%20bX:%20y HTTP/1.1\r\nHost: 10.0.0.1:80\r\n"),
            "{seen}"
        );
        answer
    }

    #[tokio::test]
    async fn status_and_body_are_read() {
        let answer =
            ask(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!more").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, "no!more"));
        let answer = ask(b"HTTP/1.0 302 Found\r\nLOCATION:  /else \r\n\r\n").await.unwrap();
        assert_eq!((answer.status, answer.location.as_deref()), (302, Some("/else")));
    }

    #[tokio::test]
    async fn nonsense_is_told() {
        for (answer, words) in [
            (&b"SSH-2.0-OpenSSH\r\n\r\n"[..], "not an HTTP answer"),
            (b"HTTP/1.1 abc\r\n\r\n", "not an HTTP answer"),
            (b"HTTP/1.1 200", "closed before"),
            (b"", "closed before"),
        ] {
            let error = ask(answer).await.unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn own_headers_win() {
        let headers = vec![("host".to_owned(), "web".to_owned()), ("X".to_owned(), "1".to_owned())];
        let text = Get { path: "/".into(), headers, ..request() }.text();
        assert!(text.contains("host: web\r\n") && text.contains("X: 1\r\n"), "{text}");
        assert!(!text.contains("10.0.0.1"), "{text}");
        assert!(text.ends_with("Connection: close\r\n\r\n"), "{text}");
    }
}
