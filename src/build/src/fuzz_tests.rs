//! What strangers write: build files and lists of what is left out.

use std::collections::BTreeMap;

use crate::plan;
use crate::state::State;
use crate::{Error, Ignore, Instruction, parse};

fuzz::targets![containerfile, dockerignore];

/// No input takes the reader, the planner or the expansion of variables down; a mistake stands in
/// the file; what is printed of a step is bounded.
fn containerfile(input: &[u8]) {
    let given = BTreeMap::from([("A".to_owned(), "a".to_owned())]);
    let text = String::from_utf8_lossy(input);
    let file = match parse("C", &text) {
        Ok(file) => file,
        Err(Error::File { place, .. }) => {
            assert!(place.line >= 1 && place.line <= text.lines().count().max(1), "{place:?}");
            assert!(place.column >= 1, "{place:?}");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    assert_eq!(parse("C", &text).unwrap(), file);
    let triggers = |_: &str| vec!["COPY --from=0 /a /b".to_owned()];
    let Ok(planned) = plan::plan(&file, None, (&given, &BTreeMap::new()), &triggers) else {
        return;
    };
    for index in &planned.order {
        let mut state = State::new(image::Stack::scratch(), file.escape);
        for step in &file.stages[*index].steps {
            assert!(state.shown(step).len() <= text.len() + (128 << 10));
            if state.apply(&step.instruction, &given, &planned.arguments).is_err() {
                return;
            }
            if let Instruction::Copy(copy) = &step.instruction {
                let Ok(target) = state.expand(&copy.target) else { return };
                let target = state.resolve(&target);
                assert!(!target.split('/').any(|part| part == ".."), "{target}");
            }
        }
        let workdir = state.workdir();
        assert!(workdir.starts_with('/') && !workdir.split('/').any(|part| part == ".."));
        drop(state.finished());
    }
}

/// What is below a hidden folder is hidden, unless something lets in again; a path is hidden
/// however often one asks.
fn dockerignore(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (patterns, paths) = text.split_once("---\n").unwrap_or((&text, "a/b"));
    let ignore = match Ignore::parse(patterns) {
        Ok(ignore) => ignore,
        Err((line, problem)) => {
            assert!(line >= 1 && line <= patterns.lines().count(), "{line}: {problem}");
            return;
        }
    };
    for path in paths.lines().take(20) {
        let path = crate::ignore::clean(path);
        let hidden = ignore.hides(&path);
        let below = ignore.hides(&format!("{path}/below"));
        let kept = ignore.has_exceptions() || path.is_empty();
        assert!(below || !hidden || kept, "{path:?} is hidden, what is below is not");
    }
}
