//! Reading documents: config.json, and the process that `exec` is given.
//!
//! Two scheduling flags of the specification have other names in oci-spec's types. A document that
//! cannot be read is read once more by way of a tree, in which they are renamed, and in which
//! capabilities that nobody knows are left out: those are a warning and no error by the
//! specification, for the next kernel may have them. So does a process get the user that it lacks:
//! 0, as every other runtime reads it; and what is null, or has an empty type, is left out: that is
//! Go's zero value of what is not given. Repeated fields, text behind the document and broken UTF-8
//! are refused, though others take them: which part is meant nobody can tell.
//! Not here: whether what it says makes sense (`validate`).

use std::collections::BTreeSet;

use oci_spec::runtime::{Capability, Process, Spec};
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Error, Result, Value};

/// The specification's name, and the one of the types.
const FLAGS: [(&str, &str); 2] = [
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];

/// A config.json; capabilities that nobody knows are left out.
///
/// # Errors
/// What is no such document, with line and column.
pub fn spec(text: &[u8]) -> Result<Spec> {
    spec_telling(text, |_| ())
}

/// As [`spec`]; tells the names of what is left out.
///
/// # Errors
/// As [`spec`].
pub fn spec_telling(text: &[u8], tell: impl FnMut(&str)) -> Result<Spec> {
    read(text, |tree| tree.get_mut("process"), tell)
}

/// A process, as `exec --process` reads it.
///
/// # Errors
/// What is no such document, with line and column.
pub fn process(text: &[u8]) -> Result<Process> {
    process_telling(text, |_| ())
}

/// As [`process`]; tells the names of what is left out.
///
/// # Errors
/// As [`process`].
pub fn process_telling(text: &[u8], tell: impl FnMut(&str)) -> Result<Process> {
    read(text, |tree| Some(tree), tell)
}

/// The warning about a capability that is left out.
#[must_use]
pub fn unknown_capability(name: &str) -> String {
    format!("capability {name} is unknown and left out")
}

fn read<T: DeserializeOwned>(
    text: &[u8],
    process: fn(&mut Value) -> Option<&mut Value>,
    tell: impl FnMut(&str),
) -> Result<T> {
    let error = match serde_json::from_slice(text) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    let Ok(mut tree) = serde_json::from_slice::<Value>(text) else { return Err(error) };
    let dropped = drop_zero_values(&mut tree);
    let mended = process(&mut tree)
        .is_some_and(|p| rename_flags(p) | add_user(p) | drop_capabilities(p, tell));
    let changed = dropped || mended;
    // Otherwise the first error is the better one: it has the line.
    if changed { of_tree(&tree) } else { Err(error) }
}

/// A document of a tree, by way of text: reading the tree itself would put a second copy of all
/// that reads documents into the program.
///
/// # Errors
/// What is no such document, without a line.
pub fn of_tree<T: DeserializeOwned>(tree: &Value) -> Result<T> {
    serde_json::from_slice(&serde_json::to_vec(tree)?).map_err(|error| {
        let text = error.to_string();
        // The line is not that of the caller's text.
        Error::custom(text.split(" at line ").next().unwrap_or_default())
    })
}

/// Objects whose keys are the caller's: a value that is missing there is not one that is null.
const FREE: [&str; 4] = ["annotations", "sysctl", "unified", "netDevices"];

/// Leaves out fields that are null, and types that are empty; whether there were any.
pub fn drop_zero_values(tree: &mut Value) -> bool {
    match tree {
        Value::Array(all) => all.iter_mut().fold(false, |found, one| found | drop_zero_values(one)),
        Value::Object(fields) => {
            let before = fields.len();
            fields.retain(|name, value| !(value.is_null() || name == "type" && value == ""));
            let inner = fields.iter_mut().filter(|(name, _)| !FREE.contains(&name.as_str()));
            let found = inner.fold(false, |found, (_, one)| found | drop_zero_values(one));
            found || fields.len() < before
        }
        _ => false,
    }
}

fn rename_flags(process: &mut Value) -> bool {
    let flags = process.pointer_mut("/scheduler/flags").and_then(Value::as_array_mut);
    let mut renamed = false;
    for flag in flags.into_iter().flatten() {
        if let Some((_, ours)) = FLAGS.iter().find(|(name, _)| flag == name) {
            *flag = Value::from(*ours);
            renamed = true;
        }
    }
    renamed
}

fn add_user(process: &mut Value) -> bool {
    let Some(process) = process.as_object_mut().filter(|p| !p.contains_key("user")) else {
        return false;
    };
    process.insert("user".to_owned(), Value::Object(serde_json::Map::new()));
    true
}

fn drop_capabilities(process: &mut Value, mut tell: impl FnMut(&str)) -> bool {
    let sets = process.get_mut("capabilities").and_then(Value::as_object_mut);
    let mut dropped = BTreeSet::new();
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()).filter_map(Value::as_array_mut) {
        set.retain(|name| {
            let Some(text) = name.as_str() else { return true };
            let known = serde_json::from_value::<Capability>(name.clone()).is_ok();
            if !known {
                dropped.insert(text.to_owned());
            }
            known
        });
    }
    dropped.iter().for_each(|name| tell(name));
    !dropped.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxSchedulerFlag as Flag;

    #[test]
    fn both_names_of_a_scheduling_flag_are_read() {
        let text = r#"{"args": ["SCHED_FLAG_RESET_ON_FORK"], "cwd": "/", "user": {},
            "scheduler": {"policy": "SCHED_BATCH", "flags":
            ["SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"]}}"#;
        let whole = format!("{{\"ociVersion\": \"1.3.0\", \"process\": {text}}}");
        let inner = spec(whole.as_bytes()).unwrap().process().clone().unwrap();
        for process in [process(text.as_bytes()).unwrap(), inner] {
            assert_eq!(process.args().as_deref().unwrap(), ["SCHED_FLAG_RESET_ON_FORK"]);
            let flags = process.scheduler().as_ref().unwrap().flags().as_deref();
            let once = Flag::SchedResetOnFork;
            assert_eq!(flags, Some(&[once, once, Flag::SchedFlagDLOverrun][..]));
        }
    }

    #[test]
    fn a_process_without_a_user_is_of_user_0() {
        let text = br#"{"args": ["id"], "cwd": "/"}"#;
        let read = process(text).unwrap();
        assert_eq!((read.user().uid(), read.user().gid()), (0, 0));
        assert!(process(br#"{"args": ["id"]}"#).is_err());
    }

    #[test]
    fn gos_zero_values_are_what_is_not_given() {
        let text = br#"{"ociVersion": "1.3.0", "process": {"cwd": "/", "user": null}, "linux": {
            "resources": {"pids": {"limit": null}, "memory": {"limit": null},
            "devices": [{"allow": null, "type": "", "major": 1}]}}}"#;
        let read = spec(text).unwrap();
        assert_eq!(read.process().as_ref().unwrap().user().uid(), 0);
        let resources = read.linux().as_ref().unwrap().resources().clone().unwrap();
        assert_eq!(resources.pids().unwrap().limit(), 0);
        let rule = &resources.devices().as_ref().unwrap()[0];
        assert_eq!((rule.allow(), rule.typ(), rule.major()), (false, None, Some(1)));
        for wrong in [
            r#"{"ociVersion": "1.3.0", "linux": {"sysctl": {"a": null}}}"#,
            r#"{"ociVersion": "1.3.0", "hostname": "a", "hostname": "b"}"#,
            r#"{"ociVersion": "1.3.0"} {}"#,
        ] {
            assert!(spec(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_capabilities_are_left_out_and_told() {
        let text = br#"{"ociVersion": "1.3.0", "process": {"cwd": "/", "user": {}, "capabilities":
            {"bounding": ["CAP_KILL", "CAP_FROB"], "effective": ["CAP_FROB"]}}}"#;
        let mut told = Vec::new();
        let spec = spec_telling(text, |name| told.push(name.to_owned())).unwrap();
        let sets = spec.process().clone().unwrap().capabilities().clone().unwrap();
        assert_eq!(told, ["CAP_FROB"]);
        assert_eq!(sets.bounding().clone().unwrap(), [Capability::Kill].into());
        assert!(sets.effective().clone().unwrap().is_empty());
    }
}
