//! What happened outside of the loop, taken into its world. Nothing is decided here: whatever has
//! changed is marked, and the next turn looks.

use std::sync::Arc;
use std::time::Duration;

use pod::{Action, Outcome};

use crate::act::{self, Done, Effect};
use crate::link::{self, Subscribed};
use crate::listing::{Listed, Listing};
use crate::serve::Supervisor;
use crate::volumes::{self, Keep};
use crate::world::{PodEntry, Sandbox, Up};

/// Tries to reach the monitor of a sandbox before that counts as broken.
const ADOPTIONS: u32 = 3;
/// Pause between two of them.
const ADOPTION_PAUSE: Duration = Duration::from_secs(1);
/// Pause between later ones, while members live.
const LATER_PAUSE: Duration = Duration::from_secs(10);
/// Pause before the rests of a pod that nobody wants are tried again.
const ORPHAN_PAUSE: Duration = Duration::from_secs(10);

/// A message to the loop.
#[derive(Debug)]
pub(crate) enum News {
    /// An action of a pod has ended.
    Done(String, Action, Done),
    /// Something came over a pod's subscribed connection of that number.
    Link(String, u64, LinkNews),
    /// A pod's sandbox was looked for, for the so-many-th time.
    Adopted(String, u32, Result<Subscribed, String>),
    /// The rests of a pod that nobody wants were removed, or not.
    Orphan(String, Result<(), String>),
}

/// What a subscribed connection brings.
#[derive(Debug)]
pub(crate) enum LinkNews {
    /// A container has changed.
    Changed(Listed),
    /// The connection has ended.
    Lost,
}

impl Supervisor {
    /// Takes a message in.
    pub(crate) fn hear(&mut self, news: News) {
        match news {
            News::Done(uid, action, done) => self.done(&uid, &action, done),
            News::Link(uid, link, what) => self.linked(&uid, link, what),
            News::Adopted(uid, tries, result) => self.adopted(&uid, tries, result),
            News::Orphan(uid, Ok(())) => {
                self.orphans.remove(&uid);
            }
            News::Orphan(uid, Err(words)) => {
                let orphan = self.orphans.entry(uid.clone()).or_default();
                orphan.failures += 1;
                orphan.words = words;
                self.remove_orphan(uid, ORPHAN_PAUSE);
            }
        }
    }

    fn done(&mut self, uid: &str, action: &Action, done: Done) {
        let now = sys::clock::boot_ms();
        let Some(entry) = self.world.pods.get_mut(uid) else { return };
        // One that is not awaited was handed out by somebody else, or told already.
        if !entry.in_flight.remove(action) {
            return;
        }
        entry.dirty = true;
        let Done { outcome, effect } = done;
        match effect {
            Effect::None => {}
            Effect::Raised(subscribed) => self.raised(uid, subscribed),
            Effect::Gone => {
                entry.sandbox = Sandbox::Absent;
                self.world.free_address(uid);
            }
            Effect::Started(started) => {
                let image_id = started.image_id;
                entry.image_ids.insert(started.record.name.clone(), image_id);
                if let Sandbox::Up(up) = &mut entry.sandbox {
                    up.listing.started(started.record);
                }
            }
            Effect::Removed => {
                if let (Sandbox::Up(up), Some((name, attempt))) =
                    (&mut entry.sandbox, action.target())
                {
                    up.listing.removed(name, attempt);
                }
            }
        }
        if let Outcome::Failed { message, .. } = &outcome {
            self.sandbox_failed(uid, action, message);
        }
        self.tell_outcome(uid, action, &outcome);
        if let Some(entry) = self.world.pods.get_mut(uid) {
            pod::absorb(&mut entry.memory, action, &outcome, now);
        }
    }

    /// What a failure to make or remove a sandbox leaves.
    fn sandbox_failed(&mut self, uid: &str, action: &Action, words: &str) {
        let left = !volumes::is_cleared(&self.tools.options.paths.pod(uid));
        let Some(entry) = self.world.pods.get_mut(uid) else { return };
        match action {
            Action::CreateSandbox if left => entry.sandbox = Sandbox::Broken(words.to_owned()),
            Action::CreateSandbox => entry.sandbox = Sandbox::Absent,
            Action::RemoveSandbox => {
                let lost = match &entry.sandbox {
                    Sandbox::Up(up) => up.lost,
                    _ => true,
                };
                if lost {
                    entry.sandbox = Sandbox::Broken(words.to_owned());
                }
            }
            _ => {}
        }
    }

    /// A sandbox is there: its listing is kept from now on.
    fn raised(&mut self, uid: &str, subscribed: Subscribed) {
        self.links += 1;
        let link = self.links;
        let Some(entry) = self.world.pods.get_mut(uid) else { return };
        let subject = self.tools.subject(uid, &entry.pod, entry.ids);
        for listed in &subscribed.listed {
            note_image(entry, &self.tools, listed);
        }
        let listing = Listing::new(subscribed.listed);
        entry.sandbox = Sandbox::Up(Up { link, listing, outdated: None, lost: false });
        link::follow(subject, subscribed.talk, link, self.tools.news.clone());
    }

    fn linked(&mut self, uid: &str, link: u64, what: LinkNews) {
        let Some(entry) = self.world.pods.get_mut(uid) else { return };
        let Sandbox::Up(up) = &mut entry.sandbox else { return };
        if up.link != link {
            return;
        }
        entry.dirty = true;
        match what {
            LinkNews::Changed(listed) => {
                up.listing.changed(listed.clone());
                note_image(entry, &self.tools, &listed);
                self.tell_change(uid, &listed);
            }
            LinkNews::Lost if entry.in_flight.contains(&Action::RemoveSandbox) => {
                up.lost = true;
            }
            LinkNews::Lost => {
                entry.sandbox = Sandbox::Unknown;
                self.begin_adoption(uid, 0);
            }
        }
    }

    /// Looks for a pod's monitor, or starts one that takes over what runs.
    pub(crate) fn begin_adoption(&mut self, uid: &str, tries: u32) {
        let Some(entry) = self.world.pods.get(uid) else { return };
        let subject = self.tools.subject(uid, &entry.pod, entry.ids);
        let address = self.world.addresses.get(uid).copied();
        let tools = Arc::clone(&self.tools);
        tokio::spawn(async move {
            match tries {
                0 => {}
                1..ADOPTIONS => tokio::time::sleep(ADOPTION_PAUSE).await,
                _ => tokio::time::sleep(LATER_PAUSE).await,
            }
            let result = act::adopt(&tools, &subject, address).await;
            tools.tell(News::Adopted(subject.uid, tries, result));
        });
    }

    fn adopted(&mut self, uid: &str, tries: u32, result: Result<Subscribed, String>) {
        let Some(entry) = self.world.pods.get_mut(uid) else { return };
        if !matches!(entry.sandbox, Sandbox::Unknown) {
            return;
        }
        entry.dirty = true;
        match result {
            Ok(subscribed) => self.raised(uid, subscribed),
            Err(_) if tries + 1 < ADOPTIONS => self.begin_adoption(uid, tries + 1),
            Err(words) => {
                let about = entry.about();
                let deleting = entry.memory.is_deleting();
                let pod_dir = self.tools.options.paths.pod(uid);
                if !deleting && act::lives(&pod_dir) {
                    // Members do without a monitor for as long as it takes.
                    self.begin_adoption(uid, tries + 1);
                } else {
                    entry.sandbox = Sandbox::Broken(words.clone());
                }
                self.world.note(&about, true, "FailedAdoption", &words);
            }
        }
    }

    /// Removes what is left of a pod that nobody wants.
    pub(crate) fn remove_orphan(&mut self, uid: String, pause: Duration) {
        let tools = Arc::clone(&self.tools);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let result = act::dismantle(&tools, &uid, Keep::Nothing).await;
            tools.tell(News::Orphan(uid, result));
        });
    }

    /// An image may have come: what waits for one is tried at once.
    pub(crate) fn images_changed(&mut self) {
        for entry in self.world.pods.values_mut() {
            let waits = |memory: &pod::memory::ContainerMemory| {
                memory.problem.as_ref().is_some_and(|problem| problem.reason.is_image())
            };
            if entry.memory.containers.values().any(waits) {
                entry.memory.image_arrived();
                entry.dirty = true;
            }
        }
    }
}

/// Which image a listed container was made from, as its bundle notes.
fn note_image(entry: &mut PodEntry, tools: &crate::tools::Tools, listed: &Listed) {
    let record = &listed.record;
    if entry.image_ids.contains_key(&record.name) {
        return;
    }
    let noted = act::Noted::read(&tools.options.paths.pod(&entry.uid), &record.id);
    if let Some(image_id) = noted.image_id() {
        entry.image_ids.insert(record.name.clone(), image_id.to_owned());
    }
}
