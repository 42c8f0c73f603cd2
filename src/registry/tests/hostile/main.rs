//! A client among hostile and broken servers: what it shows to whom, what it takes, when it ends.
//! Each server is a few lines of the test; the real registry is tried in tests/registry.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod authority;
mod bodies;
mod cancel;
mod server;

use std::io::Read;
use std::time::Duration;

use registry::{Credential, Pace, Purpose, Remote, Settings};
use server::Server;

/// Settings for plain servers on loopback, impatient.
fn settings() -> Settings {
    Settings {
        insecure: true,
        tries: Some(3),
        pace: Pace { silence: Duration::from_secs(2), window: Duration::from_secs(3), bytes: 1000 },
        given: Some(Credential::Password { user: "me".into(), password: "hunter2".into() }),
        ..Settings::default()
    }
}

fn remote(server: &Server) -> Remote {
    Remote::new(&settings(), &server.address, "team/web", Purpose::Pull(false)).unwrap()
}

/// A blob of `text` from `from` on, or the error in words.
fn blob(remote: &Remote, size: usize, from: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let digest = format!("sha256:{}", "a".repeat(64));
    match remote.blob(&digest, size as u64, from).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.get_ref().and_then(|e| e.source());
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            assert!(!text.contains("hunter2"), "a password in an error: {text}");
            Err(text)
        }
    }
}
