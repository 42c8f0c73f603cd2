//! The seccomp profile of a container: the default (`oci::profile`), the host's, or none.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use oci::runtime::LinuxSeccomp;
use pod::manifest::SeccompType;
use serde_json::Value;

use super::privileges::Privileges;
use super::{BundleError, Subject};

/// Where `Localhost` profiles are.
pub(super) const FOLDER: &str = "/etc/podvisor/seccomp";
/// Longest profile that is read, in bytes.
const PROFILE_MAX_BYTES: u64 = 1 << 20;

/// The profile, ready for config.json; `None` is no filter.
pub(super) fn profile(
    subject: Subject<'_>,
    privileges: &Privileges,
) -> Result<Option<Value>, BundleError> {
    if privileges.is_privileged {
        return Ok(None);
    }
    let own = subject.own().and_then(|context| context.seccomp_profile.as_ref());
    let wanted =
        own.or_else(|| subject.pods().and_then(|context| context.seccomp_profile.as_ref()));
    let kind = wanted.map_or(SeccompType::RuntimeDefault, |profile| profile.kind);
    match kind {
        SeccompType::Unconfined => Ok(None),
        SeccompType::RuntimeDefault => Ok(Some(oci::profile::seccomp(&privileges.capabilities)?)),
        SeccompType::Localhost => {
            let name = wanted.and_then(|profile| profile.localhost_profile.as_deref());
            let path = Path::new(FOLDER).join(name.unwrap_or_default());
            localhost(&path, privileges).map(Some)
        }
    }
}

fn localhost(path: &Path, privileges: &Privileges) -> Result<Value, BundleError> {
    let failed = |source| BundleError::Profile { path: path.to_path_buf(), source };
    let wrong = |source| BundleError::ProfileText { path: path.to_path_buf(), source };
    let text = read(path).map_err(failed)?;
    let profile = oci::profile::selected(
        serde_json::from_slice(&text).map_err(wrong)?,
        &privileges.capabilities,
    );
    // As the runtime will read it: what is wrong is told with the file's name.
    serde_json::from_value::<LinuxSeccomp>(profile.clone()).map_err(wrong)?;
    Ok(profile)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > PROFILE_MAX_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidInput, "no regular file of at most 1 MiB"));
    }
    let mut text = Vec::new();
    file.take(PROFILE_MAX_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;
    use std::fs;

    fn with(capabilities: &[&str]) -> Privileges {
        let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
        Privileges { is_privileged: false, no_new: true, capabilities }
    }

    fn default(capabilities: &[&str]) -> LinuxSeccomp {
        let profile = oci::profile::seccomp(&with(capabilities).capabilities).unwrap();
        serde_json::from_value(profile).unwrap()
    }

    /// What the first rule without arguments says of a call: the errno, 0 for allowed.
    fn says(profile: &LinuxSeccomp, call: &str) -> Option<u32> {
        let rules = profile.syscalls().as_ref().unwrap();
        let sure = |rule: &&oci::runtime::LinuxSyscall| {
            rule.args().as_ref().is_none_or(Vec::is_empty)
                && rule.names().iter().any(|name| name == call)
        };
        rules.iter().find(sure).map(|rule| rule.errno_ret().unwrap_or(0))
    }

    #[test]
    fn the_default_profile_follows_the_capabilities() {
        let (plain, admin) = (default(&["CAP_CHOWN"]), default(&["CAP_SYS_ADMIN"]));
        assert_eq!(plain.default_errno_ret(), Some(38));
        for (call, without, having) in [
            ("read", Some(0), Some(0)),
            ("mount", Some(1), Some(0)),
            ("unshare", Some(1), Some(0)),
            ("setns", Some(1), Some(0)),
            ("clone", None, Some(0)),
            ("clone3", None, Some(0)),
            ("io_uring_setup", Some(1), Some(1)),
            ("keyctl", Some(1), Some(1)),
            ("chroot", Some(1), Some(1)),
            ("kexec_load", Some(1), Some(1)),
            ("socket", None, None),
            ("a_call_of_tomorrow", None, None),
        ] {
            assert_eq!(says(&plain, call), without, "{call} without");
            assert_eq!(says(&admin, call), having, "{call} with CAP_SYS_ADMIN");
        }
        assert_eq!(says(&default(&["CAP_SYS_CHROOT"]), "chroot"), Some(0));
    }

    #[test]
    fn no_call_stands_twice_in_the_table_of_the_allowed() {
        let profile = default(&[]);
        let mut seen = BTreeSet::new();
        for rule in profile.syscalls().iter().flatten() {
            if rule.args().as_ref().is_none_or(Vec::is_empty) {
                for name in rule.names() {
                    assert!(seen.insert(name.clone()), "{name} twice");
                }
            }
        }
        assert!(seen.len() > 350, "{}", seen.len());
    }

    #[test]
    fn a_profile_of_the_host_is_read_and_its_faults_are_told() {
        let folder = scope::Folder::new("profile");
        let path = folder.join("profile.json");
        let missing = localhost(&path, &with(&[])).unwrap_err();
        assert!(matches!(missing, BundleError::Profile { .. }), "{missing:?}");
        assert!(missing.hint().unwrap().contains(FOLDER));
        let text = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["a"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_X"]}},
            {"names": ["b"], "action": "SCMP_ACT_ERRNO", "comment": "why"}]});
        fs::write(&path, text.to_string()).unwrap();
        let got = localhost(&path, &with(&[])).unwrap();
        assert_eq!(got["syscalls"], json!([{"names": ["b"], "action": "SCMP_ACT_ERRNO"}]));
        for wrong in ["{", r#"{"defaultAction": "SCMP_ACT_NEVER"}"#, "[]"] {
            fs::write(&path, wrong).unwrap();
            let error = localhost(&path, &with(&[])).unwrap_err();
            assert!(matches!(error, BundleError::ProfileText { .. }), "{wrong}: {error:?}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(localhost(&path, &with(&[])), Err(BundleError::Profile { .. })));
    }
}
