//! `mounts`: bind mounts come to a container that lives, and go. crun's verb.

use std::path::Path;

use oci::runtime::Mount;
use serde_json::Value;

use super::{Verb, document, open};
use crate::args::{UsageError, Words};
use crate::report::Failure;

/// `mounts add|remove ID FILE`.
pub(super) const MOUNTS: Verb = Verb {
    name: "mounts",
    help: "add bind mounts to a container that lives, or remove mounts",
    arguments: "add|remove ID FILE",
    flags: &[],
    words: Words::Anywhere,
    least: 3,
    most: 3,
    hidden: false,
    examples: ["mounts add web mounts.json", "mounts remove web mounts.json"],
    run: |globals, given| {
        let word = |at: usize| given.words.get(at).and_then(|word| word.to_str());
        let file = given.words.get(2).map_or(Path::new(""), Path::new);
        let (change, id) = word(0).zip(word(1)).ok_or(UsageError::NotText)?;
        let runtime = open(globals)?;
        match change {
            "add" => runtime.add_mounts(id, &read(file)?)?,
            "remove" => runtime.remove_mounts(id, &read(file)?)?,
            other => return Err(Failure::new(format!("unknown command {other} (add or remove)"))),
        }
        Ok(0)
    },
};

fn read(path: &Path) -> Result<Vec<Mount>, Failure> {
    mounts(document(path, "mounts")?)
        .map_err(|problem| Failure::new(format!("mounts {}: {problem}", path.display())))
}

/// A list of mounts, or the field of a document that has one, as config.json.
fn mounts(document: Value) -> Result<Vec<Mount>, String> {
    let list = match document {
        Value::Array(_) => document,
        Value::Object(mut fields) => {
            fields.remove("mounts").ok_or("has no mounts, and is no list of them")?
        }
        _ => return Err("is no list of mounts".to_owned()),
    };
    let Value::Array(all) = list else { return Err("mounts is no list".to_owned()) };
    let one = |(index, mount): (usize, &Value)| {
        oci::document::of_tree(mount).map_err(|error| format!("mounts[{index}]: {error}"))
    };
    all.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_and_a_document_with_one() {
        let list = json!([{"destination": "/a", "source": "/b", "options": ["bind"]}]);
        for document in [list.clone(), json!({"ociVersion": "1.2.0", "mounts": list})] {
            let all = mounts(document).unwrap();
            assert_eq!(all.len(), 1);
            assert_eq!(all.first().unwrap().destination(), Path::new("/a"));
        }
        for (document, words) in [
            (json!({}), "has no mounts"),
            (json!(5), "no list"),
            (json!({"mounts": {}}), "mounts is no list"),
            (json!([{"destination": "/a"}, {"source": "/b"}]), "mounts[1]: missing field"),
        ] {
            let problem = mounts(document).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
