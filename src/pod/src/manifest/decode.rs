//! From the tree to typed values, collecting every finding on the way.
//!
//! A value that cannot be read is replaced by its default so that reading goes on; the result of a
//! document with findings is never handed out. Null means absent, as in Kubernetes.

use super::Strictness;
use super::schema::Table;
use super::spelling;
use super::tree::{Entry, Node, Value};
use crate::finding::Finding;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Whether a value is left out of the JSON form.
pub(crate) trait Blank {
    /// True when the value says nothing.
    fn is_blank(&self) -> bool {
        false
    }
}

impl Blank for String {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}
impl Blank for u16 {}
impl<T> Blank for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }
}
impl<T> Blank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}
impl<K, V> Blank for BTreeMap<K, V> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

/// A type that can be read from a node.
pub(crate) trait Decode: Default {
    /// Reads the node; what is wrong goes to the reader.
    fn decode(node: &Node, reader: &mut Reader) -> Self;
}

/// A rule about the raw value of a present field, with its name; `required` is about absence.
pub(crate) type Rule = (&'static str, fn(&Node, &mut Reader));

enum Step {
    Key(String),
    Index(usize),
}

/// Collects findings and knows where it is.
pub(crate) struct Reader {
    source: String,
    strictness: Strictness,
    path: Vec<Step>,
    /// Errors.
    pub(crate) findings: Vec<Finding>,
    /// What `Strictness::Warn` lets pass.
    pub(crate) warnings: Vec<Finding>,
}

impl Reader {
    /// A reader for one text.
    pub(crate) fn new(source: &str, strictness: Strictness) -> Reader {
        Reader {
            source: source.to_owned(),
            strictness,
            path: Vec::new(),
            findings: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn path(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if key.contains(['.', '/']) => {
                    let _ = write!(out, "[{key:?}]");
                }
                Step::Key(key) => {
                    let dot = if out.is_empty() { "" } else { "." };
                    let _ = write!(out, "{dot}{key}");
                }
                Step::Index(index) => {
                    let _ = write!(out, "[{index}]");
                }
            }
        }
        out
    }

    fn finding(&self, at: (usize, usize), problem: String, hint: Option<String>) -> Finding {
        let source = self.source.clone();
        Finding { source, line: at.0, column: at.1, path: self.path(), problem, hint }
    }

    /// A finding about the whole text.
    pub(crate) fn whole(&mut self, problem: String) {
        self.place(1, 1, problem, None);
    }

    /// A finding at a place.
    pub(crate) fn place(
        &mut self,
        line: usize,
        column: usize,
        problem: String,
        hint: Option<String>,
    ) {
        self.findings.push(self.finding((line, column), problem, hint));
    }

    /// A finding about the current field.
    pub(crate) fn error(&mut self, node: &Node, problem: impl Into<String>) {
        self.place(node.line, node.column, problem.into(), None);
    }

    /// A finding about the current field, with advice.
    pub(crate) fn error_hint(
        &mut self,
        node: &Node,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.place(node.line, node.column, problem.into(), Some(hint.into()));
    }

    /// A finding at a path below `root`, which is placed at the nearest value that exists.
    pub(crate) fn error_at(
        &mut self,
        root: &Node,
        path: &str,
        problem: String,
        hint: Option<String>,
    ) {
        let node = locate(root, path);
        let mut finding = self.finding((node.line, node.column), problem, hint);
        finding.path = path.to_owned();
        self.findings.push(finding);
    }

    /// Runs `read` one level deeper.
    fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Reader) -> T) -> T {
        self.path.push(step);
        let value = read(self);
        self.path.pop();
        value
    }

    /// Entries of a mapping, its keys compared with the table.
    pub(crate) fn mapping<'n>(&mut self, node: &'n Node, table: &Table) -> Option<&'n [Entry]> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, "a mapping");
            return None;
        };
        for entry in entries {
            let key = entry.key.as_str();
            if !table.fields.contains(&key) && !table.ignored.contains(&key) {
                self.unexpected(entry, table);
            }
        }
        Some(entries)
    }

    fn unexpected(&mut self, entry: &Entry, table: &Table) {
        let known = table.later.contains(&entry.key.as_str());
        let (problem, hint) = if known {
            (
                format!("field {:?} is not supported yet", entry.key),
                Some("remove it, or use --validate=warn to go on without it".to_owned()),
            )
        } else {
            let names = table.fields.iter().chain(table.later).copied();
            let hint = spelling::nearest(&entry.key, names)
                .map(|name| format!("did you mean {name:?}?"))
                .or_else(|| Some(format!("known here: {}", table.fields.join(", "))));
            (format!("unknown field {:?}", entry.key), hint)
        };
        let place = if entry.line == 0 {
            (entry.value.line, entry.value.column)
        } else {
            (entry.line, entry.column)
        };
        self.path.push(Step::Key(entry.key.clone()));
        let finding = self.finding(place, problem, hint);
        self.path.pop();
        match self.strictness {
            Strictness::Strict => self.findings.push(finding),
            Strictness::Warn => self.warnings.push(finding),
            Strictness::Ignore => {}
        }
    }

    /// Reads one field of a mapping; absent and null give the default.
    pub(crate) fn field<T: Decode>(
        &mut self,
        parent: &Node,
        entries: &[Entry],
        key: &str,
        rules: &[Rule],
    ) -> T {
        let node = entries.iter().find(|e| e.key == key).map(|e| &e.value);
        let required = rules.iter().any(|(name, _)| *name == "required");
        let Some(node) = node.filter(|n| !n.is_null()) else {
            if required {
                let (line, column) = (parent.line, parent.column);
                self.within(Step::Key(key.to_owned()), |reader| {
                    reader.place(line, column, format!("required field {key:?} is missing"), None);
                });
            }
            return T::default();
        };
        self.within(Step::Key(key.to_owned()), |reader| {
            let before = reader.findings.len();
            let value = T::decode(node, reader);
            if reader.findings.len() == before {
                rules.iter().for_each(|(_, rule)| rule(node, reader));
            }
            value
        })
    }

    /// Reads one of a closed set of words.
    pub(crate) fn choice<T: Copy + Default>(
        &mut self,
        node: &Node,
        all: &[(T, &'static str)],
    ) -> T {
        let Some(text) = self.text(node) else { return T::default() };
        if let Some((value, _)) = all.iter().find(|(_, name)| *name == text) {
            return *value;
        }
        let names = all.iter().map(|(_, name)| *name);
        let near = spelling::nearest(text, names.clone());
        let hint = match near {
            Some(name) => format!("did you mean {name:?}?"),
            None => {
                let list: Vec<&str> = names.filter(|n| !n.is_empty()).collect();
                format!("one of: {}", list.join(", "))
            }
        };
        self.error_hint(node, format!("{text:?} is not a valid value"), hint);
        T::default()
    }

    /// Text of a scalar; a plain number, boolean or null is a finding.
    pub(crate) fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let Value::Scalar { text, plain } = &node.value else {
            self.wrong_type(node, "text");
            return None;
        };
        if *plain && let Some(kind) = super::scalar::non_text(text) {
            let hint = format!("quote it: \"{text}\"");
            self.error_hint(node, format!("expected text, found {kind} ({text})"), hint);
            return None;
        }
        Some(text)
    }

    /// Reports that something else was expected.
    pub(crate) fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let found = match &node.value {
            Value::Scalar { text, plain: true } => match super::scalar::non_text(text) {
                Some(kind) => format!("{kind} ({text})"),
                None => format!("text ({text:?})"),
            },
            Value::Scalar { text, .. } => format!("text ({text:?})"),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        };
        self.error(node, format!("expected {wanted}, found {found}"));
    }

    /// An integer within bounds.
    pub(crate) fn integer(&mut self, node: &Node, min: i128, max: i128) -> Option<i128> {
        let number = match &node.value {
            Value::Scalar { text, plain: true } => {
                super::scalar::integer(text).or_else(|| integral(super::scalar::float(text)?))
            }
            _ => None,
        };
        let Some(number) = number else {
            self.wrong_type(node, "an integer");
            return None;
        };
        if number < min || number > max {
            self.error(node, format!("{number} is not between {min} and {max}"));
            return None;
        }
        Some(number)
    }
}

/// JSON has one number type: `1e3` is an integer there.
fn integral(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i128)
}

/// The node at a path such as `spec.containers[0].image`, or its nearest existing ancestor.
fn locate<'n>(root: &'n Node, path: &str) -> &'n Node {
    let mut node = root;
    for step in path.split(['.', '[']).filter(|s| !s.is_empty()) {
        let next = match step.strip_suffix(']').map(str::parse::<usize>) {
            Some(Ok(index)) => match &node.value {
                Value::Sequence(items) => items.get(index),
                _ => None,
            },
            _ => node.get(step),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

impl Decode for String {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        reader.text(node).unwrap_or_default().to_owned()
    }
}

impl Decode for bool {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        let value = match &node.value {
            Value::Scalar { text, plain: true } => super::scalar::boolean(text),
            _ => None,
        };
        if value.is_none() {
            reader.wrong_type(node, "true or false");
        }
        value.unwrap_or_default()
    }
}

macro_rules! decode_integer {
    ($($type:ty: $min:expr, $max:expr;)*) => {
        $(impl Decode for $type {
            fn decode(node: &Node, reader: &mut Reader) -> Self {
                reader
                    .integer(node, $min, $max)
                    .and_then(|n| <$type>::try_from(n).ok())
                    .unwrap_or_default()
            }
        })*
    };
}

// Kubernetes keeps these as int32 and int64.
decode_integer! {
    u16: 0, 65_535;
    u32: 0, 2_147_483_647;
    u64: 0, 9_223_372_036_854_775;
}

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        Some(T::decode(node, reader))
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        let Value::Sequence(items) = &node.value else {
            reader.wrong_type(node, "a list");
            return Vec::new();
        };
        let read = |(index, item)| reader.within(Step::Index(index), |r| T::decode(item, r));
        items.iter().enumerate().map(read).collect()
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        let Value::Mapping(entries) = &node.value else {
            reader.wrong_type(node, "a mapping");
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for entry in entries {
            let value = reader.within(Step::Key(entry.key.clone()), |r| T::decode(&entry.value, r));
            map.insert(entry.key.clone(), value);
        }
        map
    }
}
