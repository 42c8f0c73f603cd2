use super::*;

fn password(user: &str, password: &str) -> Option<Credential> {
    Some(Credential::Password { user: user.into(), password: password.into() })
}

#[test]
fn the_most_specific_entry_wins() {
    let dir = scope::Folder::new("specific");
    let file = dir.join("auth.json");
    let auth = |text: &str| BASE64.encode(text);
    let text = format!(
        r#"{{"auths":{{"r.example":{{"auth":"{}"}},"r.example/team":{{"auth":"{}"}},
        "https://index.docker.io/v1/":{{"auth":"{}"}},"https://old.example/v2/":{{"username":"o",
        "password":"p"}},"id.example":{{"identitytoken":"t"}},"none.example":{{}}}}}}"#,
        auth("a:1"),
        auth("b:2:3"),
        auth("hub:h\0").trim_end_matches('='),
    );
    fs::write(&file, text).unwrap();
    let files = Files(vec![dir.join("missing.json"), file]);
    for (registry, repository, expected) in [
        ("r.example", "x", password("a", "1")),
        ("r.example", "team/web", password("b", "2:3")),
        ("r.example", "teams/web", password("a", "1")),
        ("r.example:5000", "x", None),
        ("evil-r.example", "x", None),
        ("docker.io", "library/web", password("hub", "h")),
        ("old.example", "x", password("o", "p")),
        ("id.example", "x", Some(Credential::Identity("t".into()))),
        ("none.example", "x", None),
    ] {
        assert_eq!(files.find(registry, repository).unwrap(), expected, "{registry}/{repository}");
    }
}

#[test]
fn damaged_files_are_told() {
    let dir = scope::Folder::new("damaged");
    let file = dir.join("auth.json");
    for (text, words) in [
        ("{", "EOF"),
        (r#"{"auths":{"r":{"auth":"!!"}}}"#, "auths.r.auth"),
        (r#"{"auths":{"r":{"auth":"YWJj"}}}"#, "auths.r.auth"),
        (r#"{"credsStore":"../../bin/sh"}"#, "name"),
        (r#"{"credHelpers":{"r":"a/b"}}"#, "name"),
        (r#"{"credsStore":7}"#, "no text"),
    ] {
        fs::write(&file, text).unwrap();
        let error = Files(vec![file.clone()]).find("r", "x").unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    fs::write(&file, " \n").unwrap();
    assert_eq!(Files(vec![file]).find("r", "x").unwrap(), None);
}

#[test]
fn helpers_that_a_secret_names_are_passed_over() {
    let found = |auths: &str| {
        let text = format!(
            r#"{{"credsStore":"podvisor-has-no-such","credHelpers":{{"r.example":
            "podvisor-has-no-such"}},"auths":{auths}}}"#
        );
        let secret = PullSecret::new("creds".into(), text.into_bytes());
        let settings = crate::Settings { secrets: vec![secret], ..Default::default() };
        let registries = crate::Registries::default();
        let sources = registries.sources("r.example", "x", true, false).unwrap();
        settings.find_credential(&sources[0])
    };
    let auth = BASE64.encode("me:1");
    let auths = format!(r#"{{"r.example":{{"auth":"{auth}"}}}}"#);
    assert_eq!(found(&auths).unwrap(), password("me", "1"));
    assert_eq!(found("{}").unwrap(), None);
}

#[test]
fn login_writes_privately_and_logout_forgets() {
    use std::os::unix::fs::PermissionsExt;
    let dir = scope::Folder::new("login");
    let files = Files(vec![dir.join("sub/auth.json")]);
    files.store("r.example", "me", "secret:x").unwrap();
    files.store("docker.io", "hub", "h").unwrap();
    files.store("r.example", "me", "other").unwrap();
    let mode = fs::metadata(&files.0[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(files.find("r.example", "x").unwrap(), password("me", "other"));
    assert_eq!(files.find("docker.io", "library/x").unwrap(), password("hub", "h"));
    assert!(fs::read_to_string(&files.0[0]).unwrap().contains(HUB));
    assert_eq!(files.forget("r.example").unwrap().len(), 1);
    assert_eq!(files.find("r.example", "x").unwrap(), None);
    assert!(files.forget("r.example").unwrap().is_empty());
}

#[test]
fn secrets_are_in_no_debug_text() {
    let shown = format!("{:?}", password("me", "hunter2"));
    assert!(shown.contains("me") && !shown.contains("hunter2"));
    assert!(!format!("{:?}", Credential::Identity("hunter2".into())).contains("hunter2"));
}
