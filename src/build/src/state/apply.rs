//! What each instruction that needs no files does to the configuration. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::State;
use crate::instruction::{Command, Health, Instruction};

impl State {
    fn add_keys(&mut self, list: &str, keys: impl IntoIterator<Item = String>) {
        let mut map: Map<String, Value> =
            serde_json::from_value(self.config()[list].clone()).unwrap_or_default();
        map.extend(keys.into_iter().map(|key| (key, json!({}))));
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
                let paths = list.iter().map(|path| self.expand(path));
                let paths = paths.collect::<Result<Vec<_>, _>>()?;
                self.add_keys("Volumes", paths);
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
        let mut all = Vec::new();
        for text in list {
            // A variable may hold several.
            for port in self.expand(text)?.split_whitespace() {
                all.extend(ports(port)?);
            }
        }
        self.add_keys("ExposedPorts", all);
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
