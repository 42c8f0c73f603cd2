//! `ps`: the processes of a container, as the host's ps shows them, or as JSON.

use std::ffi::OsString;
use std::process::Command;

use super::{Verb, id, open};
use crate::args::{Flag, Given, Words};
use crate::report::{Failure, print};

/// `ps ID`.
pub(super) const PS: Verb = Verb {
    name: "ps",
    help: "list the processes of a container",
    arguments: "ID [OPTIONS OF ps]",
    flags: &[Flag::value("format", b'f', "FORMAT", "table (default) or json")],
    words: Words::Command,
    least: 1,
    most: usize::MAX,
    hidden: false,
    examples: ["ps web", "ps --format json web"],
    run: ps,
};

fn ps(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let pids = open(globals)?.processes(id(given)?)?;
    let text = match given.text("format")? {
        Some("json") => format!("{}\n", serde_json::Value::from(pids)),
        None | Some("table" | "") => {
            let options = &given.words[1..];
            filter(&run_ps(options)?, &pids)
                .ok_or_else(|| Failure::new("the output of ps has no column PID"))?
        }
        Some(_) => return Err(Failure::new("invalid format option")),
    };
    print(&text)?;
    Ok(0)
}

fn run_ps(options: &[OsString]) -> Result<String, Failure> {
    let mut ps = Command::new("ps");
    if options.is_empty() {
        ps.arg("-ef");
    } else {
        ps.args(options);
    }
    let out = ps.output().map_err(|error| Failure {
        text: format!("run ps: {error}"),
        hint: Some("install procps, or use --format json".to_owned()),
        code: 1,
    })?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    Err(Failure::new(format!("ps: {}", String::from_utf8_lossy(&out.stderr).trim())))
}

/// The head and the lines of these pids; `None` without a column PID.
fn filter(text: &str, pids: &[i32]) -> Option<String> {
    let mut lines = text.lines();
    let head = lines.next()?;
    let column = head.split_whitespace().position(|name| name == "PID")?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.binary_search(&pid).is_ok())
    };
    let kept: Vec<&str> = std::iter::once(head).chain(lines.filter(ours)).collect();
    Some(kept.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_processes_stay() {
        let text = "UID  PID PPID CMD\nroot 10 1 a\nroot 11 1 b\nroot 110 1 c\n";
        assert_eq!(filter(text, &[11]).unwrap(), "UID  PID PPID CMD\nroot 11 1 b\n");
        assert_eq!(filter("CMD\nx\n", &[11]), None);
    }
}
