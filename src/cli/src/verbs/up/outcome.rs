//! `--until-done`: which pods are awaited, and one line for each that has ended.
//!
//! Whose line has been printed is kept in a file of the state folder: after a crash of this process
//! (under PID 1 it is started again) nobody is told twice. Only a crash between the two would.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::args::UpArgs;
use crate::failure::Failure;
use crate::manifest::Manifest;
use crate::object::{is_done, name, namespace, number, restarts, statuses, text};
use crate::print;

/// Pods that are awaited.
pub(super) struct Outcomes {
    waiting: BTreeSet<(String, String)>,
    seen: BTreeSet<(String, String)>,
    all_succeeded: bool,
    json: bool,
    told: Told,
}

/// Uids of the pods whose line has been printed.
struct Told {
    file: PathBuf,
    uids: BTreeSet<String>,
}

impl Told {
    fn read(state: &Path) -> Told {
        let file = state.join("outcomes");
        // One that is not there, or cannot be read, has nothing to say.
        let text = fs::read_to_string(&file).unwrap_or_default();
        Told { file, uids: text.lines().map(str::to_owned).collect() }
    }

    fn add(&mut self, uid: &str) -> Result<(), Failure> {
        let open = File::options().create(true).append(true).open(&self.file);
        open.and_then(|mut file| file.write_all(format!("{uid}\n").as_bytes()))
            .map_err(|error| Failure::of(format!("up: write {}", self.file.display()), &error))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // It is for a crash only.
        let _ = fs::remove_file(&self.file);
    }
}

impl Outcomes {
    /// The pods of the manifests, when they are to be awaited; `state` is the state folder.
    pub(super) fn new(
        manifests: &[Manifest],
        args: &UpArgs,
        state: &Path,
    ) -> Result<Option<Outcomes>, Failure> {
        if !args.until_done {
            return Ok(None);
        }
        // A Secret does not run.
        let objects =
            || manifests.iter().flat_map(|m| &m.objects).filter(|object| object.kind() != "Secret");
        if let Some(other) = objects().find(|o| o.kind() != "Pod") {
            let what = format!("{} {}", other.kind(), other.metadata().name);
            return Err(Failure::new("up --until-done", format!("{what} never ends by itself"))
                .hint("leave --until-done out, or name pods only")
                .code(2));
        }
        let place = |o: &pod::Object| {
            let meta = o.metadata();
            (meta.namespace().to_owned(), meta.name.clone())
        };
        Ok(Some(Outcomes {
            waiting: objects().map(place).collect(),
            seen: BTreeSet::new(),
            all_succeeded: true,
            json: args.json,
            told: Told::read(state),
        }))
    }

    /// Standard output is for programs.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Tells who has ended since; the exit code once all have. A pod that was deleted has failed.
    pub(super) fn look(&mut self, pods: &[Value]) -> Result<Option<u8>, Failure> {
        let place = |pod: &Value| (namespace(pod).to_owned(), name(pod).to_owned());
        let mut ended = Vec::new();
        for awaited in &self.waiting {
            let pod = pods.iter().find(|pod| place(pod) == *awaited);
            match pod {
                Some(pod) if is_done(pod) => ended.push((awaited.clone(), Some(pod))),
                Some(_) => {
                    self.seen.insert(awaited.clone());
                }
                None if self.seen.contains(awaited) => ended.push((awaited.clone(), None)),
                None => {}
            }
        }
        for (awaited, pod) in ended {
            self.waiting.remove(&awaited);
            let phase = pod.map_or("Deleted", |pod| text(pod, "/status/phase"));
            self.all_succeeded &= phase == "Succeeded";
            let uid = pod.map_or("", |pod| text(pod, "/metadata/uid"));
            if self.json && !self.told.uids.contains(uid) {
                print::out(&line(&awaited.1, phase, pod.unwrap_or(&Value::Null)))?;
                self.told.add(uid)?;
            }
        }
        let code = u8::from(!self.all_succeeded);
        Ok(self.waiting.is_empty().then_some(code))
    }
}

/// One pod's end, its name first so that a person finds it.
fn line(pod: &str, phase: &str, object: &Value) -> String {
    let codes: serde_json::Map<String, Value> = statuses(object, true)
        .map(|status| {
            let ended = &status["state"]["terminated"];
            (text(status, "/name").to_owned(), number(ended, "/exitCode").into())
        })
        .collect();
    let reasons: Vec<&str> = statuses(object, true)
        .map(|status| text(status, "/state/terminated/reason"))
        .filter(|reason| !reason.is_empty())
        .collect();
    format!(
        "{{\"pod\": {}, \"phase\": {}, \"exit_codes\": {}, \"restarts\": {}, \"reasons\": {}}}\n",
        Value::from(pod),
        Value::from(phase),
        Value::from(codes),
        restarts(object),
        Value::from(reasons),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_says_how_a_pod_ended() {
        let pod = json!({"status": {"containerStatuses": [
            {"name": "main", "restartCount": 1,
             "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}});
        assert_eq!(
            line("failing", "Failed", &pod),
            "{\"pod\": \"failing\", \"phase\": \"Failed\", \"exit_codes\": {\"main\":3}, \
             \"restarts\": 1, \"reasons\": [\"Error\"]}\n"
        );
    }

    #[test]
    fn the_code_comes_when_all_have_ended() {
        let place = |name: &str| ("default".to_owned(), name.to_owned());
        let mut outcomes = Outcomes {
            waiting: [place("a"), place("b")].into(),
            seen: BTreeSet::new(),
            all_succeeded: true,
            json: false,
            told: Told::read(Path::new("/no/such/folder")),
        };
        let pod = |name: &str, phase: &str| json!({"metadata": {"name": name}, "status": {"phase": phase}});
        assert_eq!(outcomes.look(&[]), Ok(None));
        assert_eq!(outcomes.look(&[pod("a", "Succeeded"), pod("b", "Running")]), Ok(None));
        assert_eq!(outcomes.look(&[pod("a", "Succeeded")]), Ok(Some(1)), "b was deleted");
    }
}
