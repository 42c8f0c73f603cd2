//! Patterns: of file names as Go's `filepath.Match` has them, with `**`, and of variables' values.
//! Pure; a match takes time proportional to pattern times text, whatever the stars.

/// One element of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(char),
    One,
    /// `[a-z]`, negated.
    Class(Vec<(char, char)>, bool),
    /// Any characters but slashes.
    Star,
    /// Any characters.
    Stars,
}

/// A pattern over a whole path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Reads one; the error says what is wrong.
    pub(crate) fn new(text: &str) -> Result<Pattern, String> {
        let mut chars = text.chars().peekable();
        let mut parts = Vec::new();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    // `**/` is any number of folders, none among them.
                    while chars.next_if_eq(&'*').is_some() {}
                    Part::Stars
                }
                '*' => Part::Star,
                '?' => Part::One,
                '[' => class(&mut chars).ok_or_else(|| format!("[ has no end in {text:?}"))?,
                '\\' => match chars.next() {
                    Some(c) => Part::Literal(c),
                    None => return Err(format!("{text:?} ends with a backslash")),
                },
                c => Part::Literal(c),
            });
        }
        Ok(Pattern { parts })
    }

    /// Whether the text has anything but plain characters.
    pub(crate) fn is_wild(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }

    /// Whether it is the whole of `path`.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let text: Vec<char> = path.chars().collect();
        // Which positions of the text the parts so far can end at.
        let mut ends = vec![false; text.len() + 1];
        ends[0] = true;
        let mut i = 0;
        while i < self.parts.len() {
            let part = &self.parts[i];
            let folders =
                *part == Part::Stars && self.parts.get(i + 1) == Some(&Part::Literal('/'));
            ends = step(part, &text, &ends, folders);
            i += if folders { 2 } else { 1 };
        }
        ends[text.len()]
    }
}

fn step(part: &Part, text: &[char], ends: &[bool], folders: bool) -> Vec<bool> {
    let mut next = vec![false; ends.len()];
    let mut reached = false;
    for at in 0..ends.len() {
        match part {
            Part::Stars if folders => {
                // Here, or behind any later slash.
                next[at] |= ends[at] || (reached && at > 0 && text[at - 1] == '/');
                reached |= ends[at];
            }
            Part::Star | Part::Stars => {
                reached |= ends[at];
                next[at] = reached;
                let slash = text.get(at) == Some(&'/');
                reached &= *part == Part::Stars || !slash;
            }
            single if ends[at] => {
                let fits = text.get(at).is_some_and(|c| match single {
                    Part::Literal(wanted) => c == wanted,
                    Part::One => *c != '/',
                    Part::Class(ranges, negated) => {
                        let within = ranges.iter().any(|(a, b)| (a..=b).contains(&c));
                        *c != '/' && within != *negated
                    }
                    Part::Star | Part::Stars => false,
                });
                if fits {
                    next[at + 1] = true;
                }
            }
            _ => {}
        }
    }
    next
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Part> {
    let negated = chars.next_if(|c| matches!(c, '^' | '!')).is_some();
    let mut ranges = Vec::new();
    loop {
        let one = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match chars.next()? {
            '\\' => chars.next(),
            c => Some(c),
        };
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Part::Class(ranges, negated));
        }
        let from = one(chars)?;
        let to = if chars.next_if_eq(&'-').is_some() { one(chars)? } else { from };
        ranges.push((from, to));
    }
}

/// A value's pattern: stars pass slashes, too.
fn of_value(text: &str) -> Option<Pattern> {
    let mut pattern = Pattern::new(text).ok()?;
    for part in &mut pattern.parts {
        if *part == Part::Star {
            *part = Part::Stars;
        }
    }
    Some(pattern)
}

impl Pattern {
    /// As [`Pattern::matches`], without `**/`'s meaning.
    fn covers(&self, text: &[char]) -> bool {
        let mut ends = vec![false; text.len() + 1];
        ends[0] = true;
        for part in &self.parts {
            ends = step(part, text, &ends, false);
        }
        ends[text.len()]
    }
}

/// Takes what matches away from the front or the end; the longest match or the shortest.
pub(crate) fn strip(value: &str, pattern: &str, front: bool, longest: bool) -> String {
    let Some(pattern) = of_value(pattern) else { return value.into() };
    let text: Vec<char> = value.chars().collect();
    let mut lengths: Vec<usize> = (0..=text.len()).collect();
    if longest {
        lengths.reverse();
    }
    for length in lengths {
        let (part, rest) = if front {
            text.split_at(length)
        } else {
            let (rest, part) = text.split_at(text.len() - length);
            (part, rest)
        };
        if pattern.covers(part) {
            return rest.iter().collect();
        }
    }
    value.into()
}

/// Replaces the first match, or all, each as long as can be.
pub(crate) fn replace(value: &str, pattern: &str, with: &str, all: bool) -> String {
    let Some(pattern) = of_value(pattern) else { return value.into() };
    let text: Vec<char> = value.chars().collect();
    let (mut out, mut at, mut done) = (String::new(), 0, false);
    while at < text.len() {
        let found = (at + 1..=text.len()).rev().find(|to| pattern.covers(&text[at..*to]));
        match found.filter(|_| all || !done) {
            Some(to) => {
                out.push_str(with);
                (at, done) = (to, true);
            }
            None => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}
