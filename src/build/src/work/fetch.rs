//! The files that ADD takes from the web: fetched for each build, by whoever called it, and from
//! then on as files of a context that belong to root alone (mode 0600, as Docker has them).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Work;
use crate::error::{At, Error, Result};
use crate::ignore::Ignore;
use crate::select::{Chosen, Tree};

const HINT: &str = "fetch it by RUN with --network=host, or put it into the context";

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
    let git = plain.trim_end_matches('/').ends_with(".git");
    let web = scheme(url).filter(|scheme| scheme.starts_with("http") && !git);
    let Some(scheme) = web else {
        return Err(Error::refused(format!("{url}: ADD takes nothing from Git"), HINT));
    };
    let path = plain[scheme.len()..].split_once('/').map_or("", |(_, path)| path);
    match path.rsplit('/').next().unwrap_or_default() {
        "" | "." | ".." => {
            let problem = format!("{url} names no file");
            Err(Error::refused(problem, "a URL has to end in the name of a file"))
        }
        name => Ok(name),
    }
}

impl Work<'_> {
    /// Fetches files, adds them to `chosen`, and gives the tree that they lie in.
    pub(super) fn fetched(&mut self, urls: &[String], chosen: &mut Vec<Chosen>) -> Result<Tree> {
        let folder = self.fresh("fetched")?;
        let tree = Tree::open(&folder, "the web", Ignore::default(), false)?;
        for (i, url) in urls.iter().enumerate() {
            self.interrupt.check()?;
            let name = name(url)?;
            let within = folder.join(i.to_string());
            fs::create_dir(&within).at("making", &within)?;
            let path = within.join(name);
            let failed = |source| Error::Fetch { url: url.clone(), source };
            (self.options.fetch)(url, &path).map_err(failed)?;
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, mode).at("setting the rights of", &path)?;
            chosen.push(Chosen { fetched: true, ..tree.file(&format!("{i}/{name}"))? });
        }
        Ok(tree)
    }
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
            ("https://a.example/b.git", None),
            ("https://a.example/b.git#main", None),
            ("git@a.example:b", None),
            ("ssh://a.example/b", None),
        ] {
            assert!(is_remote(url), "{url}");
            assert_eq!(name(url).ok(), wanted, "{url}");
        }
        assert!(!is_remote("https:/x") && !is_remote("a/http://b"));
    }
}
