//! The annotation `org.podvisor.core-scheduling`: `"true"` lets the container's processes share the
//! hyperthreads of a core with one another only. Pure.

use oci_spec::runtime::Spec;

/// The annotation's key.
pub const KEY: &str = "org.podvisor.core-scheduling";

/// Whether the document asks for it.
///
/// # Errors
/// Another value than `true` and `false`, in words.
pub fn read(spec: &Spec) -> Result<bool, String> {
    let annotations = spec.annotations().as_ref();
    match annotations.and_then(|all| all.get(KEY)).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(format!("{other:?} is neither \"true\" nor \"false\"")),
    }
}
