//! Where this podvisor keeps its things: a flag, else the environment, else the default.

use std::path::{Path, PathBuf};

use api::Client;

use crate::args::{GlobalArgs, LogFormat};
use crate::print::Paint;

/// What every verb works with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Images, volumes, database.
    pub root: PathBuf,
    /// Sockets and locks.
    pub state: PathBuf,
    /// Logs of containers.
    pub log_dir: PathBuf,
    /// Addresses of pods, as given.
    pub subnet: Option<String>,
    /// Bridge of pods, as given.
    pub bridge: Option<String>,
    /// Cgroup above all pods.
    pub cgroup_parent: String,
    /// Form of errors.
    pub log_format: LogFormat,
    /// Colours.
    pub paint: Paint,
}

impl Settings {
    /// From flags and `env`, which looks a variable of the environment up.
    #[must_use]
    pub fn new(global: &GlobalArgs, env: impl Fn(&str) -> Option<String>) -> Settings {
        let folder = |flag: &Option<PathBuf>, name: &str, default: &str| {
            let path = flag.clone().or_else(|| env(name).map(PathBuf::from));
            path.unwrap_or_else(|| PathBuf::from(default))
        };
        let text = |flag: &Option<String>, name: &str| flag.clone().or_else(|| env(name));
        Settings {
            root: absolute(folder(&global.root, "PODVISOR_ROOT", "/var/lib/podvisor")),
            state: absolute(folder(&global.state, "PODVISOR_STATE", "/run/podvisor")),
            log_dir: absolute(folder(&global.log_dir, "PODVISOR_LOG_DIR", "/var/log/pods")),
            subnet: text(&global.subnet, "PODVISOR_SUBNET"),
            bridge: text(&global.bridge, "PODVISOR_BRIDGE"),
            cgroup_parent: text(&global.cgroup_parent, "PODVISOR_CGROUP_PARENT")
                .unwrap_or_else(|| "podvisor".into()),
            log_format: global.log_format,
            paint: Paint::new(global.color),
        }
    }

    /// The API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state.join("podvisor.sock")
    }

    /// A client of the supervisor of these folders.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    /// The same settings as flags, for another podvisor.
    #[must_use]
    pub fn as_flags(&self) -> Vec<std::ffi::OsString> {
        let mut flags: Vec<std::ffi::OsString> = Vec::new();
        let mut add = |name: &str, value: &Path| {
            flags.push(name.into());
            flags.push(value.as_os_str().to_owned());
        };
        add("--root", &self.root);
        add("--state", &self.state);
        add("--log-dir", &self.log_dir);
        add("--cgroup-parent", Path::new(&self.cgroup_parent));
        for (name, value) in [("--subnet", &self.subnet), ("--bridge", &self.bridge)] {
            if let Some(value) = value {
                add(name, Path::new(value));
            }
        }
        flags
    }
}

/// Relative to where we stand now; the supervisor stands elsewhere.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// A variable of this process's environment, when it says anything.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_default() {
        let env = |name: &str| (name == "PODVISOR_STATE").then(|| "/run/other".to_owned());
        let none = Settings::new(&GlobalArgs::default(), |_| None);
        assert_eq!(none.socket(), Path::new("/run/podvisor/podvisor.sock"));
        assert_eq!(none.cgroup_parent, "podvisor");
        let by_env = Settings::new(&GlobalArgs::default(), env);
        assert_eq!(by_env.state, Path::new("/run/other"));
        let flag = GlobalArgs { state: Some("/run/mine".into()), ..GlobalArgs::default() };
        assert_eq!(Settings::new(&flag, env).state, Path::new("/run/mine"));
        let flags = by_env.as_flags();
        assert!(flags.windows(2).any(|w| w[0] == "--state" && w[1] == "/run/other"));
    }
}
