//! What ADD takes from elsewhere: files of the web, and repositories (`git`). From then on they are
//! files of a context that belong to root alone (mode 0600, as Docker has them).
//!
//! A file whose server tells its version is kept in the store (`build/web`) and asked for only if
//! it has changed. What is kept is compared with its digest before it is taken.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use image::Digest;
use serde_json::{Value, json};

use super::Work;
use super::git::Repository;
use crate::error::{At, Error, Result};
use crate::ignore::Ignore;
use crate::options::Version;
use crate::select::{Chosen, Tree, content_digest};

/// Whether a source is none of the context.
pub(super) fn is_remote(source: &str) -> bool {
    source.starts_with("git@") || scheme(source).is_some()
}

fn scheme(source: &str) -> Option<&'static str> {
    ["http://", "https://", "ssh://", "git://"].into_iter().find(|p| source.starts_with(p))
}

/// The name of the file that a URL leads to.
fn name(url: &str) -> Result<&str> {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let after = plain.split_once("://").map_or(plain, |(_, rest)| rest);
    let path = after.split_once('/').map_or("", |(_, path)| path);
    match path.rsplit('/').next().unwrap_or_default() {
        "" | "." | ".." => {
            let problem = format!("{url} names no file");
            Err(Error::refused(problem, "a URL has to end in the name of a file"))
        }
        name => Ok(name),
    }
}

/// A file that was fetched before.
struct Kept {
    version: Version,
    digest: String,
}

impl Kept {
    fn read(folder: &Path) -> Option<Kept> {
        let text = fs::read_to_string(folder.join("version.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let version = Version { etag: text("etag"), last_modified: text("last_modified") };
        Some(Kept { version, digest: text("digest")? })
    }
}

impl Work<'_> {
    /// Fetches files, adds them to `chosen`, and gives the tree that they lie in.
    pub(super) fn fetched(&mut self, urls: &[String], chosen: &mut Vec<Chosen>) -> Result<Tree> {
        let folder = self.fresh("fetched")?;
        let tree = Tree::open(&folder, "the web", Ignore::default(), false)?;
        for (i, url) in urls.iter().enumerate() {
            self.interrupt.check()?;
            let within = folder.join(i.to_string());
            fs::create_dir(&within).at("making", &within)?;
            if let Some(repository) = Repository::of(url)? {
                chosen.push(self.cloned(&repository, &tree, &within)?);
                continue;
            }
            let name = name(url)?;
            self.file_of_the_web(url, &within.join(name))?;
            chosen.push(Chosen { fetched: true, ..tree.file(&format!("{i}/{name}"))? });
        }
        Ok(tree)
    }

    fn file_of_the_web(&mut self, url: &str, path: &Path) -> Result<()> {
        let place = self.workshop.store().build_cache().join("web");
        let place = place.join(Digest::of(url.as_bytes()).hex());
        let failed = |source| Error::Fetch { url: url.to_owned(), source };
        let kept = if self.options.no_cache { None } else { Kept::read(&place) };
        if let Some(kept) = &kept {
            let fetched = (self.options.fetch)(url, path, Some(&kept.version)).map_err(failed)?;
            match fetched {
                Some(version) => return self.keep(path, &place, &version),
                None if reuse(kept, &place, path) => return Ok(()),
                None => drop(fs::remove_file(path)),
            }
        }
        let version = (self.options.fetch)(url, path, None).map_err(failed)?;
        self.keep(path, &place, &version.unwrap_or_default())
    }

    /// Keeps what has come, if its server tells the version.
    fn keep(&mut self, path: &Path, place: &Path, version: &Version) -> Result<()> {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(path, mode).at("setting the rights of", path)?;
        if version.etag.is_none() && version.last_modified.is_none() {
            return Ok(());
        }
        let file = fs::File::open(path).at("opening", path)?;
        let digest = content_digest(&file).at("reading", path)?.to_string();
        let (fresh, gone) = (self.fresh("web")?, self.fresh("web")?);
        let text = json!({
            "etag": version.etag, "last_modified": version.last_modified, "digest": digest,
        });
        let told = fresh.join("version.json");
        fs::write(&told, text.to_string()).at("writing", &told)?;
        // A file system without hard links keeps nothing; another build may be at it, too.
        let body: PathBuf = fresh.join("body");
        if fs::hard_link(path, &body).is_ok() {
            let above = place.parent().unwrap_or(place);
            fs::create_dir_all(above).at("making", above)?;
            let _ = fs::rename(place, gone.join("old"));
            let _ = fs::rename(&fresh, place);
        }
        Ok(())
    }
}

/// Takes the file that is kept, if it still is what was kept.
fn reuse(kept: &Kept, place: &Path, path: &Path) -> bool {
    let linked = fs::hard_link(place.join("body"), path);
    let same = linked.and_then(|()| content_digest(&fs::File::open(path)?));
    let same = same.is_ok_and(|digest| digest.as_str() == kept.digest);
    if same {
        // Only the order of pruning depends on it.
        let used = fs::File::open(place.join("version.json"));
        let _ = used.and_then(|file| file.set_modified(SystemTime::now()));
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_file_or_is_refused() {
        for (url, wanted) in [
            ("https://a.example/b/c.tar.gz", Some("c.tar.gz")),
            ("http://a.example:80/c?x=/y#/z", Some("c")),
            ("https://a.example", None),
            ("https://a.example/", None),
            ("https://a.example/..", None),
        ] {
            assert!(is_remote(url), "{url}");
            assert_eq!(name(url).ok(), wanted, "{url}");
        }
        for url in ["git@a.example:b", "ssh://a.example/b", "git://a.example/b"] {
            assert!(is_remote(url), "{url}");
        }
        assert!(!is_remote("https:/x") && !is_remote("a/http://b") && !is_remote("file:///x"));
    }
}
