//! Reading documents: config.json, and the process that `exec` is given.
//!
//! Two scheduling flags of the specification have other names in oci-spec's types. A document that
//! cannot be read is read once more by way of a tree, in which they are renamed.
//! Not here: whether what it says makes sense (`validate`).

use oci_spec::runtime::{Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::{Result, Value};

/// The specification's name, and the one of the types.
const FLAGS: [(&str, &str); 2] = [
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];

/// A config.json.
///
/// # Errors
/// What is no such document, with line and column.
pub fn spec(text: &[u8]) -> Result<Spec> {
    read(text, |tree| tree.get_mut("process"))
}

/// A process, as `exec --process` reads it.
///
/// # Errors
/// What is no such document, with line and column.
pub fn process(text: &[u8]) -> Result<Process> {
    read(text, |tree| Some(tree))
}

fn read<T: DeserializeOwned>(
    text: &[u8],
    process: fn(&mut Value) -> Option<&mut Value>,
) -> Result<T> {
    let error = match serde_json::from_slice(text) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    let Ok(mut tree) = serde_json::from_slice::<Value>(text) else { return Err(error) };
    let flags = process(&mut tree).and_then(|process| process.pointer_mut("/scheduler/flags"));
    let mut renamed = false;
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some((_, ours)) = FLAGS.iter().find(|(name, _)| flag == name) {
            *flag = Value::from(*ours);
            renamed = true;
        }
    }
    // Otherwise the first error is the better one: it has the line.
    if renamed { serde_json::from_value(tree) } else { Err(error) }
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
}
