//! The flags of an instruction, `--name=value`, each known by its instruction. Pure.

use super::{Mount, MountKind, Network};
use crate::near::nearest;
use crate::source::{Line, Mistake};
use crate::words;

/// Flags in front of an instruction's words.
pub(super) struct Flags<'a> {
    line: &'a Line,
    given: Vec<(usize, &'a str, Option<&'a str>)>,
    /// Where the rest begins.
    pub(super) rest: usize,
}

impl<'a> Flags<'a> {
    /// Takes the flags that stand at `at` and behind; `known` are the instruction's.
    pub(super) fn take(
        line: &'a Line,
        at: usize,
        escape: char,
        known: &[&str],
    ) -> Result<Flags<'a>, Mistake> {
        let mut given = Vec::new();
        let mut rest = line.text.len();
        for (offset, word) in words::split(&line.text[at..], escape) {
            let offset = at + offset;
            let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
                rest = offset;
                break;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, None),
            };
            if !known.contains(&name) {
                let mistake = line.mistake(offset, format!("--{name} is not known here"));
                return Err(match nearest(name, known) {
                    Some(near) => mistake.hint(format!("did you mean --{near}?")),
                    None if known.is_empty() => mistake.hint("this instruction has no flags"),
                    None => mistake.hint(format!("it can be --{}", known.join(", --"))),
                });
            }
            given.push((offset, name, value));
        }
        Ok(Flags { line, given, rest })
    }

    /// The values of a flag that may stand several times.
    pub(super) fn all(&self, name: &str) -> Result<Vec<(usize, &'a str)>, Mistake> {
        let mut all = Vec::new();
        for (offset, _, value) in self.given.iter().filter(|(_, n, _)| *n == name) {
            let missing = || self.line.mistake(*offset, format!("--{name} needs a value"));
            all.push((*offset, value.filter(|v| !v.is_empty()).ok_or_else(missing)?));
        }
        Ok(all)
    }

    /// The value of a flag that may stand once.
    pub(super) fn one(&self, name: &str) -> Result<Option<(usize, &'a str)>, Mistake> {
        let mut all = self.all(name)?.into_iter();
        let first = all.next();
        match all.next() {
            None => Ok(first),
            Some((offset, _)) => Err(self.line.mistake(offset, format!("--{name} stands twice"))),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Mistake> {
        Ok(self.one(name)?.map(|(_, value)| unquoted(value)))
    }

    /// A flag that is there or not, or says so.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Mistake> {
        let Some((offset, _, value)) = self.given.iter().find(|(_, n, _)| *n == name) else {
            return Ok(false);
        };
        let wrong = || self.line.mistake(*offset, format!("--{name} can be true or false"));
        truth(value.unwrap_or("true")).ok_or_else(wrong)
    }
}

pub(super) fn unquoted(value: &str) -> String {
    let inner = |quote| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value).to_owned()
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "" | "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// `--network`.
pub(super) fn network(value: &str) -> Result<Option<Network>, String> {
    match value {
        "default" => Ok(None),
        "none" => Ok(Some(Network::None)),
        "host" => Ok(Some(Network::Host)),
        other => Err(format!("--network={other}: it can be default, none or host")),
    }
}

/// The pairs of a `--mount`.
struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn read(text: &str) -> Pairs {
        let pair = |part: &str| match part.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), unquoted(value.trim())),
            None => (part.trim().to_ascii_lowercase(), String::new()),
        };
        let text = unquoted(text);
        Pairs(text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect())
    }

    fn get(&self, names: &[&str]) -> Option<String> {
        let found = self.0.iter().find(|(key, _)| names.contains(&key.as_str()));
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    fn truth(&self, names: &[&str]) -> Result<Option<bool>, String> {
        let Some((key, value)) = self.0.iter().find(|(key, _)| names.contains(&key.as_str()))
        else {
            return Ok(None);
        };
        truth(value).map(Some).ok_or_else(|| format!("{key}={value}: it can be true or false"))
    }

    fn number(&self, name: &str, radix: u32) -> Result<Option<u32>, String> {
        let Some(text) = self.get(&[name]) else { return Ok(None) };
        let digits = if radix == 8 { text.trim_start_matches("0o") } else { text.as_str() };
        let number = u32::from_str_radix(digits, radix);
        number.map(Some).map_err(|_| format!("{name}={text} is no number of base {radix}"))
    }

    fn check(&self, known: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) => Err(match nearest(key, known) {
                Some(near) => format!("--mount knows no {key}: did you mean {near}?"),
                None => format!("--mount knows no {key}: it can be {}", known.join(", ")),
            }),
        }
    }
}

/// `--mount`.
pub(super) fn mount(text: &str) -> Result<Mount, String> {
    const TARGET: [&str; 3] = ["target", "dst", "destination"];
    let pairs = Pairs::read(text);
    let kind = pairs.get(&["type"]).unwrap_or_else(|| "bind".into());
    let own: &[&str] = match kind.as_str() {
        "cache" => &["id", "sharing", "readonly", "ro", "from", "source", "mode", "uid", "gid"],
        "secret" => &["id", "required", "env", "mode", "uid", "gid"],
        "bind" => &["from", "source", "src", "rw", "readwrite", "readonly", "ro"],
        "tmpfs" => &["size"],
        "ssh" => &["id", "required", "mode", "uid", "gid"],
        other => return Err(format!("--mount=type={other}: cache, secret, ssh, bind or tmpfs")),
    };
    pairs.check(&[&["type"], &TARGET[..], own].concat())?;
    let target = pairs.get(&TARGET);
    let id = pairs.get(&["id"]);
    let read_only = pairs.truth(&["readonly", "ro"])?;
    let mut writable = read_only.map(|ro| !ro);
    let kind = match kind.as_str() {
        "cache" => {
            if pairs.get(&["from"]).is_some() || pairs.get(&["source"]).is_some() {
                return Err(
                    "a cache mount begins empty here: from and source are not to be had".into()
                );
            }
            let sharing = pairs.get(&["sharing"]).unwrap_or_else(|| "shared".into());
            if !["shared", "private", "locked"].contains(&sharing.as_str()) {
                return Err(format!("sharing={sharing}: it can be shared, private or locked"));
            }
            MountKind::Cache { id, locked: sharing != "shared" }
        }
        "secret" => {
            let env = pairs.get(&["env"]);
            let required = pairs.truth(&["required"])?.unwrap_or(false);
            if id.is_none() && target.is_none() {
                return Err("a secret mount needs an id: --mount=type=secret,id=…".into());
            }
            MountKind::Secret { id, env, required }
        }
        "ssh" => MountKind::Ssh {
            id: id.unwrap_or_else(|| "default".into()),
            required: pairs.truth(&["required"])?.unwrap_or(false),
        },
        "tmpfs" => {
            let size = pairs.get(&["size"]);
            let size = size.map(|text| bytes(&text).ok_or(format!("size={text} is no size")));
            MountKind::Tmpfs { size: size.transpose()? }
        }
        _ => {
            writable = pairs.truth(&["rw", "readwrite"])?.or(writable).or(Some(false));
            let source = pairs.get(&["source", "src"]).unwrap_or_else(|| "/".into());
            MountKind::Bind { from: pairs.get(&["from"]), source }
        }
    };
    if target.is_none() && !matches!(kind, MountKind::Secret { .. } | MountKind::Ssh { .. }) {
        return Err("--mount needs a target: --mount=…,target=/path".into());
    }
    let (uid, gid) = (pairs.number("uid", 10)?, pairs.number("gid", 10)?);
    Ok(Mount {
        kind,
        target,
        writable: writable.unwrap_or(true),
        mode: pairs.number("mode", 8)?,
        uid: uid.unwrap_or(0),
        gid: gid.unwrap_or(0),
    })
}

/// `64m`, `1g`, `1000`.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.trim_end_matches('b').trim_end_matches('i');
    let (digits, shift) = match lower.chars().last()? {
        'k' => (&lower[..lower.len() - 1], 10),
        'm' => (&lower[..lower.len() - 1], 20),
        'g' => (&lower[..lower.len() - 1], 30),
        _ => (lower, 0),
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}
