//! Patterns: of file names as Go's `filepath.Match` has them, with `**`, and of variables' values.
//! Pure; a match takes time proportional to pattern times text, whatever the stars.

/// Longest pattern of a path, bytes: PATH_MAX.
const LENGTH_MAX: usize = 4096;

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
        if text.len() > LENGTH_MAX {
            return Err(format!("a pattern of {} bytes is longer than any path", text.len()));
        }
        Pattern::read(text)
    }

    fn read(text: &str) -> Result<Pattern, String> {
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
    let mut pattern = Pattern::read(text).ok()?;
    for part in &mut pattern.parts {
        if *part == Part::Star {
            *part = Part::Stars;
        }
    }
    Some(pattern)
}

/// Most steps that one match may take.
const WORK_MAX: usize = 1 << 30;

impl Pattern {
    /// Which lengths of the front of `text` it is the whole of; `**/` means nothing special.
    fn fronts(&self, text: &[char]) -> Vec<bool> {
        let mut ends = vec![false; text.len() + 1];
        ends[0] = true;
        for part in &self.parts {
            ends = step(part, text, &ends, false);
        }
        ends
    }

    fn longest(&self, text: &[char]) -> Option<usize> {
        self.fronts(text).iter().rposition(|fits| *fits)
    }
}

/// Whether so much work would be done for a text of a build file that nobody wants it.
fn bounded(parts: usize, text: usize, times: usize) -> Result<(), String> {
    let work = parts.checked_mul(text + 1).and_then(|work| work.checked_mul(times));
    match work {
        Some(work) if work <= WORK_MAX => Ok(()),
        _ => Err(format!("a value of {text} characters is too long for this pattern")),
    }
}

/// Takes what matches away from the front or the end; the longest match or the shortest.
///
/// # Errors
/// A value that is too long.
pub(crate) fn strip(
    value: &str,
    pattern: &str,
    front: bool,
    longest: bool,
) -> Result<String, String> {
    let Some(mut pattern) = of_value(pattern) else { return Ok(value.into()) };
    let mut text: Vec<char> = value.chars().collect();
    bounded(pattern.parts.len(), text.len(), 1)?;
    // The end is the front of both turned round.
    if !front {
        text.reverse();
        pattern.parts.reverse();
    }
    let fits = pattern.fronts(&text);
    let length = match longest {
        true => fits.iter().rposition(|fits| *fits),
        false => fits.iter().position(|fits| *fits),
    };
    let rest = &text[length.unwrap_or(0)..];
    Ok(if front { rest.iter().collect() } else { rest.iter().rev().collect() })
}

/// Replaces the first match, or all, each as long as can be.
///
/// # Errors
/// A value that is too long, before or after.
pub(crate) fn replace(value: &str, pattern: &str, with: &str, all: bool) -> Result<String, String> {
    let Some(pattern) = of_value(pattern) else { return Ok(value.into()) };
    let text: Vec<char> = value.chars().collect();
    bounded(pattern.parts.len(), text.len(), text.len())?;
    bounded(with.len(), text.len(), 1)?;
    let (mut out, mut at, mut done) = (String::new(), 0, false);
    while at < text.len() {
        let wanted = all || !done;
        let found = pattern.longest(&text[at..]).filter(|length| wanted && *length > 0);
        match found {
            Some(length) => {
                out.push_str(with);
                (at, done) = (at + length, true);
            }
            None => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    Ok(out)
}
