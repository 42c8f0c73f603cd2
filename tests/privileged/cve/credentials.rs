//! Who a process is: user, groups, capabilities.

use serde_json::json;

/// Red when `Op::Capabilities` keeps inheritable ones, `Op::Identity` keeps groups, or 4294967295
/// is taken for an id.
#[test]
fn cve_2022_29162_2024_40635_credentials_are_those_asked_for() {
    let Some((trial, bundle)) =
        trial!(cve_2022_29162_2024_40635_credentials_are_those_asked_for, "sleep", "100")
    else {
        return;
    };
    for user in [json!({"uid": 4_294_967_295_u32, "gid": 0}), json!({"uid": 0, "gid": -1})] {
        trial.change(|config| config["process"]["user"] = user);
        assert_eq!(trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).code, 1);
    }
    trial.change(|config| config["process"]["user"] = json!({"uid": 0, "gid": 0}));
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    // The caller has groups, and keeps them.
    let setpriv = std::path::Path::new("/usr/bin/setpriv");
    let status = |more: &[&str]| {
        let words = [&["exec"], more, &["c", "grep", "-E", "^(Groups|CapInh|CapAmb)"]].concat();
        let words = [&words[..], &["/proc/self/status"]].concat();
        trial.oci_under(setpriv, &["--groups", "5,6"], &words).ok()
    };
    for more in [&[][..], &["--user", "1000:1000"], &["--cap", "CAP_NET_RAW"]] {
        let words: Vec<String> = status(more).split_whitespace().map(str::to_owned).collect();
        let none = "0000000000000000";
        assert_eq!(words, ["Groups:", "CapInh:", none, "CapAmb:", none], "{more:?}");
    }
    for user in ["4294967295", "4294967296", "-1", "0:4294967295", "root"] {
        assert_eq!(trial.oci(&["exec", "--user", user, "c", "true"]).code, 255, "{user}");
    }
    trial.oci(&["delete", "--force", "c"]).ok();
}
