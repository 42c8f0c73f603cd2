//! A stage's image while its instructions are worked through: those that only change its
//! configuration. Pure.
//!
//! Invariant: the configuration stays a document that engines read; what the base's has and we do
//! not know is kept.

use std::collections::BTreeMap;

use image::Stack;
use serde_json::{Map, Value, json};

use crate::error::{Error, Place};
use crate::file;
use crate::instruction::{Command, Health, Instruction};
use crate::words;

const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// Arguments that need no ARG, and are no part of an image's history.
pub(crate) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// A stage under work.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) stack: Stack,
    /// Values of the ARGs so far.
    pub(crate) args: BTreeMap<String, String>,
    /// When its newest layer was made, RFC 3339.
    pub(crate) created: Option<String>,
    escape: char,
    has_cmd: bool,
}

impl State {
    pub(crate) fn new(stack: Stack, escape: char) -> State {
        let created = stack.config["created"].as_str().map(str::to_owned);
        State { stack, args: BTreeMap::new(), created, escape, has_cmd: false }
    }

    /// As the base of another stage: its arguments end with it.
    pub(crate) fn as_base(&self) -> State {
        State { args: BTreeMap::new(), has_cmd: false, ..self.clone() }
    }

    fn config(&self) -> &Value {
        &self.stack.config["config"]
    }

    fn set(&mut self, key: &str, value: Value) {
        let config = &mut self.stack.config["config"];
        if !config.is_object() {
            *config = json!({});
        }
        config[key] = value;
    }

    /// The image's variables.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let list = self.config()["Env"].as_array().into_iter().flatten();
        let pairs = list.filter_map(|pair| pair.as_str()?.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn look_up(&self, name: &str) -> Option<String> {
        let env = self.env().into_iter().find(|(known, _)| known == name);
        env.map(|(_, value)| value).or_else(|| self.args.get(name).cloned())
    }

    /// Expands variables, by the image's first and then the arguments.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        words::expand(text, self.escape, &|name| self.look_up(name))
    }

    /// The same in a here-document.
    pub(crate) fn expand_document(&self, text: &str) -> Result<String, String> {
        words::expand_document(text, self.escape, &|name| self.look_up(name))
    }

    /// What a step's command sees: arguments, then the image's variables.
    pub(crate) fn step_env(&self) -> BTreeMap<String, String> {
        let mut all = self.args.clone();
        all.extend(self.env());
        all
    }

    pub(crate) fn user(&self) -> &str {
        self.config()["User"].as_str().unwrap_or_default()
    }

    /// Absolute.
    pub(crate) fn workdir(&self) -> String {
        let path = self.config()["WorkingDir"].as_str().unwrap_or_default();
        format!("/{}", path.trim_start_matches('/'))
    }

    /// An absolute path, relative to the working folder where it is not one. A slash at its end
    /// stays.
    pub(crate) fn resolve(&self, path: &str) -> String {
        let whole = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", self.workdir())
        };
        let clean = format!("/{}", crate::ignore::clean(&whole));
        let last = path.rsplit('/').next().unwrap_or_default();
        let folder = matches!(last, "" | "." | "..") && clean != "/";
        if folder { format!("{clean}/") } else { clean }
    }

    fn shell(&self) -> Vec<String> {
        let own: Option<Vec<String>> = serde_json::from_value(self.config()["Shell"].clone()).ok();
        let default = || DEFAULT_SHELL.iter().map(|w| (*w).to_owned()).collect();
        own.filter(|words| !words.is_empty()).unwrap_or_else(default)
    }

    /// A command as the words that are executed.
    pub(crate) fn argv(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) => {
                let mut words = self.shell();
                words.push(text.clone());
                words
            }
        }
    }

    fn add_key(&mut self, list: &str, key: String) {
        let mut map: Map<String, Value> =
            serde_json::from_value(self.config()[list].clone()).unwrap_or_default();
        map.insert(key, json!({}));
        self.set(list, map.into());
    }

    fn set_env(&mut self, name: String, value: String) {
        let mut env = self.env();
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => env.push((name, value)),
        }
        let list: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.set("Env", json!(list));
    }

    /// Adds or changes a label.
    pub(crate) fn set_label(&mut self, name: &str, value: &str) {
        let mut labels: Map<String, Value> =
            serde_json::from_value(self.config()["Labels"].clone()).unwrap_or_default();
        labels.insert(name.to_owned(), json!(value));
        self.set("Labels", labels.into());
    }

    /// The instructions that the base has for builds upon it; taken away with that.
    pub(crate) fn take_triggers(&mut self) -> Vec<String> {
        let list = serde_json::from_value(self.config()["OnBuild"].clone()).unwrap_or_default();
        if let Some(config) = self.stack.config["config"].as_object_mut() {
            config.remove("OnBuild");
        }
        list
    }

    /// Takes an argument in; `given` and `global` are the command line's and those before the
    /// first FROM.
    fn declare(
        &mut self,
        (name, default): (&String, &Option<String>),
        given: &BTreeMap<String, String>,
        global: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let default = default.as_ref().map(|text| self.expand(text)).transpose()?;
        let value = given.get(name).cloned().or(default).or_else(|| global.get(name).cloned());
        self.args.extend(value.map(|value| (name.clone(), value)));
        Ok(())
    }

    /// Does an instruction that needs no files; the others are left alone.
    pub(crate) fn apply(
        &mut self,
        instruction: &Instruction,
        given: &BTreeMap<String, String>,
        global: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        match instruction {
            Instruction::Arg(all) => {
                for (name, default) in all {
                    self.declare((name, default), given, global)?;
                }
            }
            Instruction::Env(pairs) => {
                for (name, value) in self.expanded(pairs)? {
                    self.set_env(name, value);
                }
            }
            Instruction::Label(pairs) => {
                for (name, value) in self.expanded(pairs)? {
                    self.set_label(&name, &value);
                }
            }
            Instruction::User(user) => {
                let user = self.expand(user)?;
                self.set("User", json!(user));
            }
            Instruction::Workdir(path) => {
                let path = self.resolve(&self.expand(path)?);
                let path = if path == "/" { path } else { path.trim_end_matches('/').to_owned() };
                self.set("WorkingDir", json!(path));
            }
            Instruction::Expose(list) => self.expose(list)?,
            Instruction::Volume(list) => {
                for path in list {
                    let path = self.expand(path)?;
                    self.add_key("Volumes", path);
                }
            }
            Instruction::StopSignal(signal) => {
                let signal = self.expand(signal)?;
                if sys::foreground::signal_number(&signal).is_none() {
                    return Err(format!("{signal} is no signal"));
                }
                self.set("StopSignal", json!(signal));
            }
            Instruction::Healthcheck(health) => {
                let health = self.health(health);
                self.set("Healthcheck", health);
            }
            Instruction::Shell(words) => self.set("Shell", json!(words)),
            Instruction::Entrypoint(command) => {
                let argv = self.argv(command);
                self.set("Entrypoint", json!(argv));
                // Docker: a base's command is meant for the base's entry point.
                if !self.has_cmd {
                    self.set("Cmd", Value::Null);
                }
            }
            Instruction::Cmd(command) => {
                let argv = self.argv(command);
                self.set("Cmd", json!(argv));
                self.has_cmd = true;
            }
            Instruction::Maintainer(name) => self.stack.config["author"] = json!(name),
            Instruction::OnBuild(text) => {
                let mut list: Vec<String> =
                    serde_json::from_value(self.config()["OnBuild"].clone()).unwrap_or_default();
                list.push(text.clone());
                self.set("OnBuild", json!(list));
            }
            Instruction::From { .. } | Instruction::Run(_) | Instruction::Copy(_) => {}
        }
        Ok(())
    }

    fn expose(&mut self, list: &[String]) -> Result<(), String> {
        for text in list {
            // A variable may hold several.
            for port in self.expand(text)?.split_whitespace() {
                ports(port)?.into_iter().for_each(|port| self.add_key("ExposedPorts", port));
            }
        }
        Ok(())
    }

    /// All by the values from before the instruction.
    fn expanded(&self, pairs: &[(String, String)]) -> Result<Vec<(String, String)>, String> {
        pairs.iter().map(|(name, value)| Ok((self.expand(name)?, self.expand(value)?))).collect()
    }

    fn health(&self, health: &Health) -> Value {
        let Health::Check { command, interval, timeout, start_period, start_interval, retries } =
            health
        else {
            return json!({ "Test": ["NONE"] });
        };
        let mut test = match command {
            Command::Exec(words) => [&["CMD".to_owned()], words.as_slice()].concat(),
            Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
        };
        test.retain(|word| !word.is_empty());
        let mut out = json!({ "Test": test });
        for (key, value) in [
            ("Interval", interval),
            ("Timeout", timeout),
            ("StartPeriod", start_period),
            ("StartInterval", start_interval),
            ("Retries", retries),
        ] {
            if let Some(value) = value {
                out[key] = json!(value);
            }
        }
        out
    }

    /// The configuration without what a build leaves empty.
    pub(crate) fn finished(mut self) -> Stack {
        if let Some(config) = self.stack.config["config"].as_object_mut() {
            config.retain(|_, value| !value.is_null());
        }
        if let Some(created) = &self.created {
            self.stack.config["created"] = json!(created);
        }
        self.stack
    }
}

/// Does instructions that only change the configuration, as `commit --change` gives them.
///
/// # Errors
/// Mistakes of an instruction, and those that need a build.
pub fn change(stack: &mut Stack, changes: &[String]) -> crate::Result<()> {
    const NAME: &str = "--change";
    let mut state = State::new(stack.clone(), '\\');
    for (i, text) in changes.iter().enumerate() {
        let step = file::trigger(text, NAME, Place { line: i + 1, column: 1 })?;
        if matches!(
            step.instruction,
            Instruction::From { .. } | Instruction::Run(_) | Instruction::Copy(_)
        ) {
            let problem = format!("{text} cannot be done by {NAME}");
            return Err(Error::refused(problem, "write a Containerfile: `podvisor build`"));
        }
        let nothing = BTreeMap::new();
        let done = state.apply(&step.instruction, &nothing, &nothing);
        done.map_err(|problem| Error::refused(format!("{text}: {problem}"), ""))?;
    }
    *stack = state.finished();
    Ok(())
}

/// `80`, `53/udp`, `8000-8002/tcp` as the keys of ExposedPorts.
fn ports(text: &str) -> Result<Vec<String>, String> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let wrong = || format!("{text} is no port: 80, 53/udp, 8000-8002");
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    let (from, to): (u16, u16) =
        (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from > to || !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(wrong());
    }
    Ok((from..=to).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn after(body: &str) -> Result<State, String> {
        let file = parse("C", &format!("FROM scratch\n{body}")).unwrap();
        let mut state = State::new(Stack::scratch(), '\\');
        let given = BTreeMap::from([("GIVEN".to_owned(), "g".to_owned())]);
        let global = BTreeMap::from([("TARGETARCH".to_owned(), "amd64".to_owned())]);
        for step in &file.stages[0].steps {
            state.apply(&step.instruction, &given, &global)?;
        }
        Ok(state)
    }

    #[test]
    fn the_configuration_follows_the_instructions() {
        let state = after(
            "ARG A=1\nARG GIVEN=x\nARG TARGETARCH\nARG NOT\nENV B=$A$GIVEN PATH=/x:$B A=env\n\
             ENV C=\"$A $B\"\nWORKDIR /a\nWORKDIR b/../c\nUSER $C\nEXPOSE 80 53/UDP 90-91\n\
             VOLUME /d\nLABEL l.$TARGETARCH='$x'\nCMD a b\nENTRYPOINT [\"/e\"]\nSHELL [\"/z\", \"-q\"]\n\
             STOPSIGNAL SIGQUIT\nHEALTHCHECK --retries=2 CMD x\nONBUILD RUN y\nMAINTAINER me",
        )
        .unwrap();
        assert_eq!(
            state.stack.config["config"],
            json!({
                "Env": ["B=1g", "PATH=/x:", "A=env", "C=env 1g"],
                "WorkingDir": "/a/c",
                "User": "env 1g",
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}},
                "Volumes": {"/d": {}},
                "Labels": {"l.amd64": "$x"},
                "Cmd": ["/bin/sh", "-c", "a b"],
                "Entrypoint": ["/e"],
                "Shell": ["/z", "-q"],
                "StopSignal": "SIGQUIT",
                "Healthcheck": {"Test": ["CMD-SHELL", "x"], "Retries": 2},
                "OnBuild": ["RUN y"],
            })
        );
        assert_eq!(state.stack.config["author"], "me");
        assert_eq!(state.step_env()["GIVEN"], "g");
        assert!(!state.step_env().contains_key("NOT"));
        let base = state.as_base();
        assert!(base.args.is_empty());
        for (body, words) in [
            ("EXPOSE web", "no port"),
            ("STOPSIGNAL SIGNOTHING", "no signal"),
            ("ENV A=\"${B:?must be}\"", "must be"),
        ] {
            let problem = after(body).unwrap_err();
            assert!(problem.contains(words), "{body}: {problem}");
        }
    }

    #[test]
    fn an_entry_point_drops_the_command_of_the_base() {
        let mut state = after("CMD base").unwrap().as_base();
        let entry = Instruction::Entrypoint(Command::Exec(vec!["/e".into()]));
        state.apply(&entry, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        assert!(state.finished().config["config"].get("Cmd").is_none());
    }

    #[test]
    fn paths_resolve_against_the_working_folder() {
        let state = after("WORKDIR /w").unwrap();
        for (path, wanted) in [
            ("a", "/w/a"),
            ("a/", "/w/a/"),
            (".", "/w/"),
            ("/x/../y", "/y"),
            ("/", "/"),
            ("..", "/"),
        ] {
            assert_eq!(state.resolve(path), wanted, "{path}");
        }
    }
}
