//! COPY and ADD: files of the context, of a stage or of an image, archives, here-documents.

use image::{Stack, Times, user};
use serde_json::json;
use sys::survey::{Facts, Form};

use super::{Mounted, Work, fetch};
use crate::error::{At, Error, Result};
use crate::ignore::Ignore;
use crate::instruction::{Copy, Step};
use crate::place::{Rights, Root};
use crate::select::{self, Chosen, Tree};
use crate::state::State;

/// What is copied, all variables expanded.
struct Task {
    target: String,
    /// Whether the target is a folder to put files into.
    folder: bool,
    chosen: Vec<Chosen>,
    documents: Vec<(String, String)>,
    rights: Rights,
    owners: bool,
    unpack: bool,
    parents: bool,
}

fn refuse(problem: String) -> Error {
    Error::refused(problem, "")
}

impl Work<'_> {
    pub(super) fn copy(
        &mut self,
        (state, step): (State, &Step),
        copy: &Copy,
    ) -> Result<(State, bool)> {
        let expand = |text: &String| state.expand(text).map_err(refuse);
        let sources = copy.sources.iter().map(expand).collect::<Result<Vec<_>>>()?;
        let (web, sources): (Vec<String>, Vec<String>) =
            sources.into_iter().partition(|source| copy.add && fetch::is_remote(source));
        let exclude = Ignore::of(&copy.exclude).map_err(refuse)?;
        let tree = match sources.is_empty() {
            true => None,
            false => Some(self.tree(copy.from.as_deref())?),
        };
        let mut chosen = Vec::new();
        for source in &sources {
            if let Some(tree) = &tree {
                chosen.extend(tree.choose(source, &exclude)?);
            }
        }
        let fetched = match web.is_empty() {
            true => None,
            false => Some(self.fetched(&web, &mut chosen)?),
        };
        let mut documents = Vec::new();
        for document in &copy.documents {
            let text = if document.expands {
                state.expand_document(&document.content).map_err(refuse)?
            } else {
                document.content.clone()
            };
            documents.push((document.name.clone(), text));
        }
        checked(copy, &chosen)?;
        let many = chosen.len() + documents.len() > 1;
        let target = state.resolve(&expand(&copy.target)?);
        let task = Task {
            folder: many || target.ends_with('/') || copy.parents,
            target,
            rights: self.rights(&state, copy)?,
            owners: tree.as_ref().is_some_and(|tree| tree.owners),
            unpack: copy.add,
            parents: copy.parents,
            chosen,
            documents,
        };
        let what = described(&task, tree.as_ref().or(fetched.as_ref()), copy)?;
        let times = match self.options.epoch {
            // The times of a context say when it was fetched, nothing else.
            Some(epoch) if !task.owners => Times::All(epoch),
            _ => self.times(),
        };
        self.layer((state, step), &what, times, |work, _, mounted| work.place(&task, mounted))
    }

    /// User and group of a name or number, as the image has them.
    pub(super) fn owner(&self, stack: &Stack, text: &str) -> Result<(u32, u32)> {
        let found = user::lookup(&self.workshop.lower(stack)?, text)?;
        // Docker: a number alone is both.
        let alone = text.parse::<u32>().is_ok();
        Ok((found.uid, if alone { found.uid } else { found.gid }))
    }

    fn rights(&self, state: &State, copy: &Copy) -> Result<Rights> {
        let expanded = |text: &Option<String>| {
            text.as_ref().map(|text| state.expand(text).map_err(refuse)).transpose()
        };
        let owner =
            expanded(&copy.chown)?.map(|text| self.owner(&state.stack, &text)).transpose()?;
        let mode = match expanded(&copy.chmod)? {
            None => None,
            Some(text) => {
                let bits = u32::from_str_radix(&text, 8).ok().filter(|bits| *bits <= 0o7777);
                let wrong = || Error::refused(format!("--chmod={text}"), "as in 755 or 0644");
                Some(bits.ok_or_else(wrong)?)
            }
        };
        Ok(Rights { owner, mode, time: None })
    }

    fn place(&mut self, task: &Task, mounted: &Mounted) -> Result<()> {
        let root = Root::open(&mounted.merged, task.rights, task.owners)?;
        let folder = task.folder || root.has_folder(&task.target);
        let target = task.target.trim_end_matches('/');
        let (above, own) = target.rsplit_once('/').unwrap_or(("", target));
        for chosen in &task.chosen {
            self.interrupt.check()?;
            let into = match chosen.path.rsplit_once('/').filter(|_| task.parents) {
                Some((parents, _)) => format!("{target}/{parents}"),
                None => target.to_owned(),
            };
            if chosen.is_folder() {
                let into = if task.parents { format!("{target}/{}", chosen.path) } else { into };
                root.copy(chosen, &root.folder(&into)?, b"")?;
            } else if self.unpacks(task, chosen)? {
                self.unpack(chosen, &root.folder(target)?)?;
            } else if folder {
                root.copy(chosen, &root.folder(&into)?, chosen.name().as_bytes())?;
            } else {
                root.copy(chosen, &root.folder(above)?, own.as_bytes())?;
            }
        }
        let facts = Facts {
            form: Form::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            modified: sys::dir::Stamp::default(),
            links: 1,
            identity: (0, 0),
        };
        for (name, text) in &task.documents {
            let (into, name) = if folder { (target, name.as_str()) } else { (above, own) };
            root.file(&root.folder(into)?, name.as_bytes(), text.as_bytes(), &facts)?;
        }
        Ok(())
    }

    /// Whether a file is to be unpacked: by what it holds, whatever its name is.
    fn unpacks(&self, task: &Task, chosen: &Chosen) -> Result<bool> {
        let shown = std::path::Path::new(&chosen.path);
        let may = task.unpack && !chosen.fetched;
        Ok(may && self.workshop.is_archive(&chosen.file, shown)?)
    }

    fn unpack(&self, chosen: &Chosen, folder: &std::os::fd::OwnedFd) -> Result<()> {
        // By descriptor: what it was hashed from, and the very folder that was made.
        let path =
            |fd: std::os::fd::RawFd| std::path::PathBuf::from(format!("/proc/self/fd/{fd}/"));
        let archive = std::os::fd::AsRawFd::as_raw_fd(&chosen.file);
        let archive = format!("/proc/self/fd/{archive}");
        let folder = path(std::os::fd::AsRawFd::as_raw_fd(folder));
        Ok(self.workshop.untar(std::path::Path::new(&archive), &folder)?)
    }
}

/// What cannot be right, whatever the image holds.
fn checked(copy: &Copy, chosen: &[Chosen]) -> Result<()> {
    let many = chosen.len() + copy.documents.len() > 1;
    if many && !copy.target.ends_with('/') && !copy.parents && copy.target != "." {
        let problem = format!("several files are to go to {}, which is no folder", copy.target);
        return Err(Error::refused(problem, "end the target by a slash"));
    }
    if let Some(wanted) = &copy.checksum {
        let [one] = chosen else { return Err(refuse("--checksum is for one file".into())) };
        let shown = std::path::Path::new(&one.path);
        let actual = select::content_digest(&one.file).at("reading", shown)?;
        if actual.as_str() != wanted {
            return Err(refuse(format!("{} has the digest {actual}, not {wanted}", one.path)));
        }
    }
    Ok(())
}

/// What decides the result.
fn described(task: &Task, tree: Option<&Tree>, copy: &Copy) -> Result<serde_json::Value> {
    let mut sources = Vec::new();
    for chosen in &task.chosen {
        if let Some(tree) = tree {
            let digest = select::digest(tree, chosen)?.to_string();
            let name = if task.parents { &chosen.path } else { chosen.name() };
            sources.push(json!([name, chosen.is_folder(), digest]));
        }
    }
    let rights = (task.rights.owner, task.rights.mode);
    let (kind, folder) = (copy.add, task.folder);
    let owners = task.owners;
    Ok(json!(["COPY", kind, task.target, folder, sources, task.documents, rights, owners]))
}
