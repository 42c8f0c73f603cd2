//! A whole build file: the arguments before the first stage, and the stages. Pure.

use crate::error::{Error, Place};
use crate::instruction::{self, Instruction, Step};
use crate::source::{Line, Mistake, Source};

/// A stage: FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Where its FROM stands.
    pub place: Place,
    /// FROM as written.
    pub text: String,
    /// Image, stage or `scratch`, as written.
    pub base: String,
    /// `--platform`, as written.
    pub platform: Option<String>,
    /// `AS`, in lower case.
    pub name: Option<String>,
    /// Its instructions.
    pub steps: Vec<Step>,
}

/// A build file that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFile {
    /// Its name, for messages.
    pub file: String,
    /// The character that escapes others.
    pub escape: char,
    /// ARGs before the first FROM: names with their defaults.
    pub arguments: Vec<(String, Option<String>)>,
    /// At least one.
    pub stages: Vec<Stage>,
}

/// Most instructions of a file: each is a line of the image's history.
const LINES_MAX: usize = 10_000;
/// Most stages.
const STAGES_MAX: usize = 1000;

/// Reads a build file.
///
/// # Errors
/// [`Error::File`] for the first mistake, with its place and what was probably meant.
pub fn parse(file: &str, text: &str) -> Result<BuildFile, Error> {
    let located = |mistake| at(file, mistake);
    let source = Source::read(text).map_err(located)?;
    let mut arguments = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    for (i, line) in source.lines.iter().enumerate() {
        if i == LINES_MAX || stages.len() > STAGES_MAX {
            let problem = format!("over {LINES_MAX} instructions, or {STAGES_MAX} stages");
            return Err(located(line.mistake(0, problem)));
        }
        let step = instruction::instruction(line, source.escape).map_err(located)?;
        match (step.instruction, stages.last_mut()) {
            (Instruction::From { base, platform, name }, _) => {
                if let Some(name) = &name
                    && stages.iter().any(|stage| stage.name.as_ref() == Some(name))
                {
                    let problem = format!("two stages are called {name}");
                    return Err(located(Mistake::new(step.place, problem)));
                }
                let (place, text) = (step.place, step.text);
                stages.push(Stage { place, text, base, platform, name, steps: Vec::new() });
            }
            (instruction, Some(stage)) => stage.steps.push(Step { instruction, ..step }),
            (Instruction::Arg(more), None) => arguments.extend(more),
            (_, None) => {
                let word = step.text.split_whitespace().next().unwrap_or_default();
                let problem = format!("{word} stands before the first FROM");
                let mistake = Mistake::new(step.place, problem);
                return Err(located(mistake.hint("begin with FROM image, or FROM scratch")));
            }
        }
    }
    if stages.is_empty() {
        let place = Place { line: text.lines().count().max(1), column: 1 };
        let mistake = Mistake::new(place, "there is no FROM");
        return Err(located(mistake.hint("begin with FROM image, or FROM scratch")));
    }
    Ok(BuildFile { file: file.into(), escape: source.escape, arguments, stages })
}

/// Reads one instruction that an image carries for those who build upon it.
///
/// # Errors
/// As [`parse`].
pub(crate) fn trigger(text: &str, file: &str, place: Place) -> Result<Step, Error> {
    let step = instruction::instruction(&Line::single(text, place), '\\');
    step.map_err(|mistake| at(file, mistake))
}

/// A mistake with its file.
pub(crate) fn at(file: &str, mistake: Mistake) -> Error {
    let Mistake { place, problem, hint } = mistake;
    Error::File { file: file.into(), place, problem, hint }
}
