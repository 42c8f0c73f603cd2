//! `podvisor status`: one screen, a tree of pods; `-w` keeps it live.

pub(super) mod board;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use api::client::Filter;
use api::wire::{Change, Kind, WatchEvent};
use api::{Client, ClientError, stamp};
use serde_json::Value;

use super::Ended;
use crate::args::StatusArgs;
use crate::failure::Failure;
use crate::print;
use crate::settings::Settings;
use crate::waiting::Following;

/// Ages move on so often, milliseconds.
pub(super) const TICK: Duration = Duration::from_secs(1);

pub(super) async fn status(args: &StatusArgs, settings: &Settings) -> Ended {
    let client = settings.client();
    let failed = |error: ClientError| Failure::api("status", &error);
    if !args.watch {
        let deployments = client.list(Kind::Deployments, &Filter::default()).await;
        let deployments = deployments.map_err(failed)?.items;
        let pods = client.list(Kind::Pods, &Filter::default()).await.map_err(failed)?.items;
        print::out(&board::board(&deployments, &pods, settings.paint, stamp::now()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut live = Live::new(&client);
    let mut screen = Screen::default();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            changed = live.changed() => changed.map_err(failed)?,
            _ = tick.tick() => {}
        }
        if live.is_complete() {
            let (deployments, pods) = (live.deployments(), live.pods());
            let text = board::board(&deployments, &pods, settings.paint, stamp::now());
            screen.show(&text)?;
        }
    }
}

/// Pods and deployments as they are now.
pub(super) struct Live<'a> {
    pod_events: Following<'a>,
    deployment_events: Following<'a>,
    pods: Known,
    deployments: Known,
}

#[derive(Default)]
struct Known {
    objects: BTreeMap<String, Value>,
    complete: bool,
}

impl Known {
    fn take(&mut self, event: WatchEvent) {
        let meta = &event.object["metadata"];
        let key = format!("{}/{}", meta["namespace"], meta["name"]);
        match event.change {
            Change::Added | Change::Modified => {
                self.objects.insert(key, event.object);
            }
            Change::Deleted => {
                self.objects.remove(&key);
            }
            Change::Bookmark | Change::Error => self.complete = true,
        }
    }
}

impl<'a> Live<'a> {
    pub(super) fn new(client: &'a Client) -> Live<'a> {
        Live {
            pod_events: Following::new(client, Kind::Pods, Filter::default()),
            deployment_events: Following::new(client, Kind::Deployments, Filter::default()),
            pods: Known::default(),
            deployments: Known::default(),
        }
    }

    /// Waits for one change. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) -> Result<(), ClientError> {
        tokio::select! {
            event = self.pod_events.next() => self.pods.take(event?),
            event = self.deployment_events.next() => self.deployments.take(event?),
        }
        Ok(())
    }

    /// What is there has been told.
    pub(super) fn is_complete(&self) -> bool {
        self.pods.complete && self.deployments.complete
    }

    pub(super) fn pods(&self) -> Vec<Value> {
        self.pods.objects.values().cloned().collect()
    }

    pub(super) fn deployments(&self) -> Vec<Value> {
        self.deployments.objects.values().cloned().collect()
    }
}

/// A text that is replaced in place; on anything but a terminal, printed when it has changed.
#[derive(Default)]
pub(super) struct Screen {
    shown: String,
}

impl Screen {
    pub(super) fn show(&mut self, text: &str) -> Result<(), Failure> {
        if text == self.shown {
            return Ok(());
        }
        let terminal = std::io::stdout().is_terminal();
        let room = if terminal { size() } else { None };
        let text = room.map_or_else(|| text.to_owned(), |room| fit(text, room));
        let up = self.shown.lines().count();
        let begin = match (terminal, up) {
            (true, up) if up > 0 => format!("\x1b[{up}A\r\x1b[J"),
            _ => String::new(),
        };
        print::out(&format!("{begin}{text}"))?;
        self.shown = text;
        Ok(())
    }
}

fn size() -> Option<(u16, u16)> {
    use std::os::fd::AsFd;
    sys::foreground::window_size(std::io::stdout().as_fd()).filter(|s| s.0 > 2 && s.1 > 10)
}

/// Cuts a text to a screen: what does not fit could not be replaced.
fn fit(text: &str, (rows, cols): (u16, u16)) -> String {
    let (rows, cols) = (usize::from(rows) - 1, usize::from(cols));
    let lines = text.lines().count();
    let mut out = String::new();
    for line in text.lines().take(if lines > rows { rows - 1 } else { rows }) {
        out.push_str(&cut(line, cols));
        out.push('\n');
    }
    if lines > rows {
        out.push_str(&format!("… {} lines more\n", lines + 1 - rows));
    }
    out
}

/// The first `cols` shown characters of a line, and every escape sequence of it.
fn cut(line: &str, cols: usize) -> String {
    let (mut shown, mut inside) = (0, false);
    line.chars()
        .filter(|&c| {
            let begins = c == '\x1b';
            let escape = begins || inside;
            inside = escape && (begins || c != 'm');
            shown += usize::from(!escape);
            escape || shown <= cols
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_holds_what_fits() {
        assert_eq!(cut("ab\x1b[32mcdm\x1b[0mef", 4), "ab\x1b[32mcd\x1b[0m");
        assert_eq!(fit("one\ntwo\n", (10, 80)), "one\ntwo\n");
        assert_eq!(fit("1\n2\n3\n4\n", (4, 80)), "1\n2\n… 2 lines more\n");
    }
}
