//! `update`: other limits for a container that lives.
//!
//! A file of `linux.resources` (`--resources`), or single options; an option wins over the file.

use oci::runtime::LinuxResources;
use serde_json::{Value, json};

use super::{Verb, document, id, open};
use crate::args::{Flag, Given, Words};
use crate::report::Failure;

/// One option: its place below `linux.resources`, and how it is written.
struct Setting {
    flag: &'static str,
    place: [&'static str; 2],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A whole number, `-1` for none.
    Number,
    /// A whole number with k, m, g or t, `-1` for none.
    Bytes,
    Text,
}

const fn setting(flag: &'static str, place: [&'static str; 2], kind: Kind) -> Setting {
    Setting { flag, place, kind }
}

const SETTINGS: &[Setting] = &[
    setting("blkio-weight", ["blockIO", "weight"], Kind::Number),
    setting("cpu-period", ["cpu", "period"], Kind::Number),
    setting("cpu-quota", ["cpu", "quota"], Kind::Number),
    setting("cpu-burst", ["cpu", "burst"], Kind::Number),
    setting("cpu-share", ["cpu", "shares"], Kind::Number),
    setting("cpu-rt-period", ["cpu", "realtimePeriod"], Kind::Number),
    setting("cpu-rt-runtime", ["cpu", "realtimeRuntime"], Kind::Number),
    setting("cpu-idle", ["cpu", "idle"], Kind::Number),
    setting("cpuset-cpus", ["cpu", "cpus"], Kind::Text),
    setting("cpuset-mems", ["cpu", "mems"], Kind::Text),
    setting("memory", ["memory", "limit"], Kind::Bytes),
    setting("memory-reservation", ["memory", "reservation"], Kind::Bytes),
    setting("memory-swap", ["memory", "swap"], Kind::Bytes),
    setting("pids-limit", ["pids", "limit"], Kind::Number),
];

/// `update ID`.
pub(super) const UPDATE: Verb = Verb {
    name: "update",
    help: "change the limits of a container",
    arguments: "ID",
    flags: &[
        Flag::value("resources", b'r', "FILE", "linux.resources as JSON; - is standard input"),
        Flag::value("blkio-weight", 0, "N", "share of block I/O, 10 to 1000"),
        Flag::value("cpu-period", 0, "US", "CPU period, microseconds"),
        Flag::value("cpu-quota", 0, "US", "CPU time in a period, microseconds"),
        Flag::value("cpu-burst", 0, "US", "CPU time that may be saved up, microseconds"),
        Flag::value("cpu-share", 0, "N", "share of CPU, 2 to 262144"),
        Flag::value("cpu-rt-period", 0, "US", "realtime period, microseconds"),
        Flag::value("cpu-rt-runtime", 0, "US", "realtime in a period, microseconds"),
        Flag::value("cpu-idle", 0, "0|1", "run only when nothing else wants to"),
        Flag::value("cpuset-cpus", 0, "LIST", "processors, as in 0-2,4"),
        Flag::value("cpuset-mems", 0, "LIST", "memory nodes"),
        Flag::value("memory", 0, "BYTES", "memory limit; 64m and the like; -1 for none"),
        Flag::value("memory-reservation", 0, "BYTES", "memory that is kept for it"),
        Flag::value("memory-swap", 0, "BYTES", "memory and swap together; -1 for no limit"),
        Flag::value("pids-limit", 0, "N", "most processes; -1 for no limit"),
        Flag::value("kernel-memory", 0, "BYTES", "accepted and ignored: the kernel dropped it"),
        Flag::value("kernel-memory-tcp", 0, "BYTES", "accepted and ignored: so it did this"),
        Flag::value("l3-cache-schema", 0, "TEXT", "lines of the resctrl schemata, as in L3:0=ff"),
        Flag::value("mem-bw-schema", 0, "TEXT", "line of the resctrl schemata, as in MB:0=70"),
    ],
    words: Words::Anywhere,
    least: 1,
    most: 1,
    hidden: false,
    examples: ["update --memory 64m --pids-limit 100 web", "update -r limits.json web"],
    run: |globals, given| {
        let (resources, runtime, id) = (resources(given)?, open(globals)?, id(given)?);
        runtime.update(id, &resources)?;
        let [cache, bandwidth] = [given.text("l3-cache-schema")?, given.text("mem-bw-schema")?]
            .map(|text| text.filter(|text| !text.is_empty()));
        if cache.is_some() || bandwidth.is_some() {
            runtime.update_rdt(id, cache, bandwidth)?;
        }
        Ok(0)
    },
};

fn resources(given: &Given) -> Result<LinuxResources, Failure> {
    let mut all = match given.path("resources") {
        None => json!({}),
        Some(path) => read(&path)?,
    };
    for Setting { flag, place: [part, field], kind } in SETTINGS {
        if let Some(text) = given.text(flag)? {
            let problem =
                |problem| Failure::new(format!("invalid value {text:?} for --{flag}: {problem}"));
            let value = value(text, *kind).map_err(problem)?;
            match all[part] {
                Value::Null | Value::Object(_) => all[part][field] = value,
                _ => return Err(Failure::new(format!("resources: {part} is not a JSON object"))),
            }
        }
    }
    let wrong = |error: serde_json::Error| Failure::new(format!("resources: {error}"));
    oci::document::of_tree(&all).map_err(wrong)
}

fn read(path: &std::path::Path) -> Result<Value, Failure> {
    let value = document(path, "resources")?;
    if value.is_object() {
        return Ok(value);
    }
    Err(Failure::new(format!("resources {}: not a JSON object", path.display())))
}

fn value(text: &str, kind: Kind) -> Result<Value, &'static str> {
    match kind {
        Kind::Text => Ok(json!(text)),
        Kind::Number => number(text).map(|n| json!(n)),
        Kind::Bytes => bytes(text).map(|n| json!(n)),
    }
}

fn number(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "want a whole number")
}

/// docker's sizes: binary multiples by one letter, `b` or `iB` behind it allowed.
fn bytes(text: &str) -> Result<i64, &'static str> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err("want bytes, as in 65536, 64m or 1g"),
    };
    let wrong = "want bytes, as in 65536, 64m or 1g";
    let Some((whole, part)) = digits.split_once('.') else {
        let plain = number(digits).map_err(|_| wrong)?;
        return plain.checked_mul(1 << shift).ok_or("is too large");
    };
    // No more digits than make sense, so that nothing overflows.
    let is_number = |text: &str| text.len() < 16 && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || whole.is_empty() && part.is_empty() {
        return Err(wrong);
    }
    let digits = |text: &str| if text.is_empty() { Ok(0) } else { number(text) };
    let (whole, part, scale) = (digits(whole)?, digits(part)?, 10i128.pow(part.len() as u32));
    let bytes = (i128::from(whole) << shift) + (i128::from(part) << shift) / scale;
    i64::try_from(bytes).map_err(|_| "is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Given {
        let mut words = line.split_whitespace().map(std::ffi::OsString::from);
        Given::parse(&mut words, UPDATE.flags, UPDATE.words).unwrap()
    }

    #[test]
    fn options_become_resources() {
        let all =
            resources(&given("--memory 64m --memory-swap -1 --pids-limit 9 --cpuset-cpus 0 x"));
        let all = all.unwrap();
        let memory = all.memory().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(-1)));
        assert_eq!(all.pids().unwrap().limit(), 9);
        assert_eq!(all.cpu().as_ref().unwrap().cpus().as_deref(), Some("0"));
    }

    #[test]
    fn bytes_are_read_as_docker_reads_them() {
        for (text, wanted) in [
            ("-1", -1),
            ("0.5G", 512 << 20),
            ("1.5kb", 1536),
            (".5m", 512 << 10),
            ("2.m", 2 << 20),
            ("1.9", 1),
            ("1P", 1 << 50),
        ] {
            assert_eq!(bytes(text), Ok(wanted), "{text}");
        }
        for wrong in [".", "-.5g", "1.2.3g", "9000p", "9000.0p", "1.1111111111111111g", "1e3", "x"]
        {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_setting_is_an_option() {
        for setting in SETTINGS {
            assert!(UPDATE.flags.iter().any(|flag| flag.long == setting.flag), "{}", setting.flag);
        }
        let folder = scope::Folder::new("update");
        let file = folder.join("resources.json");
        std::fs::write(&file, r#"{"memory": 5}"#).unwrap();
        let error = resources(&given(&format!("-r {} --memory 64m x", file.display()))).err();
        assert!(error.unwrap().text.contains("memory is not a JSON object"));
        for wrong in ["--memory 1x x", "--pids-limit many x"] {
            assert!(resources(&given(wrong)).is_err(), "{wrong}");
        }
    }
}
