//! `.dockerignore`: which files of the context a build does not see. Pure.
//!
//! The last pattern that matches decides; one that matches a folder matches all below it; `!` lets
//! in again. Source: Docker's build context documentation, "Syntax".

use crate::pattern::Pattern;

/// Most patterns: each is tried for every file.
const RULES_MAX: usize = 10_000;

/// The patterns, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<(Pattern, bool)>,
}

impl Ignore {
    /// Reads the file's text.
    ///
    /// # Errors
    /// The line's number and what is wrong with it.
    pub fn parse(text: &str) -> Result<Ignore, (usize, String)> {
        let mut rules = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim_start_matches('\u{feff}');
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let line = line.trim();
            let (lets_in, line) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, line),
            };
            let path = clean(line);
            if path.is_empty() {
                continue;
            }
            if rules.len() == RULES_MAX {
                return Err((i + 1, format!("there are over {RULES_MAX} patterns")));
            }
            rules.push((Pattern::new(&path).map_err(|problem| (i + 1, problem))?, lets_in));
        }
        Ok(Ignore { rules })
    }

    /// The patterns of `--exclude` flags.
    pub(crate) fn of(patterns: &[String]) -> Result<Ignore, String> {
        Ignore::parse(&patterns.join("\n")).map_err(|(_, problem)| problem)
    }

    /// Whether a path (relative, no leading slash) is left out.
    pub(crate) fn hides(&self, path: &str) -> bool {
        let mut hidden = false;
        for (pattern, lets_in) in &self.rules {
            if hidden == *lets_in && of_path_or_above(pattern, path) {
                hidden = !lets_in;
            }
        }
        hidden
    }

    /// Whether something below a hidden folder may be let in again.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|(_, lets_in)| *lets_in)
    }
}

fn of_path_or_above(pattern: &Pattern, path: &str) -> bool {
    let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
    pattern.matches(path) || above.any(|above| pattern.matches(above))
}

/// Without `.`, `..` where they can be resolved, and slashes at both ends.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let text =
            "# a comment\n*.log\n/build/\n!build/keep\nsrc/**/tmp\n!important.log\n  \n./x//y";
        let ignore = Ignore::parse(text).unwrap();
        for (path, hidden) in [
            ("a.log", true),
            ("d/a.log", false),
            ("build", true),
            ("build/x/y", true),
            ("build/keep", false),
            ("build/keep/z", false),
            ("src/tmp", true),
            ("src/a/b/tmp/c", true),
            ("important.log", false),
            ("x/y", true),
            ("x", false),
            ("# a comment", false),
        ] {
            assert_eq!(ignore.hides(path), hidden, "{path}");
        }
        assert!(ignore.has_exceptions());
        assert_eq!(Ignore::parse("a\n[x").unwrap_err().0, 2);
        let all = Ignore::parse("*\n!src\n!Cargo.toml").unwrap();
        assert!(all.hides("README") && !all.hides("src/main.rs") && !all.hides("Cargo.toml"));
    }
}
