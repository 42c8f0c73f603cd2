//! From a logical line to an instruction. Pure.

use super::flags::{self, Flags};
use super::{Command, Copy, Health, Instruction, Run, Step};
use crate::near::nearest;
use crate::source::{Line, Mistake};
use crate::words;

const KEYWORDS: [&str; 18] = [
    "FROM",
    "RUN",
    "COPY",
    "ADD",
    "ARG",
    "ENV",
    "LABEL",
    "WORKDIR",
    "USER",
    "EXPOSE",
    "VOLUME",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "SHELL",
    "ENTRYPOINT",
    "CMD",
    "MAINTAINER",
    "ONBUILD",
];

/// An instruction's line with its keyword taken away.
struct Rest<'a> {
    line: &'a Line,
    keyword: &'a str,
    /// Where the rest begins.
    at: usize,
    escape: char,
}

impl<'a> Rest<'a> {
    fn text(&self) -> &'a str {
        &self.line.text[self.at..]
    }

    fn wrong(&self, problem: impl Into<String>) -> Mistake {
        self.line.mistake(self.at.min(self.line.text.len()), problem)
    }

    fn flags(&self, known: &[&str]) -> Result<(Flags<'a>, Rest<'a>), Mistake> {
        let flags = Flags::take(self.line, self.at, self.escape, known)?;
        let rest = Rest { at: flags.rest, ..*self };
        Ok((flags, rest))
    }

    /// Something must be there.
    fn some(&self, what: &str) -> Result<&'a str, Mistake> {
        match self.text() {
            "" => Err(self.wrong(format!("{} needs {what}", self.keyword))),
            text => Ok(text),
        }
    }

    fn command(&self) -> Result<Command, Mistake> {
        let text = self.some("a command")?;
        Ok(words::json(text).map_or_else(|| Command::Shell(text.into()), Command::Exec))
    }

    /// A JSON array, or words at white space.
    fn list(&self, what: &str) -> Result<Vec<String>, Mistake> {
        let text = self.some(what)?;
        let split = || words::split(text, self.escape).into_iter().map(|(_, w)| w.to_owned());
        Ok(words::json(text).unwrap_or_else(|| split().collect()))
    }

    /// `name=value` each, or one name and the rest.
    fn pairs(&self) -> Result<Vec<(String, String)>, Mistake> {
        let text = self.some("a name and a value")?;
        let all = words::split(text, self.escape);
        let first = all.first().map_or("", |(_, word)| word);
        if !first.contains('=') {
            let value = text[first.len()..].trim_start();
            if value.is_empty() {
                let problem = format!("{} {first} has no value", self.keyword);
                return Err(self.wrong(problem).hint(format!("{} {first}=value", self.keyword)));
            }
            return Ok(vec![(first.into(), value.into())]);
        }
        let mut pairs = Vec::new();
        for (offset, word) in all {
            let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty())
            else {
                let problem = format!("{word} is not name=value");
                let mistake = self.line.mistake(self.at + offset, problem);
                return Err(mistake.hint("put a value with blanks into quotes"));
            };
            pairs.push((name.into(), value.into()));
        }
        Ok(pairs)
    }
}

/// Reads one instruction.
pub(crate) fn instruction(line: &Line, escape: char) -> Result<Step, Mistake> {
    let word = line.text.split_whitespace().next().unwrap_or_default();
    let keyword = word.to_ascii_uppercase();
    let Some(keyword) = KEYWORDS.iter().find(|known| **known == keyword) else {
        let mistake = line.mistake(0, format!("{word} is no instruction"));
        return Err(match nearest(word, &KEYWORDS) {
            Some(near) => mistake.hint(format!("did you mean {near}?")),
            None => mistake.hint("a line goes on when the one before ends with a backslash"),
        });
    };
    let after = &line.text[word.len()..];
    let at = line.text.len() - after.trim_start().len();
    let rest = Rest { line, keyword, at, escape };
    let instruction = read(&rest)?;
    Ok(Step { place: line.place(0), text: line.text.clone(), instruction })
}

fn read(rest: &Rest<'_>) -> Result<Instruction, Mistake> {
    let one = |what: &str| rest.some(what).map(str::to_owned);
    Ok(match rest.keyword {
        "FROM" => from(rest)?,
        "RUN" => Instruction::Run(run(rest)?),
        "COPY" | "ADD" => Instruction::Copy(copy(rest)?),
        "ARG" => Instruction::Arg(arg(rest)?),
        "ENV" => Instruction::Env(rest.pairs()?),
        "LABEL" => Instruction::Label(rest.pairs()?),
        "WORKDIR" => Instruction::Workdir(one("a folder")?),
        "USER" => Instruction::User(one("a user")?),
        "EXPOSE" => Instruction::Expose(rest.list("a port")?),
        "VOLUME" => Instruction::Volume(rest.list("a folder")?),
        "STOPSIGNAL" => Instruction::StopSignal(one("a signal")?),
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(rest)?),
        "SHELL" => match words::json(rest.some("a command")?) {
            Some(words) if !words.is_empty() => Instruction::Shell(words),
            _ => {
                return Err(rest
                    .wrong("SHELL needs a JSON array")
                    .hint(r#"SHELL ["/bin/sh", "-c"]"#));
            }
        },
        "ENTRYPOINT" => Instruction::Entrypoint(rest.command()?),
        "CMD" => Instruction::Cmd(rest.command()?),
        "MAINTAINER" => Instruction::Maintainer(one("a name")?),
        _ => on_build(rest)?,
    })
}

fn from(rest: &Rest<'_>) -> Result<Instruction, Mistake> {
    let (flags, rest) = rest.flags(&["platform"])?;
    let platform = flags.text("platform")?;
    let words = words::split(rest.some("an image, a stage or scratch")?, rest.escape);
    let words: Vec<&str> = words.into_iter().map(|(_, word)| word).collect();
    let (base, name) = match words.as_slice() {
        [base] => (*base, None),
        [base, word, name] if word.eq_ignore_ascii_case("as") => (*base, Some(*name)),
        _ => {
            let problem = "FROM has an image and may have a name for the stage";
            return Err(rest.wrong(problem).hint("FROM image AS name"));
        }
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if let Some(name) = name
        && !(name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(fits))
    {
        let problem = format!("{name} is no name for a stage");
        return Err(rest.wrong(problem).hint("a letter, then letters, digits, `_`, `-` and `.`"));
    }
    let name = name.map(str::to_ascii_lowercase);
    Ok(Instruction::From { base: base.into(), platform, name })
}

fn run(rest: &Rest<'_>) -> Result<Run, Mistake> {
    let (flags, rest) = rest.flags(&["mount", "network", "security"])?;
    let mut mounts = Vec::new();
    for (offset, text) in flags.all("mount")? {
        mounts.push(flags::mount(text).map_err(|p| rest.line.mistake(offset, p))?);
    }
    let network = match flags.one("network")? {
        Some((offset, text)) => flags::network(text).map_err(|p| rest.line.mistake(offset, p))?,
        None => None,
    };
    if let Some((offset, text)) = flags.one("security")?
        && text != "sandbox"
    {
        let problem = format!("--security={text} is not to be had: steps are always confined");
        return Err(rest.line.mistake(offset, problem));
    }
    let command = rest.command()?;
    Ok(Run { command, documents: rest.line.documents.clone(), mounts, network })
}

fn copy(rest: &Rest<'_>) -> Result<Copy, Mistake> {
    let add = rest.keyword == "ADD";
    let known: &[&str] = if add {
        &["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir"]
    } else {
        &["from", "chown", "chmod", "link", "exclude", "parents"]
    };
    let (flags, rest) = rest.flags(known)?;
    // Layers are always made apart from what lies below, as --link wants it.
    flags.switch("link")?;
    flags.switch("keep-git-dir")?;
    let what = "sources and a target";
    let text = rest.some(what)?;
    let split = || text.split_whitespace().map(str::to_owned).collect();
    let mut words = words::json(text).unwrap_or_else(split);
    let Some(target) = words.pop().filter(|_| !words.is_empty()) else {
        let problem = format!("{} needs {what}", rest.keyword);
        return Err(rest.wrong(problem).hint(format!("{} source… target", rest.keyword)));
    };
    let documents = rest.line.documents.clone();
    // The words that begin here-documents are no sources.
    words.retain(|word| documents.is_empty() || !word.starts_with("<<"));
    let exclude = flags.all("exclude")?.into_iter().map(|(_, text)| flags::unquoted(text));
    Ok(Copy {
        add,
        from: flags.text("from")?,
        chown: flags.text("chown")?,
        chmod: flags.text("chmod")?,
        checksum: flags.text("checksum")?,
        exclude: exclude.collect(),
        parents: flags.switch("parents")?,
        sources: words,
        documents,
        target,
    })
}

fn arg(rest: &Rest<'_>) -> Result<Vec<(String, Option<String>)>, Mistake> {
    let mut all = Vec::new();
    for (offset, word) in words::split(rest.some("a name")?, rest.escape) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(fits) {
            let problem = format!("{name:?} is no name of a variable");
            return Err(rest.line.mistake(rest.at + offset, problem).hint("ARG name=value"));
        }
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

fn healthcheck(rest: &Rest<'_>) -> Result<Health, Mistake> {
    const TIMES: [&str; 4] = ["interval", "timeout", "start-period", "start-interval"];
    let (flags, rest) = rest.flags(&[&TIMES[..], &["retries"]].concat())?;
    let mut times = [None; 4];
    for (name, time) in TIMES.iter().zip(&mut times) {
        if let Some((offset, text)) = flags.one(name)? {
            let wrong = || rest.line.mistake(offset, format!("--{name}={text} is no duration"));
            let read = oci::duration::parse(text).and_then(|d| u64::try_from(d.as_nanos()).ok());
            *time = Some(read.ok_or_else(|| wrong().hint("as in 30s, 1m30s, 500ms"))?);
        }
    }
    let retries = match flags.one("retries")? {
        None => None,
        Some((offset, text)) => {
            let wrong = |_| rest.line.mistake(offset, format!("--retries={text} is no number"));
            Some(text.parse().map_err(wrong)?)
        }
    };
    let text = rest.some("NONE, or CMD and a command")?;
    let (word, command) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = Rest { at: rest.line.text.len() - command.trim_start().len(), ..rest };
    match word.to_ascii_uppercase().as_str() {
        "NONE" if command.trim().is_empty() => Ok(Health::Off),
        "CMD" => Ok(Health::Check {
            command: rest.command()?,
            interval: times[0],
            timeout: times[1],
            start_period: times[2],
            start_interval: times[3],
            retries,
        }),
        _ => Err(rest.wrong(format!("HEALTHCHECK {word} is not known")).hint("NONE, or CMD …")),
    }
}

fn on_build(rest: &Rest<'_>) -> Result<Instruction, Mistake> {
    let text = rest.some("an instruction")?;
    let mut inner = Line::single(text, rest.line.place(rest.at));
    inner.documents.clone_from(&rest.line.documents);
    let step = instruction(&inner, rest.escape)?;
    let word = step.text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if ["FROM", "ONBUILD", "MAINTAINER"].contains(&word.as_str()) {
        return Err(rest.wrong(format!("ONBUILD cannot hold {word}")));
    }
    if !rest.line.documents.is_empty() {
        return Err(rest.wrong("ONBUILD cannot hold a here-document"));
    }
    Ok(Instruction::OnBuild(text.into()))
}
