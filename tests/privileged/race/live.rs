//! A round with a container that lives: a mount comes to it and goes, while its destination is
//! exchanged. Whatever comes of it, what the container had mounted stays, and nothing new is
//! anywhere but where the destination is, or was.

use std::cell::RefCell;
use std::fs;

use scope::Done;
use serde_json::Value;

use crate::trial::Trial;

/// So many mounts that moved away with their folder are left before the container is made anew.
const LEFT_MAX: usize = 16;

/// A container's places that something is mounted on, as it began.
struct Born {
    pid: String,
    places: Vec<String>,
}

/// The container `c` of the bundle `b`.
pub(super) struct Live<'a> {
    trial: &'a Trial,
    destination: &'static str,
    born: RefCell<Option<Born>>,
}

impl Live<'_> {
    pub(super) fn new<'a>(trial: &'a Trial, destination: &'static str) -> Live<'a> {
        let source = trial.path("canary/folder").display().to_string();
        let mounts = serde_json::json!([{"destination": destination, "source": source,
            "options": ["bind", "ro"]}]);
        fs::write(trial.path("mounts.json"), mounts.to_string()).expect("write");
        Live { trial, destination, born: RefCell::new(None) }
    }

    /// `mounts add`, whose outcome it is, and `mounts remove`.
    pub(super) fn round(&self) -> Done {
        let trial = self.trial;
        let mut born = self.born.borrow_mut();
        let had = born.get_or_insert_with(|| self.begin());
        let [added, removed] = ["add", "remove"].map(|what| {
            let done = trial.oci(&["mounts", what, "c", "AT/mounts.json"]);
            (self.judge(had, what), done)
        });
        assert!(matches!(removed.1.code, 0 | 1), "{:?}", removed.1);
        if removed.0 > LEFT_MAX {
            trial.oci(&["delete", "--force", "c"]).ok();
            *born = None;
        }
        added.1
    }

    fn begin(&self) -> Born {
        let bundle = self.trial.path("b").display().to_string();
        let run = ["--cgroup-manager", "disabled", "run", "-d", "--bundle", &bundle, "c"];
        self.trial.oci(&run).ok();
        let state = self.trial.oci(&["state", "c"]).ok();
        let state: Value = serde_json::from_str(&state).expect("JSON");
        let pid = state["pid"].to_string();
        let places = places(&pid);
        assert!(places.iter().any(|place| place == "/proc"), "{places:?}");
        Born { pid, places }
    }

    /// How many mounts there are that it was not born with.
    fn judge(&self, born: &Born, what: &str) -> usize {
        let mut all = places(&born.pid);
        for place in &born.places {
            let at = all.iter().position(|other| other == place);
            all.swap_remove(at.unwrap_or_else(|| panic!("{what} took {place} away")));
        }
        // The first folder of the way is the target.
        let target = self.destination.split('/').nth(1).expect("a folder");
        let top = |place: &String| place.split('/').nth(1).unwrap_or_default().to_owned();
        let astray: Vec<_> = all.iter().filter(|place| !top(place).starts_with(target)).collect();
        assert!(astray.is_empty(), "{what} led to {astray:?}");
        all.len()
    }
}

/// Where something is mounted in a process's view.
fn places(pid: &str) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("mountinfo");
    table.lines().map(|line| line.split(' ').nth(4).expect("a place").to_owned()).collect()
}
