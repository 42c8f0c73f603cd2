//! What a build gets besides files: arguments, secrets, agents, the web.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use build::Version;

use super::usage;
use crate::args::BuildArgs;
use crate::failure::Failure;
use crate::settings;

/// Longest file that ADD fetches, bytes.
const FETCH_MAX: u64 = 4 << 30;

/// Fetches for ADD, by the host's proxies and authorities.
pub(super) fn fetch_file(
    url: &str,
    path: &Path,
    known: Option<&Version>,
) -> Result<Option<Version>, Box<dyn std::error::Error + Send + Sync>> {
    let settings = registry::Settings::usual(settings::variable)?;
    let known = known.map(|version| registry::Version {
        etag: version.etag.clone(),
        last_modified: version.last_modified.clone(),
    });
    let mut file = fs::File::create_new(path)?;
    let fetched = registry::fetch(&settings, url, known.as_ref(), (&mut file, FETCH_MAX));
    let Some(fetched) = fetched.inspect_err(|_| drop(fs::remove_file(path)))? else {
        fs::remove_file(path)?;
        return Ok(None);
    };
    if let Some(seconds) = fetched.modified {
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))?;
    }
    let registry::Version { etag, last_modified } = fetched.version;
    Ok(Some(Version { etag, last_modified }))
}

/// What Git gets of the environment: where programs are, the way out, and whom the caller knows.
pub(super) fn for_git() -> Vec<(String, String)> {
    const NAMES: [&str; 10] = [
        "PATH",
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "no_proxy",
        "NO_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];
    let one = |name: &str| Some((name.to_owned(), settings::variable(name)?));
    let mut all: Vec<(String, String)> = NAMES.into_iter().filter_map(one).collect();
    let known = settings::variable("HOME").map(|home| format!("{home}/.ssh/known_hosts"));
    // The path stands between quotes in what a shell reads.
    let known = known.filter(|path| !path.contains(['\'', '"', '\\']));
    let known = known.map(|path| format!(" -o 'UserKnownHostsFile=\"{path}\"'"));
    let ssh = format!("ssh -F /dev/null -o BatchMode=yes{}", known.unwrap_or_default());
    all.push(("GIT_SSH_COMMAND".into(), ssh));
    all
}

/// `default`, `id=socket`: the socket of each agent.
pub(super) fn agents(args: &BuildArgs, what: &str) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut all = BTreeMap::new();
    for text in &args.ssh {
        let wrong = |problem: &str| {
            usage(what, format!("--ssh {text}: {problem}"), "--ssh default, --ssh ID=SOCKET")
        };
        let (id, socket) = match text.split_once('=') {
            Some((id, socket)) => (id, socket.to_owned()),
            None => {
                let socket = settings::variable("SSH_AUTH_SOCK");
                (text.as_str(), socket.ok_or_else(|| wrong("SSH_AUTH_SOCK is not set"))?)
            }
        };
        let path = std::path::absolute(&socket).unwrap_or_else(|_| PathBuf::from(&socket));
        let kind = fs::metadata(&path).map(|meta| meta.file_type());
        if id.is_empty() || !kind.is_ok_and(|kind| kind.is_socket()) {
            return Err(wrong(&format!("{socket} is no socket of an agent (keys are not read)")));
        }
        all.insert(id.to_owned(), path);
    }
    Ok(all)
}

pub(super) fn build_args(args: &BuildArgs) -> BTreeMap<String, String> {
    let one = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), settings::variable(text)?)),
    };
    args.build_arg.iter().filter_map(one).collect()
}

/// `id=…,src=…`: the file of each; those of the environment are written to one of ours.
pub(super) fn secrets(
    args: &BuildArgs,
    what: &str,
    scratch: &Path,
) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut all = BTreeMap::new();
    for (i, text) in args.secret.iter().enumerate() {
        let wrong = |problem: &str| {
            usage(what, format!("--secret {text}: {problem}"), "--secret id=NAME,src=FILE")
        };
        let (mut id, mut file, mut env) = (None, None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("src" | "source", value)) => file = Some(PathBuf::from(value)),
                Some(("env", value)) => env = Some(value.to_owned()),
                Some(("type", "file" | "env")) => {}
                _ => return Err(wrong(&format!("{part} is not known"))),
            }
        }
        let id = id.ok_or_else(|| wrong("has no id"))?;
        let path = match (file, env.or_else(|| Some(id.clone()))) {
            (Some(file), _) => file,
            (None, Some(name)) => {
                let value = settings::variable(&name);
                let value = value.ok_or_else(|| wrong("names neither a file nor a variable"))?;
                let path = scratch.join(format!("secret-{i}"));
                fs::write(&path, value).map_err(|e| Failure::of(what, &e))?;
                path
            }
            (None, None) => return Err(wrong("names no file")),
        };
        if !path.is_file() {
            return Err(wrong(&format!("{} is no file", path.display())));
        }
        all.insert(id, std::path::absolute(&path).unwrap_or(path));
    }
    Ok(all)
}
