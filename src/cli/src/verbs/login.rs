//! `login` and `logout`, and asking for a password.

use std::io::{self, BufRead, IsTerminal, Read};
use std::os::fd::AsFd;
use std::process::ExitCode;

use registry::{Files, Purpose, Remote};

use super::Ended;
use super::pull::registries;
use crate::args::{LoginArgs, LogoutArgs, RegistryArgs};
use crate::failure::Failure;
use crate::{print, settings};

const PASSWORD_MAX: usize = 64 << 10;

/// The credentials are shown to the registry before they are kept.
pub(super) fn login(args: &LoginArgs) -> Ended {
    let server = server(&args.server);
    let what = format!("login {server}");
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask_name(&what)?,
    };
    if user.contains(':') {
        return Err(Failure::new(what, "a user name cannot contain a colon").code(2));
    }
    let password = match &args.password {
        Some(password) => password.clone(),
        None if args.password_stdin => from_stdin(&what)?,
        None => password(&what, &user)?,
    };
    let creds = Some(format!("{user}:{password}"));
    let speak = RegistryArgs { creds, speak: args.speak.clone() };
    let settings = registries(&speak, &what)?;
    let of = |error: registry::Error| Failure::of(what.as_str(), &error).hint_maybe(error.hint());
    let remote = Remote::new(&settings, server, "", Purpose::Push).map_err(of)?;
    remote.registry().and_then(|r| r.ping()).map_err(|error| match error {
        registry::Error::Unauthorized { .. } => {
            of(error).hint("look at name and password; nothing is kept")
        }
        error => of(error),
    })?;
    let path = settings.credentials.store(server, &user, &password).map_err(of)?;
    print::out(&format!("logged in to {server} as {user}, kept in {}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn logout(args: &LogoutArgs) -> Ended {
    let server = server(&args.server);
    let what = format!("logout {server}");
    let files = match &args.authfile {
        Some(file) => Files(vec![file.clone()]),
        None => Files::usual(settings::variable),
    };
    let changed = files.forget(server);
    let changed = changed.map_err(|error| Failure::of(what.as_str(), &error))?;
    if changed.is_empty() {
        let none = Failure::new(what, "no credentials for it are kept");
        return Err(none.hint("those of a credential helper are removed by that helper"));
    }
    for path in changed {
        print::out(&format!("forgot {server} in {}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The host of what people paste.
fn server(text: &str) -> &str {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let bare = bare.unwrap_or(text);
    let host = bare.split('/').next().unwrap_or(bare);
    if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host }
}

fn ask_name(what: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(what, "no user name").hint("give it with --username").code(2));
    }
    print::err("User name: ");
    let mut name = String::new();
    io::stdin().read_line(&mut name).map_err(|error| Failure::of(what, &error))?;
    Ok(name.trim().to_owned())
}

/// All of stdin but the newline at its end.
fn from_stdin(what: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().take(PASSWORD_MAX as u64).read_to_string(&mut text);
    read.map_err(|error| Failure::of(what, &error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

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
