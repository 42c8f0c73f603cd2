//! JSON values as YAML documents. Pure; only what our own objects need: block style, quoted where
//! plain text would read as something else.

use std::fmt::Write as _;

use serde_json::Value;

/// One document.
#[must_use]
pub fn render(value: &Value) -> String {
    let mut out = String::new();
    node(value, 0, &mut out);
    out
}

fn node(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, inner)) in map.iter().enumerate() {
                // The first key stands after the dash of a list, if any.
                if at > 0 || !out.ends_with("- ") {
                    indent(depth, out);
                }
                out.push_str(&scalar(key));
                out.push(':');
                below(inner, depth, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for inner in list {
                indent(depth, out);
                out.push_str("- ");
                match inner {
                    Value::Object(map) if !map.is_empty() => node(inner, depth + 1, out),
                    Value::Array(list) if !list.is_empty() => {
                        out.push('\n');
                        node(inner, depth + 1, out);
                    }
                    other => leaf(other, out),
                }
            }
        }
        other => leaf(other, out),
    }
}

fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            node(value, depth + 1, out);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            node(value, depth, out);
        }
        other => {
            out.push(' ');
            leaf(other, out);
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn leaf(value: &Value, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::String(text) => writeln!(out, "{}", scalar(text)),
        other => writeln!(out, "{other}"),
    };
}

/// A string, quoted unless it can be nothing else.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let looks_like_more = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        .contains(&text.to_lowercase().as_str())
        || text.starts_with(|c: char| !c.is_ascii_alphabetic() && c != '/');
    if !text.is_empty() && text.chars().all(plain) && !looks_like_more {
        return text.to_owned();
    }
    // A JSON string is a double-quoted YAML scalar.
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_block_style() {
        let value = json!({
            "apiVersion": "v1",
            "metadata": {"labels": {"app": "web"}, "annotations": {}},
            "spec": {"containers": [{"args": ["-c", "a: b"], "name": "yes"}], "n": 5},
        });
        let want = "apiVersion: v1\nmetadata:\n  annotations: {}\n  labels:\n    app: web\nspec:\n  \
                    containers:\n  - args:\n    - \"-c\"\n    - \"a: b\"\n    name: \"yes\"\n  \"n\": 5\n";
        assert_eq!(render(&value), want);
    }
}
