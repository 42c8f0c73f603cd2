//! Progress of what comes from or goes to registries: a bar a layer, lines, or JSON.
//!
//! On a terminal the layers on their way are drawn over, at most ten times a second; one that is
//! done becomes a line above. Elsewhere a line a layer. All on stderr.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use image::Event;
use serde_json::{Value, json};

use crate::age::{short, size};
use crate::args::ProgressForm;
use crate::live::{Form, Live};
use crate::print;

/// A layer on its way.
#[derive(Debug)]
struct Moving {
    verb: &'static str,
    count: usize,
    bytes: u64,
    total: u64,
    begun: Instant,
    /// Bytes that were there when it began: they say nothing about the rate.
    first: u64,
}

/// Shows the steps of a pull or push.
#[derive(Debug)]
pub struct Transfer {
    form: Form,
    moving: BTreeMap<usize, Moving>,
    live: Live,
}

impl Transfer {
    /// As wanted; `quiet` shows nothing.
    #[must_use]
    pub fn new(form: ProgressForm, quiet: bool) -> Transfer {
        let form = Form::of(form, quiet);
        Transfer { form, moving: BTreeMap::new(), live: Live::default() }
    }

    fn move_on(&mut self, number: usize, verb: &'static str, event: (usize, u64, u64)) {
        let (count, bytes, total) = event;
        let moving = self.moving.entry(number).or_insert_with(|| Moving {
            verb,
            count,
            bytes,
            total,
            begun: Instant::now(),
            first: bytes,
        });
        moving.bytes = bytes;
        let ended = bytes >= total;
        if self.form == Form::Live && (ended || self.live.due()) {
            self.draw(None);
        }
    }

    /// Draws the layers anew, below a line that stays.
    fn draw(&mut self, line: Option<&str>) {
        let stay: Vec<String> = line.into_iter().map(str::to_owned).collect();
        let lines: Vec<String> = self.moving.iter().map(|(n, moving)| moving.line(*n)).collect();
        self.live.draw(&stay, &lines);
    }

    fn done(&mut self, number: usize, line: &str) {
        self.moving.remove(&number);
        self.say(line);
    }

    fn say(&mut self, line: &str) {
        match self.form {
            Form::Live => self.draw(Some(line)),
            Form::Lines => print::note(line),
            Form::Json | Form::Nothing => {}
        }
    }
}

impl Moving {
    fn line(&self, number: usize) -> String {
        let filled = usize::try_from(self.bytes.saturating_mul(20) / self.total.max(1));
        let filled = filled.unwrap_or(20).min(20);
        let bar: String = "#".repeat(filled) + &"-".repeat(20 - filled);
        let (bytes, total) = (size(self.bytes), size(self.total));
        let pace = self.pace(self.begun.elapsed());
        format!("layer {number}/{}: {} [{bar}] {bytes} of {total}{pace}", self.count, self.verb)
    }

    /// Rate and time left, once there is something to tell them by.
    fn pace(&self, elapsed: Duration) -> String {
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let came = self.bytes.saturating_sub(self.first);
        if ms < 500 || came == 0 {
            return String::new();
        }
        let rate = came.saturating_mul(1000) / ms;
        let left = self.total.saturating_sub(self.bytes) / rate.max(1);
        let left = short(i64::try_from(left).unwrap_or(i64::MAX));
        format!(", {}/s, {left} left", size(rate))
    }
}

impl image::Progress for Transfer {
    fn on(&mut self, event: &Event) {
        if self.form == Form::Nothing {
            return;
        }
        if self.form == Form::Json {
            print::note(&object(event).to_string());
            return;
        }
        match event {
            Event::LayerReused { number, count, digest } => {
                self.done(
                    *number,
                    &format!("layer {number}/{count}: {} there already", id(digest)),
                );
            }
            Event::LayerAwaited { number, count, digest } => {
                let id = id(digest);
                self.say(&format!("layer {number}/{count}: {id} awaiting another download"));
            }
            Event::Downloading { number, count, bytes, total, .. } => {
                self.move_on(*number, "downloading", (*count, *bytes, *total));
            }
            Event::Uploading { number, count, bytes, total, .. } => {
                self.move_on(*number, "uploading", (*count, *bytes, *total));
            }
            Event::Uploaded { number, count, digest, total, how } => {
                let (id, total) = (id(digest), size(*total));
                let how = match *how {
                    "present" => "there already",
                    how => how,
                };
                self.done(*number, &format!("blob {number}/{count}: {id} {total}, {how}"));
            }
            Event::LayerDone { number, count, digest, bytes, .. } => {
                let packed = self.moving.get(number).map(|m| size(m.total));
                let packed = packed.map(|p| format!("{p}, ")).unwrap_or_default();
                let (id, bytes) = (id(digest), size(*bytes));
                self.done(
                    *number,
                    &format!("layer {number}/{count}: {id} {packed}{bytes} unpacked"),
                );
            }
            Event::Syncing => {
                self.moving.clear();
                self.say("making it durable");
            }
            _ => {}
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.form == Form::Live && self.live.shows() {
            self.moving.clear();
            self.draw(None);
        }
    }
}

fn id(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest).get(..12).unwrap_or(digest)
}

fn object(event: &Event) -> Value {
    match event {
        Event::LayerReused { number, count, digest } => {
            json!({"event": "present", "layer": number, "layers": count, "digest": digest})
        }
        Event::LayerAwaited { number, count, digest } => {
            json!({"event": "waiting", "layer": number, "layers": count, "digest": digest})
        }
        Event::Downloading { number, count, digest, bytes, total } => json!({
            "event": "downloading", "layer": number, "layers": count, "digest": digest,
            "bytes": bytes, "total": total,
        }),
        Event::Uploading { number, count, digest, bytes, total } => json!({
            "event": "uploading", "blob": number, "blobs": count, "digest": digest,
            "bytes": bytes, "total": total,
        }),
        Event::Uploaded { number, count, digest, total, how } => json!({
            "event": how, "blob": number, "blobs": count, "digest": digest, "total": total,
        }),
        Event::LayerDone { number, count, digest, entries, bytes } => json!({
            "event": "unpacked", "layer": number, "layers": count, "digest": digest,
            "entries": entries, "bytes": bytes,
        }),
        Event::Syncing => json!({"event": "syncing"}),
        _ => json!({"event": "other"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_shows_bytes_rate_and_time_left() {
        let moving = Moving {
            verb: "downloading",
            count: 3,
            bytes: 30 << 20,
            total: 50 << 20,
            begun: Instant::now(),
            first: 10 << 20,
        };
        assert_eq!(
            moving.line(2),
            "layer 2/3: downloading [############--------] 30.0 MiB of 50.0 MiB"
        );
        assert_eq!(moving.pace(Duration::from_secs(2)), ", 10.0 MiB/s, 2s left");
    }
}
