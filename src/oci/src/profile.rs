//! What is the same in every container that podvisor itself makes: mounts, masks, seccomp rules.
//!
//! `seccomp.json` is podvisor's own, in the shape of moby's: rules with `includes` or `excludes`
//! are for containers that have, or lack, those capabilities. Calls that are known and dangerous
//! are refused with EPERM, all else that is not listed does not exist (ENOSYS), so that programs
//! fall back. clone3 is among the latter, since a filter cannot see its flags; AF_ALG and AF_VSOCK
//! sockets are not to be had. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

/// A config.json without process, namespaces and resources.
pub const SKELETON: &str = include_str!("profile/skeleton.json");
const SECCOMP: &str = include_str!("profile/seccomp.json");

/// The default seccomp profile of a container with these capabilities (names with `CAP_`).
///
/// # Errors
/// None but for a shipped file that is no JSON.
pub fn seccomp(capabilities: &BTreeSet<String>) -> serde_json::Result<Value> {
    Ok(selected(serde_json::from_str(SECCOMP)?, capabilities))
}

/// The rules that are for these capabilities, without the words that only this choice needs.
#[must_use]
pub fn selected(mut profile: Value, capabilities: &BTreeSet<String>) -> Value {
    let Some(rules) = profile.get_mut("syscalls").and_then(Value::as_array_mut) else {
        return profile;
    };
    let has = |cap: &Value| cap.as_str().is_some_and(|name| capabilities.contains(name));
    rules.retain(|rule| {
        let caps = |word: &str| rule[word]["caps"].as_array().into_iter().flatten();
        caps("includes").all(has) && !caps("excludes").any(has)
    });
    for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
        for word in ["includes", "excludes", "comment"] {
            rule.remove(word);
        }
    }
    profile
}
