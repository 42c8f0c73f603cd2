//! Properties of a scope that annotations ask for: `org.systemd.property.NAME` is a value in
//! GVariant's text format. Pure.
//!
//! Of that format: strings, booleans, numbers (a bare one is an int32, or a double when it has a
//! point or an exponent), arrays of one of these, a type before any of them (`uint64 5`, `@as []`).
//! Not here: tuples, dictionaries, variants, byte strings; whether systemd knows the property.
//! Source: GLib's "GVariant Text Format"; runc docs/systemd.md, which has NAMESec in seconds.

use std::collections::{BTreeMap, HashMap};

use super::Error;
use super::value::{Number, Value};

/// Before the name of a property.
pub(crate) const PREFIX: &str = "org.systemd.property.";
const USEC_PER_SEC: u64 = 1_000_000;
/// The types' words, and their letters in D-Bus.
const TYPES: [(&str, char); 10] = [
    ("boolean", 'b'),
    ("byte", 'y'),
    ("double", 'd'),
    ("int16", 'n'),
    ("int32", 'i'),
    ("int64", 'x'),
    ("string", 's'),
    ("uint16", 'q'),
    ("uint32", 'u'),
    ("uint64", 't'),
];

/// The properties among the annotations, by name.
pub(super) fn properties(
    annotations: &HashMap<String, String>,
) -> Result<BTreeMap<String, Value>, Error> {
    let ours = annotations.iter().filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?, text)));
    ours.map(|(name, text)| {
        property(name, text).map_err(|problem| Error::Annotation {
            name: format!("{PREFIX}{name}"),
            value: text.clone(),
            problem,
        })
    })
    .collect()
}

fn property(name: &str, text: &str) -> Result<(String, Value), String> {
    if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err("a property's name is three letters or more".to_owned());
    }
    let value = read(text)?;
    match name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase())) {
        Some(stem) => Ok((format!("{stem}USec"), Value::Number(microseconds(&value)?))),
        None => Ok((name.to_owned(), value)),
    }
}

fn microseconds(seconds: &Value) -> Result<u64, String> {
    let bad = || "want seconds: a number that is not negative".to_owned();
    let whole = match seconds {
        Value::Number(seconds) => Some(*seconds),
        Value::Sized(Number::Double(bits)) => {
            let exact = f64::from_bits(*bits) * USEC_PER_SEC as f64;
            let fits = (0.0..u64::MAX as f64).contains(&exact);
            return fits.then_some(exact as u64).ok_or_else(bad);
        }
        Value::Sized(number) => number.whole(),
        _ => None,
    };
    whole.and_then(|whole| whole.checked_mul(USEC_PER_SEC)).ok_or_else(bad)
}

/// Reads one value, which is all of the text.
fn read(text: &str) -> Result<Value, String> {
    let mut rest = Rest(text);
    let value = rest.value()?;
    match rest.next() {
        "" => Ok(value),
        more => Err(format!("something follows the value: {more:?}")),
    }
}

/// A value whose type may depend on what is beside it.
enum Word {
    Text(String),
    Plain(String),
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// All of it, from what is no space on.
    fn next(&mut self) -> &'a str {
        self.0 = self.0.trim_start();
        self.0
    }

    fn takes(&mut self, mark: char) -> bool {
        let found = self.next().strip_prefix(mark);
        self.0 = found.unwrap_or(self.0);
        found.is_some()
    }

    /// A word of letters, digits and what numbers have beside these.
    fn word(&mut self) -> &'a str {
        let text = self.next();
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
        let (word, rest) = text.split_at(text.find(|c| !plain(c)).unwrap_or(text.len()));
        self.0 = rest;
        word
    }

    /// The type before a value, by its signature.
    fn annotation(&mut self) -> Result<Option<String>, String> {
        if self.takes('@') {
            let signature = self.word().to_owned();
            let letter = signature.strip_prefix('a').unwrap_or(&signature);
            let known = TYPES.iter().any(|(_, known)| letter.chars().eq([*known]));
            return known.then_some(Some(signature)).ok_or_else(|| "no such type".to_owned());
        }
        let before = self.next();
        let word = self.word();
        let found = TYPES.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            self.0 = before;
        }
        Ok(found.map(|(_, letter)| letter.to_string()))
    }

    fn value(&mut self) -> Result<Value, String> {
        let signature = self.annotation()?;
        if self.takes('[') {
            return self.array(signature);
        }
        let word = self.one()?;
        match signature.as_deref().map(str::chars).map(Iterator::collect::<Vec<_>>).as_deref() {
            None => typed(&word, usual(&word)),
            Some([letter]) => typed(&word, *letter),
            Some(_) => Err("want an array".to_owned()),
        }
    }

    /// What stands for one value without its type.
    fn one(&mut self) -> Result<Word, String> {
        let quote = self.next().chars().next().filter(|c| "'\"".contains(*c));
        match quote {
            Some(quote) => self.text(quote).map(Word::Text),
            None => match self.word() {
                "" => Err(format!("want a value at {:?}", self.0)),
                word => Ok(Word::Plain(word.to_owned())),
            },
        }
    }

    fn text(&mut self, quote: char) -> Result<String, String> {
        let mut out = String::new();
        let mut letters = self.next().char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                _ if letter == quote => {
                    self.0 = &self.0[at + 1..];
                    return Ok(out);
                }
                '\\' => match letters.next().map(|(_, letter)| letter) {
                    Some('\n') => {}
                    Some('u') => out.push(code(letters.by_ref().take(4))?),
                    Some('U') => out.push(code(letters.by_ref().take(8))?),
                    Some(letter) => out.push(escaped(letter)),
                    None => break,
                },
                '\0' => return Err("a string holds a NUL".to_owned()),
                _ => out.push(letter),
            }
        }
        Err(format!("no {quote} at the string's end"))
    }

    /// The elements up to `]`, all of the type that is said of the array or of any of them.
    fn array(&mut self, signature: Option<String>) -> Result<Value, String> {
        let mut letter = match signature.as_deref().map(|s| (s.strip_prefix('a'), s)) {
            Some((Some(letter), _)) => letter.chars().next(),
            Some((None, _)) => return Err("an array's type begins with a".to_owned()),
            None => None,
        };
        let mut words = Vec::new();
        while !self.takes(']') {
            if !words.is_empty() && !self.takes(',') {
                return Err("want , or ] in the array".to_owned());
            }
            let said = self.annotation()?.and_then(|s| s.chars().next());
            if said.is_some() && letter.is_some() && said != letter {
                return Err("the array's elements are of several types".to_owned());
            }
            letter = letter.or(said);
            words.push(self.one()?);
        }
        let letter = letter.or_else(|| words.first().map(usual));
        let letter = letter.ok_or("want the type of an empty array, as in @as []")?;
        let all: Result<Vec<Value>, String> = words.iter().map(|w| typed(w, letter)).collect();
        Ok(Value::Array(letter, all?))
    }
}

/// The letter of the type that a word has when none is said.
fn usual(word: &Word) -> char {
    match word {
        Word::Text(_) => 's',
        Word::Plain(word) if word == "true" || word == "false" => 'b',
        Word::Plain(word) if !word.starts_with("0x") && word.contains(['.', 'e']) => 'd',
        Word::Plain(_) => 'i',
    }
}

fn typed(word: &Word, letter: char) -> Result<Value, String> {
    let value = match word {
        Word::Text(text) => (letter == 's').then(|| Value::Text(text.clone())),
        Word::Plain(word) => match (letter, word.as_str()) {
            ('b', "true") => Some(Value::Flag(true)),
            ('b', "false") => Some(Value::Flag(false)),
            ('d', word) => {
                let number = word.parse().ok().filter(|number: &f64| number.is_finite());
                number.map(|number| Value::Sized(Number::Double(number.to_bits())))
            }
            ('t', word) => whole(word).and_then(|n| u64::try_from(n).ok()).map(Value::Number),
            (letter, word) => whole(word).and_then(|n| Number::of(letter, n)).map(Value::Sized),
        },
    };
    let of = || TYPES.iter().find(|(_, l)| *l == letter).map_or("", |(name, _)| *name);
    value.ok_or_else(|| match word {
        Word::Text(text) => format!("{text:?} is no {}", of()),
        Word::Plain(word) => format!("{word} is no {}", of()),
    })
}

/// A whole number: decimal, `0x` hexadecimal, `0` octal.
fn whole(word: &str) -> Option<i128> {
    let (minus, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (digits, base) = match digits.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => digits.strip_prefix('0').filter(|d| !d.is_empty()).map_or((digits, 10), |d| (d, 8)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i128::from_str_radix(digits, base).ok()?;
    Some(if minus { -number } else { number })
}

/// The letter that stands behind a `\`.
fn escaped(letter: char) -> char {
    match letter {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        other => other,
    }
}

/// The letter of a number in hexadecimal.
fn code(digits: impl Iterator<Item = (usize, char)>) -> Result<char, String> {
    let digits: String = digits.map(|(_, digit)| digit).collect();
    let number = u32::from_str_radix(&digits, 16).ok().filter(|number| *number != 0);
    let letter = number.and_then(char::from_u32);
    letter.ok_or_else(|| format!("\\u{digits} is no letter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Result<BTreeMap<String, Value>, Error> {
        properties(&HashMap::from([(format!("{PREFIX}{name}"), text.to_owned())]))
    }

    #[test]
    fn values_are_read_as_runc_reads_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        let int = |n: i32| Value::Sized(Number::of('i', n.into()).expect("int32"));
        for (name, written, want_name, want) in [
            ("TimeoutStopUSec", "uint64 5000000", "TimeoutStopUSec", Value::Number(5_000_000)),
            ("TimeoutStopUSec", "@t 0x10", "TimeoutStopUSec", Value::Number(16)),
            ("TimeoutStopSec", "456", "TimeoutStopUSec", Value::Number(456_000_000)),
            ("TimeoutStopSec", " byte 234 ", "TimeoutStopUSec", Value::Number(234_000_000)),
            ("TimeoutStopSec", "int64 2", "TimeoutStopUSec", Value::Number(2_000_000)),
            ("TimeoutStopSec", "uint64 2", "TimeoutStopUSec", Value::Number(2_000_000)),
            ("TimeoutStopSec", "234.789", "TimeoutStopUSec", Value::Number(234_789_000)),
            ("FOOSec", "123", "FOOSec", int(123)),
            ("KillSignal", "010", "KillSignal", int(8)),
            ("KillSignal", "-1", "KillSignal", int(-1)),
            ("CollectMode", "'inactive-or-failed'", "CollectMode", text("inactive-or-failed")),
            ("Description", r#""it's \u00e9\t\"x\"""#, "Description", text("it's é\t\"x\"")),
            ("DefaultDependencies", "true", "DefaultDependencies", Value::Flag(true)),
            ("DefaultDependencies", "boolean false", "DefaultDependencies", Value::Flag(false)),
            (
                "After",
                "['a.service', \"b.target\"]",
                "After",
                Value::Array('s', vec![text("a.service"), text("b.target")]),
            ),
            ("After", "@as []", "After", Value::Array('s', vec![])),
            (
                "Numbers",
                "[1, uint64 2]",
                "Numbers",
                Value::Array('t', vec![Value::Number(1), Value::Number(2)]),
            ),
        ] {
            let got = one(name, written).unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!(got, BTreeMap::from([(want_name.to_owned(), want)]), "{written}");
        }
        let other = HashMap::from([("some.other.annotation".to_owned(), "?".to_owned())]);
        assert_eq!(properties(&other).expect("nothing"), BTreeMap::new());
    }

    #[test]
    fn what_is_no_value_names_the_annotation() {
        for (name, written) in [
            ("Xo", "1"),
            ("Number1", "1"),
            ("ValidName", "invalid-value"),
            ("ValidName", ""),
            ("ValidName", "5s"),
            ("ValidName", "'open"),
            ("ValidName", r"'\"),
            ("ValidName", r"'\uZZZZ'"),
            ("ValidName", r"'\u0000'"),
            ("ValidName", "'a' 'b'"),
            ("ValidName", "[]"),
            ("ValidName", "['a', 1]"),
            ("ValidName", "['a' 'b']"),
            ("ValidName", "[int32 1, uint32 2]"),
            ("ValidName", "['a'"),
            ("ValidName", "@t [1]"),
            ("ValidName", "@at 1"),
            ("ValidName", "@q(s) 1"),
            ("ValidName", "(1, 2)"),
            ("ValidName", "{'a': 1}"),
            ("ValidName", "<1>"),
            ("ValidName", "byte 256"),
            ("ValidName", "2147483648"),
            ("ValidName", "uint32 -1"),
            ("ValidName", "--1"),
            ("ValidName", "0x-1"),
            ("ValidName", "double nan"),
            ("ValidName", "uint64 'a'"),
            ("TimeoutStopSec", "false"),
            ("TimeoutStopSec", "'covfefe'"),
            ("TimeoutStopSec", "-1"),
            ("TimeoutStopSec", "uint64 18446744073709551615"),
        ] {
            let words = one(name, written).expect_err(written).to_string();
            assert!(words.contains(&format!("{PREFIX}{name}")), "{words}");
        }
    }
}
