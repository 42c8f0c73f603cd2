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
    // The caller has groups, and keeps them.
    let setpriv = std::path::Path::new("/usr/bin/setpriv");
    let status = |what: &str, words: &[&str]| {
        let text = trial.oci_under(setpriv, &["--groups", "5,6"], words).ok();
        let none = "0000000000000000";
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words, ["Groups:", "CapInh:", none, "CapAmb:", none], "{what}");
    };
    let look = ["grep", "-E", "^(Groups|CapInh|CapAmb)", "/proc/self/status"];
    let net_raw = json!(["CAP_NET_RAW"]);
    let caps = json!({"bounding": net_raw, "effective": net_raw, "permitted": net_raw});
    let user = |id: u32| json!({"uid": id, "gid": id});
    for (user, caps) in
        [(user(0), json!({})), (user(0), caps.clone()), (user(1000), json!({})), (user(1000), caps)]
    {
        trial.change(|config| {
            config["process"]["user"] = user.clone();
            config["process"]["capabilities"] = caps.clone();
            config["process"]["args"] = json!(look);
        });
        status(&format!("run as {user} {caps}"), &["run", "--bundle", &bundle, "c"]);
    }
    trial.change(|config| {
        config["process"]["user"] = user(0);
        config["process"]["args"] = json!(["sleep", "100"]);
    });
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    for more in [&[][..], &["--user", "1000:1000"], &["--cap", "CAP_NET_RAW"]] {
        status(&format!("exec {more:?}"), &[&["exec"], more, &["c"], &look].concat());
    }
    for user in ["4294967295", "4294967296", "-1", "0:4294967295", "root"] {
        assert_eq!(trial.oci(&["exec", "--user", user, "c", "true"]).code, 255, "{user}");
    }
    trial.oci(&["delete", "--force", "c"]).ok();
}

/// Red when `number` in `src/oci-cli/src/verbs/exec.rs` takes what it cannot read for 0, or keeps
/// the low 32 bits of more.
#[test]
fn cve_2026_30892_a_user_is_never_root_by_accident() {
    let Some((trial, bundle)) =
        trial!(cve_2026_30892_a_user_is_never_root_by_accident, "sleep", "100")
    else {
        return;
    };
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    let odd =
        ["root", "4294967296", "8589934592", "-1", "0x1", "", " 1", "+1", "1:wheel", "1:", ":1"];
    for user in odd {
        let done = trial.oci(&["exec", "--user", user, "c", "cat", "/proc/self/status"]);
        assert!(done.code == 255 && done.out.is_empty(), "{user:?}: {done:?}");
    }
    let mut document = serde_json::json!({"args": ["cat", "/proc/self/status"], "cwd": "/",
        "user": {"uid": 0, "gid": 0}});
    for id in
        [json!(4_294_967_296_u64), json!(-1), json!("1"), json!(1.5), json!(4_294_967_295_u32)]
    {
        for field in ["uid", "gid"] {
            document["user"] = json!({"uid": 1, "gid": 1});
            document["user"][field] = id.clone();
            std::fs::write(trial.path("process.json"), document.to_string()).expect("write");
            let done = trial.oci(&["exec", "--process", "AT/process.json", "c"]);
            assert!(done.code == 255 && done.out.is_empty(), "{field} {id}: {done:?}");
        }
    }
    trial.oci(&["delete", "--force", "c"]).ok();
}
