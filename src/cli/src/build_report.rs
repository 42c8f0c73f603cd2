//! How a build goes, on stderr: numbered steps and their output as BuildKit's plain form has them,
//! or on a terminal the steps that run, with a clock and the end of their output.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use build::{Event, Report};
use serde_json::json;

use crate::args::{LogFormat, ProgressForm};
use crate::live::{self, Form, Live};
use crate::print;

/// Lines of output shown of a step that runs.
const SHOWN: usize = 6;
/// Lines kept of it, for when it fails.
const KEPT: usize = 40;

/// Prints each event.
#[derive(Debug)]
pub struct Lines {
    form: Form,
    live: Live,
    begun: Instant,
    ended: usize,
    steps: BTreeMap<usize, Step>,
}

/// A step that runs.
#[derive(Debug)]
struct Step {
    stage: Option<String>,
    label: String,
    begun: Instant,
    tail: VecDeque<String>,
}

impl Lines {
    /// As told; JSON also when errors are.
    #[must_use]
    pub fn new(progress: ProgressForm, quiet: bool, log: LogFormat) -> Lines {
        let form = match Form::of(progress, quiet) {
            Form::Live | Form::Lines
                if progress == ProgressForm::Auto && log == LogFormat::Json =>
            {
                Form::Json
            }
            form => form,
        };
        let (live, steps) = (Live::default(), BTreeMap::new());
        Lines { form, live, begun: Instant::now(), ended: 0, steps }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Started { number, stage, label } => {
                let (stage, label) = (stage.clone(), shown(label));
                let step = Step { stage, label, begun: Instant::now(), tail: VecDeque::new() };
                self.steps.insert(*number, step);
            }
            Event::Output { number, line, .. } => {
                let Some(step) = self.steps.get_mut(number) else { return };
                step.tail.push_back(shown(line));
                if step.tail.len() > KEPT {
                    step.tail.pop_front();
                }
            }
            _ => {}
        }
    }

    fn live(&mut self, event: &Event) {
        let stay = match event {
            Event::Started { .. } | Event::Output { .. } => Vec::new(),
            Event::Cached { number } => self.end(*number, "CACHED", false),
            Event::Done { number, .. } => self.end(*number, "", false),
            Event::Cancelled { number } => self.end(*number, "CANCELED", false),
            Event::Failed { number } => self.end(*number, "ERROR", true),
            Event::Warning { text } => vec![format!("warning: {}", shown(text))],
            _ => Vec::new(),
        };
        if !stay.is_empty() || self.live.due() {
            self.draw(&stay);
        }
    }

    /// Forgets a step; gives the lines that stay of it.
    fn end(&mut self, number: usize, word: &str, output: bool) -> Vec<String> {
        let Some(step) = self.steps.remove(&number) else { return Vec::new() };
        self.ended += 1;
        let seconds = step.begun.elapsed().as_secs_f64();
        let width = live::size().1;
        let mut stay = vec![step.line(word, seconds, width)];
        if output {
            stay.extend(step.tail.iter().map(|line| format!("    {line}")));
        }
        stay
    }

    fn draw(&mut self, stay: &[String]) {
        let (rows, width) = live::size();
        let mut lines = Vec::new();
        // Each step that runs has its line, the rest is shared.
        let each = rows.saturating_sub(2 + self.steps.len()) / self.steps.len().max(1);
        for step in self.steps.values() {
            lines.push(step.line("", step.begun.elapsed().as_secs_f64(), width));
            let from = step.tail.len().saturating_sub(SHOWN.min(each));
            lines.extend(step.tail.iter().skip(from).map(|line| format!("    {line}")));
        }
        if !self.steps.is_empty() {
            let (seconds, ended) = (self.begun.elapsed().as_secs_f64(), self.ended);
            lines.push(format!("building {seconds:.1}s, {ended} steps done"));
        }
        self.live.draw(stay, &lines);
    }
}

impl Step {
    /// The label, and the time at the end of the line.
    fn line(&self, word: &str, seconds: f64, width: usize) -> String {
        let gap = if word.is_empty() { "" } else { " " };
        let label = format!("{word}{gap}{}", self.label);
        let time = format!(" {seconds:.1}s");
        let room = width.saturating_sub(1 + time.len());
        let label: String = label.chars().take(room).collect();
        format!("{label:<room$}{time}")
    }
}

impl Report for Lines {
    fn on(&mut self, event: &Event) {
        if self.form != Form::Nothing {
            self.note(event);
        }
        match self.form {
            Form::Nothing => {}
            Form::Live => self.live(event),
            Form::Lines => {
                let stage = match event {
                    Event::Output { number, .. } => self.steps.get(number),
                    _ => None,
                };
                let stage = stage.and_then(|step| step.stage.as_deref());
                print::err(&plain(event, stage));
            }
            Form::Json => print::err(&format!("{}\n", object(event))),
        }
    }

    fn tick(&mut self) {
        if self.form == Form::Live && !self.steps.is_empty() {
            self.draw(&[]);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.form == Form::Live && self.live.shows() {
            self.live.draw(&[], &[]);
        }
    }
}

/// A command's line without what would take over a terminal.
fn shown(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

/// In lines; `stage` is the step's, where there are several.
fn plain(event: &Event, stage: Option<&str>) -> String {
    match event {
        Event::Started { number, label, .. } => format!("#{number} {}\n", shown(label)),
        Event::Output { number, seconds, line } => {
            let stage = stage.map(|name| format!("[{name}] ")).unwrap_or_default();
            format!("#{number} {stage}{seconds:.3} {}\n", shown(line))
        }
        Event::Cached { number } => format!("#{number} CACHED\n\n"),
        Event::Done { number, seconds } => format!("#{number} DONE {seconds:.1}s\n\n"),
        Event::Failed { number } => format!("#{number} ERROR\n\n"),
        Event::Cancelled { number } => format!("#{number} CANCELED\n\n"),
        Event::Warning { text } => format!("warning: {text}\n"),
        _ => String::new(),
    }
}

fn object(event: &Event) -> serde_json::Value {
    match event {
        Event::Started { number, stage, label } => {
            json!({ "event": "started", "step": number, "stage": stage, "label": label })
        }
        Event::Output { number, seconds, line } => {
            json!({ "event": "output", "step": number, "seconds": seconds, "line": line })
        }
        Event::Cached { number } => json!({ "event": "cached", "step": number }),
        Event::Done { number, seconds } => {
            json!({ "event": "done", "step": number, "seconds": seconds })
        }
        Event::Failed { number } => json!({ "event": "failed", "step": number }),
        Event::Cancelled { number } => json!({ "event": "cancelled", "step": number }),
        Event::Warning { text } => json!({ "event": "warning", "text": text }),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_in_both_forms() {
        let output = Event::Output { number: 3, seconds: 0.25, line: "a\u{1b}[2J\tb".into() };
        assert_eq!(plain(&output, None), "#3 0.250 a[2J\tb\n");
        assert_eq!(plain(&output, Some("base")), "#3 [base] 0.250 a[2J\tb\n");
        assert_eq!(object(&output)["line"], "a\u{1b}[2J\tb");
        assert_eq!(plain(&Event::Cached { number: 1 }, None), "#1 CACHED\n\n");
        assert_eq!(object(&Event::Failed { number: 2 })["event"], "failed");
    }

    #[test]
    fn a_failed_step_leaves_its_output_and_others_a_line() {
        let mut lines = Lines::new(ProgressForm::Tty, false, LogFormat::Text);
        for number in [1, 2] {
            let label = format!("[a {number}/2] RUN x\u{1b}[2J");
            lines.note(&Event::Started { number, stage: None, label });
        }
        for i in 0..KEPT + 2 {
            lines.note(&Event::Output { number: 2, seconds: 0.0, line: format!("line {i}") });
        }
        let stay = lines.end(1, "CACHED", false);
        assert!(stay.len() == 1 && stay[0].starts_with("CACHED [a 1/2] RUN x[2J "), "{stay:?}");
        assert!(stay[0].ends_with(" 0.0s"), "{stay:?}");
        let stay = lines.end(2, "ERROR", true);
        assert_eq!((stay.len(), stay[1].as_str()), (KEPT + 1, "    line 2"));
        assert!(lines.end(2, "", false).is_empty());
        assert_eq!(lines.ended, 2);
        lines.form = Form::Nothing;
    }
}
