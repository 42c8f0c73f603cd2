//! Working through a plan: a thin executor. Each step is looked up in the cache by what decides it,
//! else done upon an overlay of the image so far, whose changes become a layer.
//!
//! All mounts are in a namespace of the calling thread's own, so that none outlives it.

mod copy;
mod fetch;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::{Digest, Loaded, Packing, Quiet, Stack, Store, Times, Workshop};
use serde_json::{Value, json};
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

/// Changes with the meaning of the keys, so that no old record is taken.
const KEYS: &str = "podvisor build 1";

/// A build under way.
pub(crate) struct Work<'a> {
    pub(crate) options: &'a Options,
    pub(crate) workshop: Workshop,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) containers: Containers,
    pub(crate) file: BuildFile,
    plan: Plan,
    stages: BTreeMap<usize, State>,
    /// Numbers of what is told and made.
    told: usize,
    made: usize,
}

/// An overlay mount of a step.
pub(crate) struct Mounted {
    pub(crate) merged: PathBuf,
    upper: PathBuf,
    folder: PathBuf,
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
    let platform = platform_variables(options.platform.as_deref())?;
    let plan = plan::plan(&file, options.target.as_deref(), &options.build_args, &platform)?;
    unused_arguments(&file, options, report);
    overlay::leave_host_mounts().at("making a mount namespace", Path::new("/"))?;
    let containers = Containers::new(&options.state)?;
    let workshop = store.workshop()?;
    let stages = BTreeMap::new();
    let mut work =
        Work { options, workshop, interrupt, containers, file, plan, stages, told: 0, made: 0 };
    let order = work.plan.order.clone();
    for index in order {
        work.stage(index, report)?;
    }
    work.export(report)
}

/// The images that a build needs: bases, and what `--from` names.
///
/// # Errors
/// Mistakes of the build file, a target that is no stage.
pub fn images(options: &Options) -> Result<Vec<String>> {
    let file = crate::parse(&options.file, &options.text)?;
    let platform = platform_variables(options.platform.as_deref())?;
    let plan = plan::plan(&file, options.target.as_deref(), &options.build_args, &platform)?;
    Ok(plan::images(&file, &plan).into_iter().collect())
}

/// The variables that are known before the first FROM.
fn platform_variables(wanted: Option<&str>) -> Result<BTreeMap<String, String>> {
    let host = format!("linux/{}", oci::image::Arch::default());
    let wanted = wanted.unwrap_or(&host);
    let mut all = BTreeMap::new();
    for (prefix, platform) in [("BUILD", host.as_str()), ("TARGET", wanted)] {
        let mut parts = platform.splitn(3, '/');
        let (os, arch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if os != "linux" || arch.is_empty() {
            let problem = format!("the platform {platform} is not to be had");
            return Err(Error::refused(problem, &format!("this machine builds {host}")));
        }
        for (name, value) in [
            ("PLATFORM", platform),
            ("OS", os),
            ("ARCH", arch),
            ("VARIANT", parts.next().unwrap_or_default()),
        ] {
            all.insert(format!("{prefix}{name}"), value.to_owned());
        }
    }
    Ok(all)
}

fn unused_arguments(file: &BuildFile, options: &Options, report: &mut dyn Report) {
    let mut known: Vec<&String> = file.arguments.iter().map(|(name, _)| name).collect();
    for step in file.stages.iter().flat_map(|stage| &stage.steps) {
        if let Instruction::Arg(all) = &step.instruction {
            known.extend(all.iter().map(|(name, _)| name));
        }
    }
    for name in options.build_args.keys() {
        let proxy = PROXIES.contains(&name.as_str()) || name == "SOURCE_DATE_EPOCH";
        if !known.contains(&name) && !proxy {
            report.on(&Event::Warning {
                text: format!("--build-arg {name}: no ARG of {} asks for it", file.file),
            });
        }
    }
}

impl Work<'_> {
    fn stage(&mut self, index: usize, report: &mut dyn Report) -> Result<()> {
        let stage = self.file.stages[index].clone();
        let name = plan::name_of(&self.file, index);
        let count = stage.steps.len() + 1;
        let from = Step {
            place: stage.place,
            text: stage.text.clone(),
            instruction: Instruction::Shell(Vec::new()),
        };
        let mut state = self.told((&from, &format!("[{name} 1/{count}]")), report, |work, _| {
            work.base(index).map(|state| (state, false))
        })?;
        for text in state.take_triggers() {
            let step = file::trigger(&text, &self.file.file, stage.place)?;
            state = self.step(state, (&step, &format!("[{name} onbuild]")), index, report)?;
        }
        for (i, step) in stage.steps.iter().enumerate() {
            let label = format!("[{name} {}/{count}]", i + 2);
            state = self.step(state, (step, &label), index, report)?;
        }
        self.stages.insert(index, state);
        Ok(())
    }

    fn step(
        &mut self,
        state: State,
        (step, label): (&Step, &str),
        index: usize,
        report: &mut dyn Report,
    ) -> Result<State> {
        self.told((step, label), report, |work, report| {
            work.interrupt.check()?;
            work.one(state, step, index, report)
        })
    }

    /// Tells the beginning and the end of a step, and gives its error its place. `work` says, too,
    /// whether its result was there already.
    fn told(
        &mut self,
        (step, label): (&Step, &str),
        report: &mut dyn Report,
        work: impl FnOnce(&mut Self, &mut dyn Report) -> Result<(State, bool)>,
    ) -> Result<State> {
        self.told += 1;
        let number = self.told;
        report.on(&Event::Started { number, label: format!("{label} {}", step.text) });
        let started = Instant::now();
        match work(self, report) {
            Ok((state, cached)) => {
                let seconds = started.elapsed().as_secs_f64();
                let done = Event::Done { number, seconds };
                report.on(&if cached { Event::Cached { number } } else { done });
                Ok(state)
            }
            Err(error @ Error::Interrupted { .. }) => Err(error),
            Err(error) => {
                report.on(&Event::Failed { number });
                Err(match error {
                    placed @ (Error::Command { .. } | Error::File { .. }) => placed,
                    error => Error::Step {
                        file: self.file.file.clone(),
                        place: step.place,
                        step: step.text.clone(),
                        source: Box::new(error),
                    },
                })
            }
        }
    }

    /// What a stage stands upon.
    fn base(&mut self, index: usize) -> Result<State> {
        let escape = self.file.escape;
        let mut state = match self.plan.bases[index].clone() {
            Origin::Scratch => State::new(Stack::scratch(), escape),
            Origin::Stage(stage) => self.stages[&stage].as_base(),
            Origin::Image(name) => State::new(self.workshop.base(&name)?, escape),
        };
        let wanted = self.plan.platforms[index].clone().or(self.options.platform.clone());
        if let Some(wanted) = wanted {
            let arch = wanted.split('/').nth(1).unwrap_or_default().to_owned();
            let has = state.stack.config["architecture"].as_str().unwrap_or_default().to_owned();
            if self.plan.bases[index] == Origin::Scratch {
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

    fn one(
        &mut self,
        mut state: State,
        step: &Step,
        index: usize,
        report: &mut dyn Report,
    ) -> Result<(State, bool)> {
        let refuse = |problem: String| Error::refused(problem, "");
        match &step.instruction {
            Instruction::Run(run) => self.run((state, step), run, index, report),
            Instruction::Copy(copy) => self.copy((state, step), copy, index),
            other => {
                let (given, global) = (&self.options.build_args, &self.plan.arguments);
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

    /// The time of what is made now: that of the epoch where there is one.
    pub(crate) fn stamp(&self, now: i64) -> String {
        (self.options.stamp)(self.options.epoch.unwrap_or(now))
    }

    /// The key of a step that makes a layer.
    pub(crate) fn key(&self, state: &State, what: &Value) -> Digest {
        let parts = json!([
            KEYS,
            state.stack.chain().map(|chain| chain.to_string()),
            self.options.epoch,
            self.options.compression.name(),
            what,
        ]);
        Digest::of(parts.to_string().as_bytes())
    }

    /// A step that makes a layer: from the cache, or by `change`, which works on the merged folder.
    /// `None` of it: there is nothing to keep.
    pub(crate) fn layer(
        &mut self,
        (mut state, step): (State, &Step),
        what: &Value,
        times: Times,
        change: impl FnOnce(&mut Self, &State, &Mounted) -> Result<()>,
    ) -> Result<(State, bool)> {
        let key = self.key(&state, what);
        if !self.options.no_cache
            && let Some(created) = self.workshop.add_cached(&mut state.stack, &key)?
        {
            state.stack.remember(&created, &step.text, true);
            state.created = Some(created);
            return Ok((state, true));
        }
        let mounted = self.mount(&state.stack)?;
        let changed = change(self, &state, &mounted);
        self.unmount(&mounted)?;
        changed?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
        let created = self.stamp(now);
        let packing = Packing { times, compression: self.options.compression };
        let upper = &mounted.upper;
        self.workshop.add_layer(&mut state.stack, upper, packing, (&key, &created))?;
        fs::remove_dir_all(&mounted.folder).at("removing", &mounted.folder)?;
        state.stack.remember(&created, &step.text, true);
        state.created = Some(created);
        Ok((state, false))
    }

    /// The times of what a command has made.
    pub(crate) fn times(&self) -> Times {
        self.options.epoch.map_or(Times::Kept, Times::NotAfter)
    }

    /// A folder of this build's own.
    pub(crate) fn fresh(&mut self, what: &str) -> Result<PathBuf> {
        self.made += 1;
        let path = self.workshop.path().join(format!("{what}-{}", self.made));
        fs::create_dir(&path).at("making", &path)?;
        Ok(path)
    }

    fn mount(&mut self, stack: &Stack) -> Result<Mounted> {
        let lower = self.workshop.lower(stack)?;
        let folder = self.fresh("step")?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let upper = self.workshop.upper(&format!("{name}/upper"), lower.first())?;
        let (work, merged) = (folder.join("work"), folder.join("merged"));
        fs::create_dir(&work).at("making", &work)?;
        fs::create_dir(&merged).at("making", &merged)?;
        let changes = overlay::Upper { changes: &upper, work: &work };
        overlay::mount(&lower, Some(changes), &merged).at("mounting", &merged)?;
        Ok(Mounted { merged, upper, folder })
    }

    fn unmount(&self, mounted: &Mounted) -> Result<()> {
        overlay::unmount(&mounted.merged).at("unmounting", &mounted.merged)
    }

    fn workdir(&mut self, state: State, step: &Step) -> Result<(State, bool)> {
        let path = state.workdir();
        let there = {
            let lower = self.workshop.lower(&state.stack)?;
            let mounted = self.shown(&lower)?;
            let root = crate::place::Root::open(&mounted, crate::place::Rights::default(), true)?;
            let there = root.has_folder(&path);
            drop(root);
            overlay::unmount(&mounted).at("unmounting", &mounted)?;
            there
        };
        if there {
            let mut state = state;
            let created = state.created.clone().unwrap_or_else(|| self.stamp(0));
            state.stack.remember(&created, &step.text, false);
            return Ok((state, false));
        }
        let time = self.options.epoch;
        let times = self.times();
        self.layer((state, step), &json!(["WORKDIR", path]), times, |_, _, mounted| {
            let rights = crate::place::Rights { time, ..crate::place::Rights::default() };
            crate::place::Root::open(&mounted.merged, rights, true)?.folder(&path).map(drop)
        })
    }

    /// Shows layers read-only.
    pub(crate) fn shown(&mut self, lower: &[PathBuf]) -> Result<PathBuf> {
        let target = self.fresh("shown")?;
        overlay::mount(lower, None, &target).at("mounting", &target)?;
        Ok(target)
    }

    /// The folder that `--from` names, and whether its owners are an image's.
    pub(crate) fn origin(&mut self, from: Option<&str>, index: usize) -> Result<(PathBuf, bool)> {
        let Some(from) = from else {
            let context = self.options.context.clone();
            let missing = || Error::refused("this build has no context", "name a folder");
            return Ok((context.ok_or_else(missing)?, false));
        };
        let stack = match plan::origin(&self.file, index, from) {
            Origin::Stage(stage) => self.stages[&stage].stack.clone(),
            Origin::Image(name) => self.workshop.base(&name)?,
            Origin::Scratch => Stack::scratch(),
        };
        let lower = self.workshop.lower(&stack)?;
        Ok((self.shown(&lower)?, true))
    }

    /// The files of [`Work::origin`].
    pub(crate) fn tree(&mut self, from: Option<&str>, index: usize) -> Result<Tree> {
        let (path, owners) = self.origin(from, index)?;
        let label = from.map_or("the context".to_owned(), |from| format!("{from}:"));
        let ignore = if owners { Ignore::default() } else { self.options.ignore.clone() };
        Tree::open(&path, &label, ignore, owners)
    }

    fn export(&mut self, report: &mut dyn Report) -> Result<Loaded> {
        self.interrupt.check()?;
        self.told += 1;
        let number = self.told;
        let names: Vec<String> = self.options.names.iter().map(|name| name.familiar()).collect();
        let label = if names.is_empty() {
            "exporting to image".to_owned()
        } else {
            format!("exporting to image {}", names.join(", "))
        };
        report.on(&Event::Started { number, label });
        let started = Instant::now();
        let last = self.plan.order.last().and_then(|index| self.stages.remove(index));
        let Some(mut state) = last else { return Err(Error::refused("there is no stage", "")) };
        for (name, value) in &self.options.labels {
            state.set_label(name, value);
        }
        let stack = state.finished();
        let kept = self.workshop.keep(&stack, &self.options.names, &mut Quiet)?;
        report.on(&Event::Done { number, seconds: started.elapsed().as_secs_f64() });
        Ok(kept)
    }
}
