//! How a build goes, on stderr: numbered steps and their output, as BuildKit's plain form has them.

use build::{Event, Report};
use serde_json::json;

use crate::args::{LogFormat, ProgressForm};
use crate::print;

/// Prints each event.
#[derive(Debug)]
pub struct Lines {
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Json,
    None,
}

impl Lines {
    /// As told; JSON also when errors are.
    #[must_use]
    pub fn new(progress: ProgressForm, quiet: bool, log: LogFormat) -> Lines {
        let form = match progress {
            _ if quiet => Form::None,
            ProgressForm::None => Form::None,
            ProgressForm::Json => Form::Json,
            ProgressForm::Auto if log == LogFormat::Json => Form::Json,
            ProgressForm::Auto | ProgressForm::Plain => Form::Plain,
        };
        Lines { form }
    }
}

impl Report for Lines {
    fn on(&mut self, event: &Event) {
        match self.form {
            Form::None => {}
            Form::Plain => print::err(&plain(event)),
            Form::Json => print::err(&format!("{}\n", object(event))),
        }
    }
}

/// A command's line without what would take over a terminal.
fn shown(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

fn plain(event: &Event) -> String {
    match event {
        Event::Started { number, label } => format!("#{number} {}\n", shown(label)),
        Event::Output { number, seconds, line } => {
            format!("#{number} {seconds:.3} {}\n", shown(line))
        }
        Event::Cached { number } => format!("#{number} CACHED\n\n"),
        Event::Done { number, seconds } => format!("#{number} DONE {seconds:.1}s\n\n"),
        Event::Failed { number } => format!("#{number} ERROR\n\n"),
        Event::Warning { text } => format!("warning: {text}\n"),
        _ => String::new(),
    }
}

fn object(event: &Event) -> serde_json::Value {
    match event {
        Event::Started { number, label } => {
            json!({ "event": "started", "step": number, "label": label })
        }
        Event::Output { number, seconds, line } => {
            json!({ "event": "output", "step": number, "seconds": seconds, "line": line })
        }
        Event::Cached { number } => json!({ "event": "cached", "step": number }),
        Event::Done { number, seconds } => {
            json!({ "event": "done", "step": number, "seconds": seconds })
        }
        Event::Failed { number } => json!({ "event": "failed", "step": number }),
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
        assert_eq!(plain(&output), "#3 0.250 a[2J\tb\n");
        assert_eq!(object(&output)["line"], "a\u{1b}[2J\tb");
        assert_eq!(plain(&Event::Cached { number: 1 }), "#1 CACHED\n\n");
        assert_eq!(object(&Event::Failed { number: 2 })["event"], "failed");
    }
}
