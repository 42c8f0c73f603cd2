//! `login` and `logout`, and asking for a password.

use std::io::{self, BufRead, IsTerminal, Read};
use std::os::fd::AsFd;

use crate::failure::Failure;
use crate::print;

const PASSWORD_MAX: usize = 64 << 10;

/// Asks on the terminal for a password, which is not shown.
pub(super) fn password(what: &str, user: &str) -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let failure = Failure::new(what, format!("no password for {user}, and no terminal to ask"));
        return Err(failure.hint("give it with --password-stdin").code(2));
    }
    print::err(&format!("Password for {user}: "));
    let raw = sys::foreground::RawMode::enter_input(stdin.as_fd());
    let raw = raw.map_err(|error| Failure::of(what, &error))?;
    let read = line(&mut stdin.lock());
    drop(raw);
    print::err("\n");
    match read.map_err(|error| Failure::of(what, &error))? {
        Some(password) => Ok(password),
        // Ctrl-C in raw mode is a byte.
        None => Err(Failure::quiet(130)),
    }
}

/// A line typed in raw mode; `None` when it was broken off.
fn line(input: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    for byte in input.bytes() {
        match byte? {
            b'\r' | b'\n' => break,
            3 => return Ok(None),
            4 if bytes.is_empty() => return Ok(None),
            8 | 127 => {
                // The last character whole, however many bytes it has.
                while bytes.pop().is_some_and(|b: u8| b & 0xc0 == 0x80) {}
            }
            21 => bytes.clear(),
            byte if bytes.len() < PASSWORD_MAX => bytes.push(byte),
            _ => {}
        }
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_typed_with_corrections() {
        let typed = |bytes: &[u8]| line(&mut &bytes[..]).unwrap();
        assert_eq!(typed(b"secret\r").as_deref(), Some("secret"));
        assert_eq!(typed("aä\x7f\x7fb\n".as_bytes()).as_deref(), Some("b"));
        assert_eq!(typed(b"wrong\x15right\n").as_deref(), Some("right"));
        assert_eq!(typed(b"wrong\x03"), None);
        assert_eq!(typed(b"\x04"), None);
        assert_eq!(typed(b"no end").as_deref(), Some("no end"));
    }
}
