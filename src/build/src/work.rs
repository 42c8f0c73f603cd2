//! Working through a plan: a thin executor. Each step is looked up in the cache by what decides it,
//! else done upon an overlay of the image so far, whose changes become a layer.
//!
//! Stages run side by side (`crew`), each as a [`Work`] with a workshop of its own. All mounts are
//! in a namespace that the calling thread and its workers share, so that none outlives them.

mod copy;
mod crew;
mod fetch;
mod git;
mod layer;
mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Sender;
use std::time::Instant;

use image::{Loaded, Quiet, Stack, Store, Workshop};
use serde_json::json;
use sys::overlay;

use crate::error::{At, Error, Result};
use crate::file::{self, BuildFile};
use crate::ignore::Ignore;
use crate::instruction::{Instruction, Step};
use crate::interrupt::{Containers, Interrupt};
use crate::options::{Event, Options, Report};
use crate::plan::{self, Origin, Plan};
use crate::select::Tree;
use crate::state::{PROXIES, State};
use crate::variables::{platform_variables, unused_arguments};
use crate::words;
pub(crate) use layer::Mounted;

/// What all stages of a build share.
pub(crate) struct Shared<'a> {
    pub(crate) options: &'a Options,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) containers: Containers,
    pub(crate) file: BuildFile,
    plan: Plan,
    board: crew::Board,
    /// The number of each stage's first step, and of the step behind the last.
    numbers: BTreeMap<usize, usize>,
    last: usize,
    /// For the names of containers.
    pub(crate) contained: AtomicUsize,
}

/// One stage under way.
pub(crate) struct Work<'a> {
    pub(crate) shared: &'a Shared<'a>,
    pub(crate) options: &'a Options,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) workshop: Workshop,
    /// The stage's, in the file.
    index: usize,
    events: Sender<Event>,
    /// Numbers of what is told and made.
    pub(crate) number: usize,
    made: usize,
}

/// Builds the image and keeps it under its names.
///
/// # Errors
/// See [`Error`]; the store then has no more than the steps that were done.
pub fn build(
    store: &Store,
    options: &Options,
    interrupt: &Interrupt,
    report: &mut dyn Report,
) -> Result<Loaded> {
    let file = crate::parse(&options.file, &options.text)?;
    let workshop = store.workshop()?;
    let plan = planned(&file, options, &|name| triggers(&workshop, name))?;
    unused_arguments(&file, options, report);
    overlay::leave_host_mounts().at("making a mount namespace", Path::new("/"))?;
    let (mut numbers, mut last) = (BTreeMap::new(), 1);
    for index in &plan.order {
        numbers.insert(*index, last);
        last += 1 + plan.triggers[*index].len() + file.stages[*index].steps.len();
    }
    let shared = Shared {
        options,
        interrupt,
        containers: Containers::new(&options.state)?,
        board: crew::Board::new(&plan.order),
        file,
        plan,
        numbers,
        last,
        contained: AtomicUsize::new(0),
    };
    crew::stages(&shared, store, report)?;
    interrupt.check()?;
    export(&shared, &workshop, report)
}

/// The instructions that an image has for those who build upon it; one that is not there has none.
fn triggers(workshop: &Workshop, name: &str) -> Vec<String> {
    workshop.base(name).map_or_else(|_| Vec::new(), |stack| State::new(stack, '\\').take_triggers())
}

/// Plans; `triggers` are those of an image.
fn planned(
    file: &BuildFile,
    options: &Options,
    triggers: &dyn Fn(&str) -> Vec<String>,
) -> Result<Plan> {
    let platform = platform_variables(options.platform.as_deref())?;
    plan::plan(file, options.target.as_deref(), (&options.build_args, &platform), triggers)
}

/// The images that a build needs: bases, and what `--from` names.
///
/// # Errors
/// Mistakes of the build file, a target that is no stage.
pub fn images(options: &Options) -> Result<Vec<String>> {
    let file = crate::parse(&options.file, &options.text)?;
    let plan = planned(&file, options, &|_| Vec::new())?;
    Ok(plan::images(&file, &plan).into_iter().collect())
}

fn export(shared: &Shared<'_>, workshop: &Workshop, report: &mut dyn Report) -> Result<Loaded> {
    let names: Vec<String> = shared.options.names.iter().map(|name| name.familiar()).collect();
    let label = match names.is_empty() {
        true => "exporting to image".to_owned(),
        false => format!("exporting to image {}", names.join(", ")),
    };
    let number = shared.last;
    report.on(&Event::Started { number, stage: None, label });
    let started = Instant::now();
    let last = shared.plan.order.last().copied().unwrap_or_default();
    let mut state = shared.board.result(last)?;
    for (name, value) in &shared.options.labels {
        state.set_label(name, value);
    }
    let kept = workshop.keep(&state.finished(), &shared.options.names, &mut Quiet)?;
    report.on(&Event::Done { number, seconds: started.elapsed().as_secs_f64() });
    Ok(kept)
}

impl<'a> Work<'a> {
    fn new(
        shared: &'a Shared<'a>,
        workshop: Workshop,
        index: usize,
        events: Sender<Event>,
    ) -> Work<'a> {
        let (options, interrupt) = (shared.options, shared.interrupt);
        let number = shared.numbers.get(&index).copied().unwrap_or_default();
        Work { shared, options, interrupt, workshop, index, events, number, made: 0 }
    }

    /// Tells what goes on; the receiver outlives all stages.
    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    fn stage(mut self) -> Result<State> {
        let stage = &self.shared.file.stages[self.index];
        let name = plan::name_of(&self.shared.file, self.index);
        let count = stage.steps.len() + 1;
        let from = Step {
            place: stage.place,
            text: stage.text.clone(),
            instruction: Instruction::Shell(Vec::new()),
        };
        let globals = &self.shared.plan.arguments;
        let shown = words::expand_shown(&from.text, self.shared.file.escape, &|name| {
            globals.get(name).cloned()
        });
        let label = format!("[{name} 1/{count}] {shown}");
        let mut state =
            self.told((&from, label), |work| work.base().map(|state| (state, false)))?;
        for text in state.take_triggers() {
            let step = file::trigger(&text, &self.shared.file.file, stage.place)?;
            state = self.step(state, (&step, &format!("[{name} onbuild]")))?;
        }
        for (i, step) in stage.steps.iter().enumerate() {
            let label = format!("[{name} {}/{count}]", i + 2);
            state = self.step(state, (step, &label))?;
        }
        Ok(state)
    }

    fn step(&mut self, state: State, (step, label): (&Step, &str)) -> Result<State> {
        let label = format!("{label} {}", state.shown(step));
        self.told((step, label), |work| {
            work.interrupt.check()?;
            work.one(state, step)
        })
    }

    /// Tells the beginning and the end of a step, and gives its error its place. `work` says, too,
    /// whether its result was there already.
    fn told(
        &mut self,
        (step, label): (&Step, String),
        work: impl FnOnce(&mut Self) -> Result<(State, bool)>,
    ) -> Result<State> {
        let number = self.number;
        let several = self.shared.plan.order.len() > 1;
        let stage = several.then(|| plan::name_of(&self.shared.file, self.index));
        self.tell(Event::Started { number, stage, label });
        let started = Instant::now();
        let done = work(self);
        self.number += 1;
        match done {
            Ok((state, cached)) => {
                let seconds = started.elapsed().as_secs_f64();
                let done = Event::Done { number, seconds };
                self.tell(if cached { Event::Cached { number } } else { done });
                Ok(state)
            }
            Err(error @ (Error::Interrupted { .. } | Error::Cancelled)) => {
                self.tell(Event::Cancelled { number });
                Err(error)
            }
            Err(error) => {
                self.tell(Event::Failed { number });
                Err(match error {
                    placed @ (Error::Command { .. } | Error::File { .. }) => placed,
                    error => Error::Step {
                        file: self.shared.file.file.clone(),
                        place: step.place,
                        step: step.text.clone(),
                        source: Box::new(error),
                    },
                })
            }
        }
    }

    /// What the stage stands upon.
    fn base(&mut self) -> Result<State> {
        let (index, plan) = (self.index, &self.shared.plan);
        let escape = self.shared.file.escape;
        let mut state = match &plan.bases[index] {
            Origin::Scratch => State::new(Stack::scratch(), escape),
            Origin::Stage(stage) => self.shared.board.result(*stage)?.as_base(),
            Origin::Image(name) => State::new(self.workshop.base(name)?, escape),
        };
        let wanted = plan.platforms[index].clone().or(self.options.platform.clone());
        if let Some(wanted) = wanted {
            let arch = wanted.split('/').nth(1).unwrap_or_default().to_owned();
            let has = state.stack.config["architecture"].as_str().unwrap_or_default().to_owned();
            if plan.bases[index] == Origin::Scratch {
                state.stack.config["architecture"] = json!(arch);
            } else if has != arch {
                let problem = format!("the base is for linux/{has}, not for {wanted}");
                return Err(Error::refused(problem, "load an image for that platform"));
            }
        }
        for name in PROXIES {
            if let Some(value) = self.options.build_args.get(name) {
                state.args.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(epoch) = self.options.epoch {
            state.args.insert("SOURCE_DATE_EPOCH".into(), epoch.to_string());
        }
        Ok(state)
    }

    fn one(&mut self, mut state: State, step: &Step) -> Result<(State, bool)> {
        let refuse = |problem: String| Error::refused(problem, "");
        match &step.instruction {
            Instruction::Run(run) => self.run((state, step), run),
            Instruction::Copy(copy) => self.copy((state, step), copy),
            other => {
                let (given, global) = (&self.options.build_args, &self.shared.plan.arguments);
                state.apply(other, given, global).map_err(refuse)?;
                if matches!(other, Instruction::Workdir(_)) {
                    return self.workdir(state, step);
                }
                let created = state.created.clone().unwrap_or_else(|| self.stamp(0));
                state.stack.remember(&created, &step.text, false);
                Ok((state, false))
            }
        }
    }

    /// The folder that `--from` names, and whether its owners are an image's.
    pub(crate) fn origin(&mut self, from: Option<&str>) -> Result<(PathBuf, bool)> {
        let Some(from) = from else {
            let context = self.options.context.clone();
            let missing = || Error::refused("this build has no context", "name a folder");
            return Ok((context.ok_or_else(missing)?, false));
        };
        let stack = match plan::origin(&self.shared.file, self.index, from) {
            Origin::Stage(stage) => self.shared.board.result(stage)?.stack,
            Origin::Image(name) => self.workshop.base(&name)?,
            Origin::Scratch => Stack::scratch(),
        };
        let lower = self.workshop.lower(&stack)?;
        Ok((self.shown(&lower)?, true))
    }

    /// The files of [`Work::origin`].
    pub(crate) fn tree(&mut self, from: Option<&str>) -> Result<Tree> {
        let (path, owners) = self.origin(from)?;
        let label = from.map_or("the context".to_owned(), |from| format!("{from}:"));
        let ignore = if owners { Ignore::default() } else { self.options.ignore.clone() };
        Tree::open(&path, &label, ignore, owners)
    }
}
