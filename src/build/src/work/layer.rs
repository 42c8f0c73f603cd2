//! Steps that make a layer: an overlay of the image so far, changed and packed, or what the cache
//! has for the step's key.

use std::fs;
use std::path::PathBuf;

use image::{Digest, Packing, Stack, Times};
use serde_json::{Value, json};
use sys::overlay;

use super::Work;
use crate::error::{At, Result};
use crate::instruction::Step;
use crate::place::{Rights, Root};
use crate::state::State;

/// Changes with the meaning of the keys, so that no old record is taken.
const KEYS: &str = "podvisor build 1";

/// An overlay mount of a step.
pub(crate) struct Mounted {
    pub(crate) merged: PathBuf,
    upper: PathBuf,
    folder: PathBuf,
}

impl Work<'_> {
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
        let _busy = self.shared.board.busy(&key);
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
        let packing =
            Packing { times, compression: self.options.compression, ..Packing::default() };
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

    pub(super) fn workdir(&mut self, state: State, step: &Step) -> Result<(State, bool)> {
        let path = state.workdir();
        let there = {
            let lower = self.workshop.lower(&state.stack)?;
            let mounted = self.shown(&lower)?;
            let root = Root::open(&mounted, Rights::default(), true)?;
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
        // As BuildKit has it: whoever works there owns it.
        let owner = match state.user() {
            "" => None,
            user => Some(self.owner(&state.stack, user)?),
        };
        let rights = Rights { time: self.options.epoch, owner, ..Rights::default() };
        let (times, what) = (self.times(), json!(["WORKDIR", path, owner]));
        self.layer((state, step), &what, times, |_, _, mounted| {
            Root::open(&mounted.merged, rights, true)?.folder(&path).map(drop)
        })
    }

    /// Shows layers read-only.
    pub(crate) fn shown(&mut self, lower: &[PathBuf]) -> Result<PathBuf> {
        let target = self.fresh("shown")?;
        overlay::mount(lower, None, &target).at("mounting", &target)?;
        Ok(target)
    }
}
