//! Words, quotes and variables of a build file. Pure.
//!
//! Sources: Docker's reference of the Dockerfile, "Environment replacement"; POSIX shell, 2.6.2.
//! A pattern (`${x#p}`, `${x%p}`, `${x/p/r}`) knows `*`, `?` and escaped characters.

use crate::pattern;

/// Cuts at white space outside quotes; quotes and escapes stay. With each word's offset.
pub(crate) fn split(text: &str, escape: char) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        if c.is_whitespace() && quote.is_none() {
            words.extend(start.take().map(|from| (from, &text[from..i])));
            continue;
        }
        start.get_or_insert(i);
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), _) => {}
            (_, c) if c == escape => drop(chars.next()),
            (None, '\'' | '"') => quote = Some(c),
            _ => {}
        }
    }
    words.extend(start.map(|from| (from, &text[from..])));
    words
}

/// A JSON array of strings, if the text is one.
pub(crate) fn json(text: &str) -> Option<Vec<String>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok())?
}

/// Expands variables and takes quotes and escapes away.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn expand(
    text: &str,
    escape: char,
    look_up: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    Expander { chars: text.chars().collect(), at: 0, escape, look_up, depth: 0 }.all(true)
}

/// The same for a here-document, in which quotes are letters.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn expand_document(
    text: &str,
    escape: char,
    look_up: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    Expander { chars: text.chars().collect(), at: 0, escape, look_up, depth: 0 }.all(false)
}

/// For people: variables expanded, quotes and escapes left, the text itself where that cannot be.
pub(crate) fn expand_shown(
    text: &str,
    escape: char,
    look_up: &dyn Fn(&str) -> Option<String>,
) -> String {
    let expander = Expander { chars: text.chars().collect(), at: 0, escape, look_up, depth: 0 };
    expander.shown().unwrap_or_else(|_| text.to_owned())
}

/// At the first slash that is not escaped.
fn cut_at_slash(word: &str, escape: char) -> (&str, &str) {
    let mut chars = word.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '/' => return (&word[..i], &word[i + 1..]),
            c if c == escape => drop(chars.next()),
            _ => {}
        }
    }
    (word, "")
}

/// `${a:-${b:-…}}` nests no deeper.
const DEPTH_MAX: usize = 32;
/// Longest text that variables expand to, bytes: what no command could be given as a word any more
/// (execve(2)). A here-document may be as long again as a whole build file.
const WORD_MAX: usize = 128 << 10;
const DOCUMENT_MAX: usize = 8 << 20;

struct Expander<'a> {
    chars: Vec<char>,
    at: usize,
    escape: char,
    look_up: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
}

impl Expander<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += 1;
        c
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn all(&mut self, quotes: bool) -> Result<String, String> {
        let mut out = String::new();
        while let Some(c) = self.next() {
            match c {
                '\'' if quotes => loop {
                    match self.next() {
                        Some('\'') => break,
                        Some(c) => out.push(c),
                        None => return Err("a single quote ' has no end".into()),
                    }
                },
                '"' if quotes => self.double(&mut out)?,
                '$' => self.put(&mut out, if quotes { WORD_MAX } else { DOCUMENT_MAX })?,
                c if c == self.escape && quotes => out.push(self.next().unwrap_or(c)),
                c if c == self.escape && self.peek() == Some('$') => {
                    out.push('$');
                    self.at += 1;
                }
                c => out.push(c),
            }
        }
        Ok(out)
    }

    fn shown(mut self) -> Result<String, String> {
        let mut out = String::new();
        let mut single = false;
        let mut double = false;
        while let Some(c) = self.next() {
            match c {
                '$' if !single => {
                    self.put(&mut out, WORD_MAX)?;
                    continue;
                }
                '\'' if !double => single = !single,
                '"' if !single => double = !double,
                c if c == self.escape && !single => {
                    out.push(c);
                    out.extend(self.next());
                    continue;
                }
                _ => {}
            }
            out.push(c);
        }
        Ok(out)
    }

    fn double(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('$') => self.put(out, WORD_MAX)?,
                Some(c) if c == self.escape => match self.next() {
                    Some(next) if matches!(next, '"' | '$') || next == self.escape => {
                        out.push(next);
                    }
                    Some(next) => out.extend([c, next]),
                    None => return Err("a double quote \" has no end".into()),
                },
                Some(c) => out.push(c),
                None => return Err("a double quote \" has no end".into()),
            }
        }
    }

    /// Appends what a variable holds.
    fn put(&mut self, out: &mut String, max: usize) -> Result<(), String> {
        let value = self.variable()?;
        if out.len() + value.len() > max {
            return Err(format!("variables expand to more than {max} bytes"));
        }
        out.push_str(&value);
        Ok(())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let digit = c.is_ascii_digit() && !name.is_empty();
            if !(c.is_ascii_alphabetic() || c == '_' || digit) {
                break;
            }
            name.push(c);
            self.at += 1;
        }
        name
    }

    /// What follows a `$`.
    fn variable(&mut self) -> Result<String, String> {
        if self.peek() != Some('{') {
            let name = self.name();
            // A lone $ is itself.
            return Ok(match name.as_str() {
                "" => "$".into(),
                name => (self.look_up)(name).unwrap_or_default(),
            });
        }
        self.at += 1;
        let name = self.name();
        if name.is_empty() {
            return Err("${ is followed by no name".into());
        }
        let value = (self.look_up)(&name);
        let colon = self.peek() == Some(':');
        if colon {
            self.at += 1;
        }
        let operator = self.next().ok_or_else(|| format!("${{{name} has no closing brace"))?;
        if operator == '}' && !colon {
            return Ok(value.unwrap_or_default());
        }
        let doubled =
            !colon && matches!(operator, '#' | '%' | '/') && self.peek() == Some(operator);
        if doubled {
            self.at += 1;
        }
        let word = self.word(&name)?;
        let set = value.as_ref().is_some_and(|v| !(colon && v.is_empty()));
        match operator {
            '-' => {
                if set {
                    Ok(value.unwrap_or_default())
                } else {
                    self.inner(&word)
                }
            }
            '+' => {
                if set {
                    self.inner(&word)
                } else {
                    Ok(String::new())
                }
            }
            '?' if set => Ok(value.unwrap_or_default()),
            '?' => Err(format!("{name} is not set: {}", self.inner(&word)?)),
            '#' | '%' if !colon => {
                let (value, word) = (value.unwrap_or_default(), self.inner(&word)?);
                pattern::strip(&value, &word, operator == '#', doubled)
            }
            '/' if !colon => {
                let (from, to) = cut_at_slash(&word, self.escape);
                let (from, to) = (self.inner(from)?, self.inner(to)?);
                pattern::replace(&value.unwrap_or_default(), &from, &to, doubled)
            }
            other => Err(format!("${{{name}{}{other} is not known", if colon { ":" } else { "" })),
        }
    }

    /// The text up to the closing brace.
    fn word(&mut self, name: &str) -> Result<String, String> {
        let mut word = String::new();
        let mut open = 1;
        while let Some(c) = self.next() {
            match c {
                '{' if word.ends_with('$') => open += 1,
                '}' => open -= 1,
                c if c == self.escape => {
                    word.push(c);
                    word.extend(self.next());
                    continue;
                }
                _ => {}
            }
            if open == 0 {
                return Ok(word);
            }
            word.push(c);
        }
        Err(format!("${{{name} has no closing brace"))
    }

    fn inner(&self, word: &str) -> Result<String, String> {
        if self.depth >= DEPTH_MAX {
            return Err(format!("variables nest deeper than {DEPTH_MAX}"));
        }
        let (chars, depth) = (word.chars().collect(), self.depth + 1);
        Expander { chars, at: 0, escape: self.escape, look_up: self.look_up, depth }.all(true)
    }
}
