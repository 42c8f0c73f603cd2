//! `ADD https://…/x.git#ref:folder`: one commit of a repository, by the host's `git`.
//!
//! What a stranger's repository could make that program do is shut off: no configuration of the
//! caller, the host or the repository names a program, hooks and file system monitors are off, and
//! it speaks https, http, ssh and git only. No submodules, no LFS. The files have Git's two modes and
//! the time of the commit, so that they are the same each time.

use std::path::Path;
use std::process::Command;

use sys::dir::Stamp;
use sys::survey::Form;

use super::Work;
use crate::error::{Error, Result};
use crate::select::{Chosen, Tree};

/// What takes a program out of the configuration, whoever has written that.
const SETTINGS: [&str; 7] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.symlinks=true",
    "core.autocrlf=false",
    "credential.helper=",
    "advice.detachedHead=false",
];
const HINT: &str = "https://host/repository.git#branch-or-commit:folder";

/// A commit's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    url: String,
    /// Branch, tag or commit; the server's default.
    reference: Option<String>,
    /// Within it; the whole is empty.
    folder: String,
}

impl Repository {
    /// What a URL names, if that is a repository.
    pub(super) fn of(text: &str) -> Result<Option<Repository>> {
        let (url, rest) = text.split_once('#').unwrap_or((text, ""));
        let web = url.starts_with("http://") || url.starts_with("https://");
        if web && !url.trim_end_matches('/').ends_with(".git") {
            return Ok(None);
        }
        let (reference, folder) = rest.split_once(':').unwrap_or((rest, ""));
        let plain = |text: &str| {
            !text.starts_with('-') && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
        };
        let place = url.split_once("://").map_or(url, |(_, place)| place);
        if !plain(url) || !plain(place) || !plain(reference) || reference.contains("..") {
            return Err(Error::refused(format!("{text} is no repository"), HINT));
        }
        let reference = Some(reference.to_owned()).filter(|text| !text.is_empty());
        let folder = crate::ignore::clean(folder);
        Ok(Some(Repository { url: url.to_owned(), reference, folder }))
    }
}

impl Work<'_> {
    /// Brings the files of a repository to the folder `within` of `tree`.
    pub(super) fn cloned(
        &mut self,
        repository: &Repository,
        tree: &Tree,
        within: &Path,
    ) -> Result<Chosen> {
        let (own, home) = (self.fresh("git")?, self.fresh("home")?);
        let git = Git { work: self, own: &own, home: &home, files: within, of: repository };
        git.done(&["init", "--quiet", "--template="])?;
        let reference = repository.reference.as_deref().unwrap_or("HEAD");
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let url = repository.url.as_str();
        let target = match git.done(&[&fetch[..], &["--depth=1", "--", url, reference]].concat()) {
            Ok(_) => "FETCH_HEAD",
            Err(error @ (Error::Interrupted { .. } | Error::Cancelled)) => return Err(error),
            // Not every server gives a commit alone, or without those before it.
            Err(_) if is_commit(reference) => {
                git.done(&[&fetch[..], &["--", url, "+refs/*:refs/remotes/all/*"]].concat())?;
                reference
            }
            Err(_) => {
                git.done(&[&fetch[..], &["--", url, reference]].concat())?;
                "FETCH_HEAD"
            }
        };
        git.done(&["checkout", "--quiet", "--force", "--detach", target])?;
        let time = git.done(&["log", "-1", "--format=%ct"])?;
        let time = time.trim().parse().unwrap_or_default();
        let place = within.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut chosen =
            tree.file(format!("{place}/{}", repository.folder).trim_end_matches('/'))?;
        uniform(&mut chosen, time);
        Ok(Chosen { fetched: true, ..chosen })
    }
}

fn is_commit(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && reference.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Gives all files the rights that Git knows, whatever the caller's umask is, and one time.
fn uniform(chosen: &mut Chosen, seconds: i64) {
    let own = std::iter::once(&mut chosen.facts);
    for facts in own.chain(chosen.items.iter_mut().map(|item| &mut item.facts)) {
        facts.modified = Stamp { seconds, nanos: 0 };
        facts.mode = match facts.form {
            Form::Folder => 0o755,
            Form::File if facts.mode & 0o100 != 0 => 0o755,
            Form::File => 0o644,
            _ => facts.mode,
        };
    }
}

/// The program, and the folders that it may use.
struct Git<'a> {
    work: &'a Work<'a>,
    own: &'a Path,
    home: &'a Path,
    files: &'a Path,
    of: &'a Repository,
}

impl Git<'_> {
    /// Runs it; gives what it writes.
    fn done(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.args(args).current_dir(self.files).env_clear();
        command.env("GIT_DIR", self.own).env("GIT_WORK_TREE", self.files).env("HOME", self.home);
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("GIT_ALLOW_PROTOCOL", "https:http:ssh:git"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        command.envs(self.work.options.git.iter().map(|(name, value)| (name, value)));
        if let Some(socket) = self.work.options.agents.get("default") {
            command.env("SSH_AUTH_SOCK", socket);
        }
        let missing = |error: Error| match error.errno() {
            Some(ENOENT) => Error::refused(
                format!("ADD {}: there is no git on this machine", self.of.url),
                "install it, or put the files into the context",
            ),
            _ => error,
        };
        let done = self.work.interrupt.program(&mut command).map_err(missing)?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        let told = String::from_utf8_lossy(&done.stderr);
        let told: Vec<&str> = told.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let told: String = told.join("; ").chars().filter(|c| !c.is_control()).take(400).collect();
        let verb = args.first().copied().unwrap_or_default();
        Err(Error::refused(format!("git {verb} of {}: {told}", self.of.url), ""))
    }
}

/// errno(3).
const ENOENT: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_files_and_their_parts_are_plain() {
        let of = |url: &str, reference: Option<&str>, folder: &str| Repository {
            url: url.into(),
            reference: reference.map(str::to_owned),
            folder: folder.into(),
        };
        for (text, wanted) in [
            ("https://a/b.git", of("https://a/b.git", None, "")),
            ("https://a/b.git#v1", of("https://a/b.git", Some("v1"), "")),
            ("http://a/b.git/#:x/y", of("http://a/b.git/", None, "x/y")),
            ("git@a:b#m:../z", of("git@a:b", Some("m"), "z")),
            ("ssh://u@a/b", of("ssh://u@a/b", None, "")),
        ] {
            assert_eq!(Repository::of(text).unwrap(), Some(wanted), "{text}");
        }
        assert_eq!(Repository::of("https://a/b.tar.gz").unwrap(), None);
        for text in [
            "https://a/b.git#--upload-pack=x",
            "ssh://-oProxyCommand=x/b",
            "git@a:b#a..b",
            "https://a/b.git#a b",
        ] {
            assert!(Repository::of(text).is_err(), "{text}");
        }
        assert!(is_commit(&"a".repeat(40)) && !is_commit("main") && !is_commit(&"g".repeat(40)));
    }
}
