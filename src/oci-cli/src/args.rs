//! The command line, read by hand. clap cannot read Go's flag dialect, which engines use (`-bundle`
//! is `--bundle`), and costs: 0.11 ms of each start and 0.9 MiB of the binary, measured with these
//! verbs.
//!
//! One table a verb ([`crate::verbs`] holds them) says which options it has; help is printed from
//! the same tables. Options may stand before or after the container's id; for `exec` everything
//! behind the id is the command. Options are `--name value`, `--name=value` and `-n value`;
//! single-letter switches may be joined (`-td`).

use std::ffi::OsString;
use std::path::PathBuf;

/// One option of a verb, or a global one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// Long name without dashes.
    pub(crate) long: &'static str,
    /// One letter, or 0 for none.
    pub(crate) short: u8,
    /// The value's name in the help; empty for a switch.
    pub(crate) value: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
}

impl Flag {
    /// An option with a value.
    pub(crate) const fn value(
        long: &'static str,
        short: u8,
        value: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag { long, short, value, help }
    }

    /// An option without one.
    pub(crate) const fn switch(long: &'static str, short: u8, help: &'static str) -> Flag {
        Flag { long, short, value: "", help }
    }
}

/// How the words that are no options are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// Options may follow them.
    Anywhere,
    /// The first ends the options; the rest is taken as it is.
    Command,
}

/// What was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    flags: Vec<(&'static str, OsString)>,
    /// Words that are no options.
    pub(crate) words: Vec<OsString>,
}

/// A command line that cannot be read, in runc's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("flag provided but not defined: {0}")]
    Unknown(String),
    #[error("flag needs an argument: {0}")]
    NoValue(String),
    #[error("invalid value {value:?} for flag {flag}: {problem}")]
    BadValue { flag: &'static str, value: String, problem: &'static str },
    #[error("podvisor-oci: {verb:?} requires {wanted} argument(s)")]
    Words { verb: &'static str, wanted: String },
    #[error("No help topic for '{0}'")]
    Verb(String),
    #[error("the id is not valid UTF-8")]
    NotText,
}

impl Given {
    /// Reads the options before the verb and leaves the verb in `args`.
    pub(crate) fn leading(
        args: &mut std::iter::Peekable<impl Iterator<Item = OsString>>,
        flags: &[Flag],
    ) -> Result<Given, UsageError> {
        let mut given = Given::default();
        while let Some(arg) = args.next_if(|a| a.as_encoded_bytes().starts_with(b"-")) {
            given.option(arg.to_str().unwrap_or_default(), args, flags)?;
        }
        Ok(given)
    }

    /// Reads `args` by `flags` until they end; a [`Words::Command`] ends the options.
    pub(crate) fn parse(
        args: &mut impl Iterator<Item = OsString>,
        flags: &[Flag],
        words: Words,
    ) -> Result<Given, UsageError> {
        let mut given = Given::default();
        while let Some(arg) = args.next() {
            let text = arg.to_str().unwrap_or_default();
            if text == "--" {
                given.words.extend(args);
                break;
            }
            if text.len() < 2 || !text.starts_with('-') {
                given.words.push(arg);
                if words == Words::Command {
                    given.words.extend(args);
                    // `exec ID -- COMMAND`: the dashes are nobody's command.
                    if given.words.get(1).is_some_and(|w| w == "--") {
                        given.words.remove(1);
                    }
                    break;
                }
                continue;
            }
            given.option(text, args, flags)?;
        }
        Ok(given)
    }

    fn option(
        &mut self,
        text: &str,
        args: &mut impl Iterator<Item = OsString>,
        flags: &[Flag],
    ) -> Result<(), UsageError> {
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text, None),
        };
        // Go's flag package takes one dash for long names too, and engines use that.
        let bare = name.trim_start_matches('-');
        let short = |letter: u8| flags.iter().find(|f| f.short == letter && letter != 0);
        let found = flags.iter().find(|f| f.long == bare);
        let found = found.or_else(|| match bare.as_bytes() {
            [letter] if !name.starts_with("--") => short(*letter),
            _ => None,
        });
        if let Some(flag) = found {
            let value = match (flag.value.is_empty(), attached) {
                (true, Some(value)) => return self.switch(flag, value),
                (true, None) => OsString::new(),
                (false, Some(value)) => value,
                (false, None) => args.next().ok_or_else(|| UsageError::NoValue(name.to_owned()))?,
            };
            self.flags.push((flag.long, value));
            return Ok(());
        }
        if name == "-V" && flags.iter().any(|f| f.long == "version") {
            self.flags.push(("version", OsString::new()));
            return Ok(());
        }
        if matches!(name, "--help" | "-h" | "-help" | "-?" | "--usage") {
            self.flags.push(("help", OsString::new()));
            return Ok(());
        }
        let joined: Option<Vec<&Flag>> =
            bare.bytes().map(|b| short(b).filter(|f| f.value.is_empty())).collect();
        match joined {
            Some(all) if !text.starts_with("--") && attached.is_none() => {
                self.flags.extend(all.iter().map(|f| (f.long, OsString::new())));
                Ok(())
            }
            _ => Err(UsageError::Unknown(name.to_owned())),
        }
    }

    /// `--switch=true` and `--switch=false`.
    fn switch(&mut self, flag: &Flag, value: OsString) -> Result<(), UsageError> {
        match value.to_str() {
            Some("true" | "1") => self.flags.push((flag.long, OsString::new())),
            Some("false" | "0") => {}
            _ => {
                let value = value.to_string_lossy().into_owned();
                let problem = "want true or false";
                return Err(UsageError::BadValue { flag: flag.long, value, problem });
            }
        }
        Ok(())
    }

    /// Whether the switch was given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == long)
    }

    /// The last value of an option.
    pub(crate) fn get(&self, long: &str) -> Option<&OsString> {
        self.flags.iter().rev().find(|(name, _)| *name == long).map(|(_, value)| value)
    }

    /// The last value as a path; an empty one is none.
    pub(crate) fn path(&self, long: &str) -> Option<PathBuf> {
        self.get(long).filter(|v| !v.is_empty()).map(PathBuf::from)
    }

    /// The last value as text.
    pub(crate) fn text(&self, long: &'static str) -> Result<Option<&str>, UsageError> {
        self.get(long)
            .map(|v| {
                v.to_str().ok_or_else(|| UsageError::BadValue {
                    flag: long,
                    value: v.to_string_lossy().into_owned(),
                    problem: "not valid UTF-8",
                })
            })
            .transpose()
    }

    /// The last value as a number.
    pub(crate) fn number(&self, long: &'static str) -> Result<Option<u32>, UsageError> {
        self.text(long)?
            .map(|text| {
                text.parse().map_err(|_| UsageError::BadValue {
                    flag: long,
                    value: text.to_owned(),
                    problem: "want a number from 0 up",
                })
            })
            .transpose()
    }

    /// Every value of an option that may be repeated.
    pub(crate) fn all(&self, long: &'static str) -> Result<Vec<String>, UsageError> {
        self.flags
            .iter()
            .filter(|(name, _)| *name == long)
            .map(|(_, value)| {
                value.to_str().map(str::to_owned).ok_or_else(|| UsageError::BadValue {
                    flag: long,
                    value: value.to_string_lossy().into_owned(),
                    problem: "not valid UTF-8",
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::value("bundle", b'b', "DIR", ""),
        Flag::value("env", b'e', "K=V", ""),
        Flag::switch("tty", b't', ""),
        Flag::switch("detach", b'd', ""),
    ];

    fn parse(line: &str, words: Words) -> Result<Given, UsageError> {
        let mut args = line.split_whitespace().map(OsString::from);
        Given::parse(&mut args, FLAGS, words)
    }

    #[test]
    fn options_stand_before_or_after_the_id() {
        for line in
            ["--bundle /b id", "id --bundle /b", "-b /b id", "id --bundle=/b", "-bundle=/b id"]
        {
            let given = parse(line, Words::Anywhere).expect(line);
            assert_eq!(given.path("bundle"), Some("/b".into()), "{line}");
            assert_eq!(given.words, ["id"], "{line}");
        }
    }

    #[test]
    fn a_command_keeps_its_own_options() {
        let given = parse("-td -e A=1 --env B=x=y id ls -l --tty", Words::Command).expect("reads");
        assert!(given.has("tty") && given.has("detach"));
        assert_eq!(given.all("env").expect("text"), ["A=1", "B=x=y"]);
        assert_eq!(given.words, ["id", "ls", "-l", "--tty"]);
        assert_eq!(parse("id -- ls", Words::Command).expect("reads").words, ["id", "ls"]);
    }

    #[test]
    fn switches_take_true_and_false() {
        assert!(!parse("--tty=false id", Words::Anywhere).expect("reads").has("tty"));
        assert!(parse("--tty=true id", Words::Anywhere).expect("reads").has("tty"));
        assert!(parse("--tty=maybe id", Words::Anywhere).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(parse("--frob id", Words::Anywhere), Err(UsageError::Unknown("--frob".into())));
        assert_eq!(parse("-bt id", Words::Anywhere), Err(UsageError::Unknown("-bt".into())));
        assert_eq!(
            parse("id --bundle", Words::Anywhere),
            Err(UsageError::NoValue("--bundle".into()))
        );
    }
}
