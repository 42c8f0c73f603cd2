//! Which stages a target needs, in which order, and upon what each stands. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::file::{self, BuildFile};
use crate::instruction::{Instruction, MountKind, Run, Step};
use crate::near::nearest;
use crate::source::Mistake;
use crate::words;

/// Where files or a base come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing.
    Scratch,
    /// A stage of this file, by its index.
    Stage(usize),
    /// An image of the store.
    Image(String),
}

/// What is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Indices of the stages, each behind those it needs; the last one is the target.
    pub(crate) order: Vec<usize>,
    /// What each stage of the file stands upon.
    pub(crate) bases: Vec<Origin>,
    /// The instructions that each stage's base has for it.
    pub(crate) triggers: Vec<Vec<String>>,
    /// The platform each stage asks for.
    pub(crate) platforms: Vec<Option<String>>,
    /// The values of the arguments before the first FROM.
    pub(crate) arguments: BTreeMap<String, String>,
}

/// A stage's name in messages: its own, or `stage-N`.
pub(crate) fn name_of(file: &BuildFile, index: usize) -> String {
    file.stages[index].name.clone().unwrap_or_else(|| format!("stage-{index}"))
}

/// Finds an earlier stage by name or number; anything else is an image.
pub(crate) fn origin(file: &BuildFile, before: usize, name: &str) -> Origin {
    if name.eq_ignore_ascii_case("scratch") {
        return Origin::Scratch;
    }
    let lower = name.to_ascii_lowercase();
    let named = |index: &usize| file.stages[*index].name.as_ref() == Some(&lower);
    let numbered = || name.parse::<usize>().ok().filter(|index| *index < before);
    match (0..before).find(named).or_else(numbered) {
        Some(index) => Origin::Stage(index),
        None => Origin::Image(name.to_owned()),
    }
}

/// What the steps of a stage, and those that its base has for it, name by `--from`.
fn sources(file: &BuildFile, index: usize, triggers: &[String]) -> Vec<String> {
    let place = file.stages[index].place;
    // What is no instruction is told when its turn comes.
    let own = triggers.iter().filter_map(|text| file::trigger(text, &file.file, place).ok());
    let own: Vec<Step> = own.collect();
    let mut all = Vec::new();
    for step in own.iter().chain(&file.stages[index].steps) {
        match &step.instruction {
            Instruction::Copy(copy) => all.extend(copy.from.clone()),
            Instruction::Run(Run { mounts, .. }) => {
                all.extend(mounts.iter().filter_map(|mount| match &mount.kind {
                    MountKind::Bind { from, .. } => from.clone(),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    all
}

/// The instructions that a stage has for those upon it.
fn triggers_of_stage(file: &BuildFile, index: usize) -> Vec<String> {
    let texts = file.stages[index].steps.iter().filter_map(|step| match &step.instruction {
        Instruction::OnBuild(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

fn needs(file: &BuildFile, index: usize, base: &Origin, triggers: &[String]) -> BTreeSet<usize> {
    let named = sources(file, index, triggers).into_iter().map(|from| origin(file, index, &from));
    let stage = |origin| match origin {
        Origin::Stage(stage) => Some(stage),
        _ => None,
    };
    named.chain([base.clone()]).filter_map(stage).collect()
}

/// Plans a build; `given` are the `--build-arg`s, `platform` the variables that are always known
/// before the first FROM, and `of_image` gives the triggers of an image.
///
/// # Errors
/// A FROM whose variables cannot be expanded, a target that is no stage.
pub(crate) fn plan(
    file: &BuildFile,
    target: Option<&str>,
    (given, platform): (&BTreeMap<String, String>, &BTreeMap<String, String>),
    of_image: &dyn Fn(&str) -> Vec<String>,
) -> Result<Plan, Error> {
    let mut arguments = platform.clone();
    let wrong = |index: usize, problem: String| {
        let stage = &file.stages[index];
        file::at(&file.file, Mistake::new(stage.place, problem))
    };
    for (name, default) in &file.arguments {
        let look_up = |name: &str| arguments.get(name).cloned();
        let default = default.as_ref().map(|text| words::expand(text, file.escape, &look_up));
        let default = default.transpose().map_err(|p| wrong(0, format!("ARG {name}: {p}")))?;
        if let Some(value) = given.get(name).cloned().or(default) {
            arguments.insert(name.clone(), value);
        }
    }
    let look_up = |name: &str| arguments.get(name).cloned();
    let (mut bases, mut platforms) = (Vec::new(), Vec::new());
    for (index, stage) in file.stages.iter().enumerate() {
        let expand = |text: &String| words::expand(text, file.escape, &look_up);
        let base = expand(&stage.base).map_err(|p| wrong(index, p))?;
        if base.is_empty() {
            let problem = format!("{} names no image: a variable in it is not set", stage.text);
            return Err(wrong(index, problem));
        }
        bases.push(origin(file, index, &base));
        let platform = stage.platform.as_ref().map(expand).transpose();
        platforms.push(platform.map_err(|p| wrong(index, p))?);
    }
    let last = match target {
        None => file.stages.len() - 1,
        Some(target) => match origin(file, file.stages.len(), target) {
            Origin::Stage(index) => index,
            _ => return Err(no_target(file, target)),
        },
    };
    let mut wanted = BTreeSet::from([last]);
    let mut triggers = vec![Vec::new(); file.stages.len()];
    // Stages only need earlier ones, so one way back finds all.
    for index in (0..=last).rev() {
        if wanted.contains(&index) {
            triggers[index] = match &bases[index] {
                Origin::Scratch => Vec::new(),
                Origin::Stage(base) => triggers_of_stage(file, *base),
                Origin::Image(name) => of_image(name),
            };
            wanted.extend(needs(file, index, &bases[index], &triggers[index]));
        }
    }
    Ok(Plan { order: wanted.into_iter().collect(), bases, triggers, platforms, arguments })
}

/// The images that a plan needs.
pub(crate) fn images(file: &BuildFile, plan: &Plan) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for index in &plan.order {
        let mut add = |origin: &Origin| {
            if let Origin::Image(name) = origin {
                all.insert(name.clone());
            }
        };
        add(&plan.bases[*index]);
        for from in sources(file, *index, &plan.triggers[*index]) {
            add(&origin(file, *index, &from));
        }
    }
    all
}

fn no_target(file: &BuildFile, target: &str) -> Error {
    let names: Vec<&str> = file.stages.iter().filter_map(|s| s.name.as_deref()).collect();
    let hint = match nearest(target, &names) {
        Some(near) => format!("did you mean --target {near}?"),
        None if names.is_empty() => "name a stage by FROM … AS name".into(),
        None => format!("the stages are {}", names.join(", ")),
    };
    Error::refused(format!("{} has no stage {target}", file.file), &hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const FILE: &str = "ARG TAG=1\nARG BASE=debian:${TAG}\nFROM $BASE AS builder\nRUN make\n\
        FROM builder AS tests\nRUN make test\nFROM scratch AS assets\nCOPY a /\n\
        FROM --platform=$BUILDPLATFORM web:2\nCOPY --from=builder /a /a\n\
        RUN --mount=type=bind,from=assets,target=/b true\nCOPY --from=busybox /x /x";

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn only_what_the_target_needs_is_built() {
        let file = parse("C", FILE).unwrap();
        let platform = map(&[("BUILDPLATFORM", "linux/amd64")]);
        let ordered =
            |target| plan(&file, target, (&map(&[]), &platform), &|_| vec![]).unwrap().order;
        assert_eq!(ordered(None), [0, 2, 3]);
        assert_eq!(ordered(Some("Tests")), [0, 1]);
        assert_eq!(ordered(Some("2")), [2]);
        let all =
            plan(&file, None, (&map(&[("TAG", "9"), ("OTHER", "x")]), &platform), &|_| vec![])
                .unwrap();
        assert_eq!(all.bases[0], Origin::Image("debian:9".into()));
        assert_eq!((&all.bases[1], &all.bases[2]), (&Origin::Stage(0), &Origin::Scratch));
        assert_eq!(all.platforms[3].as_deref(), Some("linux/amd64"));
        let error = plan(&file, Some("assts"), (&map(&[]), &platform), &|_| vec![]).unwrap_err();
        assert!(error.hint().unwrap().contains("--target assets"), "{error}");
        let file = parse("C", "FROM $NONE").unwrap();
        let error = plan(&file, None, (&map(&[]), &platform), &|_| vec![]).unwrap_err().to_string();
        assert!(error.contains("C:1:1") && error.contains("not set"), "{error}");
    }

    #[test]
    fn what_a_trigger_names_is_built_too() {
        let text = "FROM scratch AS a\nFROM scratch AS b\nONBUILD COPY --from=a /x /\nFROM b AS c\n\
            FROM base AS d\n";
        let file = parse("C", text).unwrap();
        let of_image = |_: &str| vec!["COPY --from=c /y /".to_owned(), "NOTHING".to_owned()];
        let all = plan(&file, None, (&map(&[]), &map(&[])), &of_image).unwrap();
        assert_eq!(all.order, [0, 1, 2, 3]);
        assert_eq!(all.triggers[2], ["COPY --from=a /x /"]);
        assert_eq!(all.triggers[3].len(), 2);
    }
}
