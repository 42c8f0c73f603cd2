//! YAML text to a tree of nodes that know their line and column.
//!
//! Bounds hold before anything is built: text size, depth, and the number of nodes after aliases
//! and merge keys are expanded (a "billion laughs" file is refused, not expanded). JSON is YAML
//! here. Duplicate keys are findings. Scalars stay text; `scalar` reads them.

use super::decode::Reader;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::BTreeMap;

/// Largest text in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 3 << 20;
/// Deepest nesting.
pub(crate) const MAX_DEPTH: usize = 100;
/// Most nodes in all documents together, aliases expanded.
pub(crate) const MAX_NODES: usize = 200_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// What it is.
    pub(crate) value: Value,
}

/// Kinds of node.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Text; `plain` when it had neither quotes nor a `!!str` tag.
    Scalar {
        /// The text.
        text: String,
        /// Whether YAML may read it as a number, boolean or null.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the order of the file.
    Mapping(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Place of the key.
    pub(crate) line: usize,
    /// Place of the key.
    pub(crate) column: usize,
    /// Its value.
    pub(crate) value: Node,
}

impl Node {
    fn at(span: Span, value: Value) -> Node {
        Node { line: span.start.line(), column: span.start.col() + 1, value }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::Sequence(items) => items.iter().map(Node::size).sum(),
            Value::Mapping(entries) => entries.iter().map(|e| e.value.size()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::Sequence(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Mapping(entries) => entries.iter().map(|e| e.value.depth()).max().unwrap_or(0),
        }
    }

    /// Value of a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// Is it absent in the sense of Kubernetes: an explicit null?
    pub(crate) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain: true } => super::scalar::is_null(text),
            _ => false,
        }
    }
}

enum Open {
    Sequence { node: Node, anchor: usize },
    Mapping { node: Node, anchor: usize, key: Option<(String, bool, Span)> },
}

struct Builder<'r> {
    reader: &'r mut Reader,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    documents: Vec<Node>,
}

/// Reads all documents of a text. What is wrong goes to `reader`; after a syntax error or a broken
/// bound the rest of the text is not read.
pub(crate) fn documents(text: &str, reader: &mut Reader) -> Vec<Node> {
    if text.len() > MAX_TEXT_BYTES {
        reader.whole(format!("{} bytes, more than {MAX_TEXT_BYTES} are not read", text.len()));
        return Vec::new();
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        reader,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
        documents: Vec::new(),
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => {
                if builder.event(event, span).is_none() {
                    break;
                }
            }
            Err(error) => {
                let mark = error.marker();
                let problem = format!("not YAML: {}", error.info());
                builder.reader.place(mark.line(), mark.col() + 1, problem, yaml_hint(text, mark));
                break;
            }
        }
    }
    builder.documents
}

/// A tab at the place of a syntax error is its most common cause.
fn yaml_hint(text: &str, mark: &saphyr_parser::Marker) -> Option<String> {
    let line = text.lines().nth(mark.line().saturating_sub(1))?;
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    indent.contains('\t').then(|| "indent with spaces; YAML forbids tabs".to_owned())
}

impl Builder<'_> {
    /// `None` ends the reading: a bound is broken.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let string = tag.is_some_and(|t| t.is_yaml_core_schema() && t.suffix == "str");
                let plain = style == ScalarStyle::Plain && !string;
                let value = Value::Scalar { text: text.into_owned(), plain };
                self.value(Node::at(span, value), anchor, 1)?;
            }
            Event::SequenceStart(anchor, _) => {
                let node = Node::at(span, Value::Sequence(Vec::new()));
                self.open(Open::Sequence { node, anchor }, span)?;
            }
            Event::MappingStart(anchor, _) => {
                let node = Node::at(span, Value::Mapping(Vec::new()));
                self.open(Open::Mapping { node, anchor, key: None }, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(id) => self.alias(id, span)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn open(&mut self, open: Open, span: Span) -> Option<()> {
        if self.stack.len() >= MAX_DEPTH {
            return self.too_deep(span.start.line(), span.start.col() + 1);
        }
        self.stack.push(open);
        Some(())
    }

    fn too_deep(&mut self, line: usize, column: usize) -> Option<()> {
        self.reader.place(line, column, format!("nested deeper than {MAX_DEPTH} levels"), None);
        None
    }

    fn close(&mut self) -> Option<()> {
        match self.stack.pop() {
            Some(Open::Sequence { node, anchor } | Open::Mapping { node, anchor, .. }) => {
                self.value(node, anchor, 1)
            }
            None => Some(()),
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Option<()> {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        let Some(node) = self.anchors.get(&id).cloned() else {
            self.reader.place(line, column, "alias of an anchor that is not complete".into(), None);
            return Some(());
        };
        if self.stack.len() + node.depth() > MAX_DEPTH {
            return self.too_deep(line, column);
        }
        let size = node.size();
        self.value(Node { line, column, value: node.value }, 0, size)
    }

    fn value(&mut self, node: Node, anchor: usize, size: usize) -> Option<()> {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            let problem = format!("more than {MAX_NODES} values, aliases expanded");
            self.reader.place(node.line, node.column, problem, None);
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some(Open::Sequence { node: list, .. }) => {
                if let Value::Sequence(items) = &mut list.value {
                    items.push(node);
                }
            }
            Some(Open::Mapping { .. }) => self.entry(node),
        }
        Some(())
    }

    fn entry(&mut self, node: Node) {
        let Some(Open::Mapping { node: map, key, .. }) = self.stack.last_mut() else { return };
        let Value::Mapping(entries) = &mut map.value else { return };
        let Some((name, plain, span)) = key.take() else {
            let span = Span::empty(saphyr_parser::Marker::new(0, node.line, node.column - 1));
            match node.value {
                Value::Scalar { text, plain } => *key = Some((text, plain, span)),
                _ => {
                    *key = Some((String::new(), false, span));
                    let problem = "a key must be text".to_owned();
                    self.reader.place(node.line, node.column, problem, None);
                }
            }
            return;
        };
        if name == "<<" && plain {
            merge(entries, node, self.reader);
            return;
        }
        let (line, column) = (span.start.line(), span.start.col() + 1);
        if let Some(at) = entries.iter().position(|e| e.key == name) {
            let earlier = &mut entries[at];
            if earlier.line == 0 {
                // From a merge key: the mapping's own value wins.
                *earlier = Entry { key: name, line, column, value: node };
                return;
            }
            let problem = format!("duplicate key {name:?}");
            let hint = format!("it is also on line {}", earlier.line);
            self.reader.place(line, column, problem, Some(hint));
            return;
        }
        entries.push(Entry { key: name, line, column, value: node });
    }
}

/// YAML 1.1 merge key: entries of the merged mappings, the first one wins. Merged entries carry
/// line 0 until the mapping's own key replaces them.
fn merge(entries: &mut Vec<Entry>, node: Node, reader: &mut Reader) {
    match node.value {
        Value::Mapping(merged) => {
            for entry in merged {
                if !entries.iter().any(|e| e.key == entry.key) {
                    entries.push(Entry { line: 0, column: 0, ..entry });
                }
            }
        }
        Value::Sequence(items) => items.into_iter().for_each(|n| merge(entries, n, reader)),
        Value::Scalar { .. } => {
            let problem = "a merge key (<<) needs a mapping".to_owned();
            reader.place(node.line, node.column, problem, None);
        }
    }
}
