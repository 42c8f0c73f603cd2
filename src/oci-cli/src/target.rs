//! Where `--log` sends lines: a file, the journal, or syslog, as crun names them.
//!
//! `file:PATH` or a bare path, `journald:IDENTIFIER`, `syslog:IDENTIFIER`. The journal's and
//! syslog's lines are datagrams; a receiver that does not take them is not waited for longer than
//! [`PATIENCE`]. Not here: what a line says (`report`).
//! Sources: systemd.io/JOURNAL_NATIVE_PROTOCOL, RFC 3164, crun(1).

use std::fs::File;
use std::io::{Error, Result, Write};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";
/// Facility LOG_USER of syslog(3).
const USER: u8 = 1 << 3;
const PATIENCE: Duration = Duration::from_secs(1);

/// An open target.
#[derive(Debug)]
pub(crate) enum Target {
    /// A file that lines are appended to.
    File(File),
    /// The journal's socket and what its lines are from.
    Journal(UnixDatagram, String),
    /// The same of syslog.
    Syslog(UnixDatagram, String),
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// 3 error, 4 warning, 7 debug, as syslog(3) has them.
    pub(crate) severity: u8,
    /// What is told, without a line feed.
    pub(crate) text: &'a str,
    /// What to try next, where the text does not hold it.
    pub(crate) hint: Option<&'a str>,
    /// The container's id, when one was given.
    pub(crate) id: Option<&'a str>,
}

impl Target {
    /// Opens what `--log` names.
    ///
    /// # Errors
    /// open(2)'s of a file, connect(2)'s of a socket.
    pub(crate) fn open(named: &str) -> Result<Target> {
        match named.split_once(':') {
            Some(("journald", name)) => Ok(Target::Journal(connected(JOURNAL)?, name.to_owned())),
            Some(("syslog", name)) => Ok(Target::Syslog(connected(SYSLOG)?, name.to_owned())),
            Some(("file", path)) => Target::file(path),
            _ => Target::file(named),
        }
    }

    fn file(path: &str) -> Result<Target> {
        File::options().append(true).create(true).open(path).map(Target::File)
    }

    /// Sends one message; `line` is what a file gets for it.
    ///
    /// # Errors
    /// write(2)'s, send(2)'s: EAGAIN when nobody takes it, EMSGSIZE when it is too long.
    pub(crate) fn send(&self, message: &Message<'_>, line: &str) -> Result<()> {
        let named = |name: &str| match (name, message.id) {
            ("", id) => id.unwrap_or(env!("CARGO_BIN_NAME")).to_owned(),
            (name, _) => name.to_owned(),
        };
        match self {
            Target::File(file) => {
                let mut file: &File = file;
                file.write_all(line.as_bytes())
            }
            Target::Journal(socket, name) => {
                socket.send(&journal(message, &named(name))).map(|_| ())
            }
            Target::Syslog(socket, name) => {
                socket.send(syslog(message, &named(name)).as_bytes()).map(|_| ())
            }
        }
    }
}

fn connected(path: &str) -> Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    let named = |error: Error| Error::new(error.kind(), format!("{path}: {error}"));
    socket.connect(path).map_err(named)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A datagram of the journal's native protocol.
fn journal(message: &Message<'_>, name: &str) -> Vec<u8> {
    let severity = message.severity.to_string();
    let mut fields = vec![("MESSAGE", message.text), ("PRIORITY", severity.as_str())];
    fields.push(("SYSLOG_IDENTIFIER", name));
    fields.extend(message.id.map(|id| ("ID", id)));
    fields.extend(message.hint.map(|hint| ("HINT", hint)));
    let mut out = Vec::new();
    for (field, value) in fields {
        out.extend_from_slice(field.as_bytes());
        if value.contains('\n') {
            // Or whoever writes the text would write fields.
            out.push(b'\n');
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
    out
}

/// A message as syslogd takes it: without a time, which it has better.
fn syslog(message: &Message<'_>, name: &str) -> String {
    let priority = USER | message.severity;
    let plain = |text: &str| text.replace(|letter: char| letter.is_control(), " ");
    let hint = message.hint.map(|hint| format!(" hint={hint:?}")).unwrap_or_default();
    format!("<{priority}>{}: {}{hint}", plain(name), plain(message.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Message<'_> = Message { severity: 3, text: "no", hint: None, id: Some("c") };

    #[test]
    fn the_journal_gets_fields() {
        let plain = b"MESSAGE=no\nPRIORITY=3\nSYSLOG_IDENTIFIER=n\nID=c\n";
        assert_eq!(journal(&MESSAGE, "n"), plain);
    }

    #[test]
    fn a_line_feed_makes_no_field() {
        let message = Message { text: "a\nID=x", id: None, ..MESSAGE };
        let counted = b"MESSAGE\n\x06\0\0\0\0\0\0\0a\nID=x\nPRIORITY=3\nSYSLOG_IDENTIFIER=n\n";
        assert_eq!(journal(&message, "n"), counted);
    }

    #[test]
    fn syslog_gets_one_line() {
        let message = Message { text: "a\n<1>b", ..MESSAGE };
        assert_eq!(syslog(&message, "n\t"), "<11>n : a <1>b");
    }
}
