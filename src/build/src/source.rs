//! A build file's text as logical lines: directives, comments, continued lines, here-documents.
//!
//! Every byte of a logical line knows its place in the file, so that an error can say it. Pure.
//! Sources: Docker's reference of the Dockerfile, "Parser directives", "Format", "Here-documents".

use crate::error::Place;

/// A mistake before it is known which file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where.
    pub(crate) place: Place,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to try.
    pub(crate) hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(place: Place, problem: impl Into<String>) -> Mistake {
        Mistake { place, problem: problem.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Mistake {
        self.hint = Some(hint.into());
        self
    }
}

/// A here-document: lines that follow an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HereDocument {
    /// Its delimiter, which names the file in COPY.
    pub name: String,
    /// Its lines, each with its end.
    pub content: String,
    /// Whether variables are expanded: the delimiter is not quoted.
    pub expands: bool,
    /// As it stands in the file, delimiters included: for a shell.
    pub raw: String,
}

/// One instruction's line, continued lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Without the white space around.
    pub(crate) text: String,
    /// Offset in `text` of each piece, and where the piece begins in the file.
    pieces: Vec<(usize, Place)>,
    /// What follows it.
    pub(crate) documents: Vec<HereDocument>,
}

impl Line {
    /// A line of its own, for an instruction that comes from elsewhere.
    pub(crate) fn single(text: &str, place: Place) -> Line {
        Line { text: text.trim().into(), pieces: vec![(0, place)], documents: Vec::new() }
    }

    /// Where the byte at `offset` stands in the file.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let piece = self.pieces.iter().rev().find(|(start, _)| *start <= offset);
        let Some((start, place)) = piece else { return Place::default() };
        let between = self.text.get(*start..offset).map_or(0, |text| text.chars().count());
        Place { line: place.line, column: place.column + between }
    }

    pub(crate) fn mistake(&self, offset: usize, problem: impl Into<String>) -> Mistake {
        Mistake::new(self.place(offset), problem)
    }
}

/// A build file, cut into lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) lines: Vec<Line>,
    /// The character that continues a line and escapes others.
    pub(crate) escape: char,
}

/// The directive `# key=value` of a comment, if it is one.
fn directive(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let key = key.trim();
    let fits = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    fits.then(|| (key.to_ascii_lowercase(), value.trim()))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

impl Source {
    /// Cuts the text.
    pub(crate) fn read(text: &str) -> Result<Source, Mistake> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = text.lines().collect();
        let escape = escape_of(&lines)?;
        let mut source = Source { lines: Vec::new(), escape };
        let mut at = 0;
        while at < lines.len() {
            if lines[at].trim().is_empty() || is_comment(lines[at]) {
                at += 1;
                continue;
            }
            let mut line = source.joined(&lines, &mut at);
            for (name, tabs, quoted, offset) in here(&line.text, escape) {
                let begun = line.place(offset);
                let document = here_document(&lines, &mut at, &name, tabs, !quoted);
                line.documents.push(document.ok_or_else(|| {
                    Mistake::new(begun, format!("the here-document {name} has no end"))
                        .hint(format!("end it by a line that is just {name}"))
                })?);
            }
            source.lines.push(line);
        }
        Ok(source)
    }

    /// Joins a line with those that continue it; `at` is then behind them.
    fn joined(&self, lines: &[&str], at: &mut usize) -> Line {
        let mut line = Line { text: String::new(), pieces: Vec::new(), documents: Vec::new() };
        let mut first = true;
        while let Some(physical) = lines.get(*at) {
            *at += 1;
            if !first && (is_comment(physical) || physical.trim().is_empty()) {
                continue;
            }
            let shown = if first { physical.trim_start() } else { physical };
            let indent = physical.chars().count() - shown.chars().count();
            line.pieces.push((line.text.len(), Place { line: *at, column: indent + 1 }));
            first = false;
            let ended = shown.trim_end();
            match ended.strip_suffix(self.escape) {
                Some(rest) => line.text.push_str(rest),
                None => {
                    line.text.push_str(ended);
                    break;
                }
            }
        }
        line.text.truncate(line.text.trim_end().len());
        line
    }
}

fn escape_of(lines: &[&str]) -> Result<char, Mistake> {
    let mut escape = None;
    let mut seen: Vec<String> = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some((key, value)) = directive(line) else { break };
        if !["syntax", "escape", "check"].contains(&key.as_str()) {
            break;
        }
        let place = Place { line: i + 1, column: 1 };
        if seen.contains(&key) {
            return Err(Mistake::new(place, format!("the directive {key} stands twice")));
        }
        if key == "escape" {
            escape = match value {
                "\\" => Some('\\'),
                "`" => Some('`'),
                other => {
                    let problem = format!("the directive escape is {other:?}");
                    return Err(Mistake::new(place, problem).hint("it can be \\ or `"));
                }
            };
        }
        seen.push(key);
    }
    Ok(escape.unwrap_or('\\'))
}

/// The here-documents that a line begins: name, `<<-`, quoted, offset. Only RUN, COPY and ADD (also
/// after ONBUILD) have them.
fn here(text: &str, escape: char) -> Vec<(String, bool, bool, usize)> {
    let mut words = text.split_whitespace();
    let keyword = words.by_ref().find(|word| !word.eq_ignore_ascii_case("onbuild"));
    let may = |name: &str| keyword.is_some_and(|word| word.eq_ignore_ascii_case(name));
    if !(may("run") || may("copy") || may("add")) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), _) => {}
            (_, c) if c == escape => drop(chars.next()),
            (None, '\'' | '"') => quote = Some(c),
            (None, '<') if text[i..].starts_with("<<") => {
                let rest = &text[i + 2..];
                // A descriptor's number may stand before it, as in `3<<EOF`.
                let before = text[..i].trim_end_matches(|c: char| c.is_ascii_digit());
                let starts = before.ends_with(|c: char| c.is_whitespace() || ";|&".contains(c));
                if starts && !rest.starts_with('<') {
                    found.extend(delimiter(rest).map(|(name, tabs, q)| (name, tabs, q, i)));
                }
                while chars.next_if(|(_, c)| *c == '<').is_some() {}
            }
            _ => {}
        }
    }
    found
}

/// What follows `<<`: the name, whether tabs are stripped, whether it is quoted.
fn delimiter(text: &str) -> Option<(String, bool, bool)> {
    let (tabs, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let open = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let name: String = match open {
        Some(open) => text[1..].split_once(open)?.0.to_owned(),
        None => text.chars().take_while(|c| c.is_alphanumeric() || "_-.".contains(*c)).collect(),
    };
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some((
        name,
        tabs,
        open.is_some(),
    ))
}

fn here_document(
    lines: &[&str],
    at: &mut usize,
    name: &str,
    tabs: bool,
    expands: bool,
) -> Option<HereDocument> {
    let (mut content, mut raw) = (String::new(), String::new());
    while let Some(line) = lines.get(*at) {
        *at += 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        raw.push_str(line);
        let line = if tabs { line.trim_start_matches('\t') } else { line };
        if line == name {
            return Some(HereDocument { name: name.into(), content, expands, raw });
        }
        raw.push('\n');
        content.push_str(line);
        content.push('\n');
    }
    None
}
