//! Label selectors: `a=b,c!=d,e,!f,g in (h,i),j notin (k)`. Pure.
//!
//! Source: Kubernetes, apimachinery `labels/selector.go`.

use serde_json::Value;

/// A parsed selector; an empty one takes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Parses a selector.
    ///
    /// # Errors
    /// Words that name the term that cannot be read.
    pub fn parse(text: &str) -> Result<Selector, String> {
        let terms: Result<Vec<Term>, String> =
            split(text).into_iter().filter(|t| !t.is_empty()).map(term).collect();
        Ok(Selector { terms: terms? })
    }

    /// Whether an object's labels fit.
    #[must_use]
    pub fn takes(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.terms.iter().all(|term| {
            let value = labels.get(&term.key).and_then(Value::as_str);
            match &term.test {
                Test::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
            }
        })
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0u32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn term(text: &str) -> Result<Term, String> {
    let set = |key: &str, list: &str, test: fn(Vec<String>) -> Test| {
        let inner = list.trim().strip_prefix('(').and_then(|l| l.strip_suffix(')'));
        let inner = inner.ok_or_else(|| wrong(text))?;
        let values = inner.split(',').map(|v| v.trim().to_owned()).collect();
        checked(key, test(values), text)
    };
    if let Some((key, list)) = text.split_once(" notin ") {
        return set(key, list, Test::NotIn);
    }
    if let Some((key, list)) = text.split_once(" in ") {
        return set(key, list, Test::In);
    }
    if let Some((key, value)) = text.split_once("!=") {
        return checked(key, Test::NotIn(vec![value.trim().to_owned()]), text);
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value).trim().to_owned();
        return checked(key, Test::In(vec![value]), text);
    }
    match text.strip_prefix('!') {
        Some(key) => checked(key, Test::Absent, text),
        None => checked(text, Test::Exists, text),
    }
}

fn checked(key: &str, test: Test, text: &str) -> Result<Term, String> {
    let key = key.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if key.is_empty() || !key.chars().all(fine) {
        return Err(wrong(text));
    }
    Ok(Term { key: key.to_owned(), test })
}

fn wrong(text: &str) -> String {
    format!("\"{text}\" is no label selector (as in app=web,tier!=db,track in (a,b),!old)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_takes_what_it_says() {
        let object = json!({"metadata": {"labels": {"app": "web", "track": "a"}}});
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web,track!=b", true),
            ("app=db", false),
            ("app!=web", false),
            ("missing!=x", true),
            ("app", true),
            ("!app", false),
            ("!missing", true),
            ("track in (a, b),app", true),
            ("track notin (a,b)", false),
        ];
        for (text, want) in cases {
            let selector = Selector::parse(text).unwrap();
            assert_eq!(selector.takes(&object), want, "{text}");
        }
        for text in ["=x", "a b", "a in b", "!"] {
            assert!(Selector::parse(text).unwrap_err().contains(text), "{text}");
        }
    }
}
