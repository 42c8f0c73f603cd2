//! A stage's image while its instructions are worked through: those that only change its
//! configuration. Pure.
//!
//! Invariant: the configuration stays a document that engines read; what the base's has and we do
//! not know is kept.

mod apply;

use std::collections::BTreeMap;

use image::Stack;
use serde_json::{Map, Value, json};

use crate::error::{Error, Place};
use crate::file;
use crate::instruction::{Command, Instruction, Step};
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

    /// A step's text for people, variables expanded where the build expands them.
    pub(crate) fn shown(&self, step: &Step) -> String {
        match step.instruction {
            // A shell, or a later build, has its own.
            Instruction::Run(_)
            | Instruction::Cmd(_)
            | Instruction::Entrypoint(_)
            | Instruction::Healthcheck(_)
            | Instruction::Shell(_)
            | Instruction::OnBuild(_) => step.text.clone(),
            _ => words::expand_shown(&step.text, self.escape, &|name| self.look_up(name)),
        }
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

#[cfg(test)]
mod tests;
