//! A host with busybox, and contexts to build from.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::host::{Done, Host};

pub(crate) struct Bench {
    pub(crate) host: Host,
}

/// Runs a line of shell that must succeed.
#[track_caller]
pub(crate) fn sh(line: &str) -> String {
    let out = Command::new("sh").args(["-ec", line]).output().expect("sh");
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{line}: {error}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

impl Bench {
    pub(crate) fn new(scope: scope::Scope) -> Bench {
        Bench { host: Host::with_busybox(scope) }
    }

    /// A folder with these files; a name that ends in a slash is a folder.
    pub(crate) fn context(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.host.path(name);
        fs::create_dir_all(&folder).expect("context");
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            match name.ends_with('/') {
                true => fs::create_dir_all(&path).expect("folder"),
                false => fs::write(&path, text).expect("file"),
            }
        }
        folder
    }

    /// `podvisor build ARGS CONTEXT`.
    pub(crate) fn build(&self, context: &str, args: &[&str]) -> Done {
        let path = self.host.path(context).display().to_string();
        self.host.podvisor(&[&["build"], args, &[&path]].concat())
    }

    /// The digest of a build that must succeed.
    #[track_caller]
    pub(crate) fn digest(&self, context: &str, args: &[&str]) -> String {
        self.build(context, &[args, &["-q"]].concat()).ok().trim().to_owned()
    }

    /// What `inspect` says of an image.
    #[track_caller]
    pub(crate) fn inspect(&self, image: &str) -> Value {
        let text = self.host.podvisor(&["inspect", image]).ok();
        serde_json::from_str::<Value>(&text).expect("json")[0].take()
    }

    /// Builds as `args` say and gives the steps' numbers that were in the cache.
    #[track_caller]
    pub(crate) fn cached(&self, context: &str, args: &[&str]) -> Vec<usize> {
        let done = self.build(context, args);
        let told = done.err.clone();
        done.ok();
        let number = |line: &str| line.strip_prefix('#')?.strip_suffix(" CACHED")?.parse().ok();
        told.lines().filter_map(number).collect()
    }

    /// What must be so after every build: nothing in staging, no container, no mount.
    #[track_caller]
    pub(crate) fn clean(&self) {
        // Any command sweeps what a killed one has left, once its last child has let go of it.
        let folders = ["root/staging", "state/build"].map(|folder| self.host.path(folder));
        let left =
            |folder: &PathBuf| fs::read_dir(folder).is_ok_and(|mut all| all.next().is_some());
        self.host.until("an end to what was killed", || {
            self.host.podvisor(&["images"]).ok();
            (!folders.iter().any(left)).then_some(())
        });
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        assert!(!mounts.contains("/merged"), "{mounts}");
    }
}
