use super::*;
use crate::parse;

fn after(body: &str) -> Result<State, String> {
    let file = parse("C", &format!("FROM scratch\n{body}")).unwrap();
    let mut state = State::new(Stack::scratch(), '\\');
    let given = BTreeMap::from([("GIVEN".to_owned(), "g".to_owned())]);
    let global = BTreeMap::from([("TARGETARCH".to_owned(), "amd64".to_owned())]);
    for step in &file.stages[0].steps {
        state.apply(&step.instruction, &given, &global)?;
    }
    Ok(state)
}

#[test]
fn the_configuration_follows_the_instructions() {
    let state = after(
        "ARG A=1\nARG GIVEN=x\nARG TARGETARCH\nARG NOT\nENV B=$A$GIVEN PATH=/x:$B A=env\n\
         ENV C=\"$A $B\"\nWORKDIR /a\nWORKDIR b/../c\nUSER $C\nEXPOSE 80 53/UDP 90-91\n\
         VOLUME /d\nLABEL l.$TARGETARCH='$x'\nCMD a b\nENTRYPOINT [\"/e\"]\nSHELL [\"/z\", \"-q\"]\n\
         STOPSIGNAL SIGQUIT\nHEALTHCHECK --retries=2 CMD x\nONBUILD RUN y\nMAINTAINER me",
    )
    .unwrap();
    assert_eq!(
        state.stack.config["config"],
        json!({
            "Env": ["B=1g", "PATH=/x:", "A=env", "C=env 1g"],
            "WorkingDir": "/a/c",
            "User": "env 1g",
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}},
            "Volumes": {"/d": {}},
            "Labels": {"l.amd64": "$x"},
            "Cmd": ["/bin/sh", "-c", "a b"],
            "Entrypoint": ["/e"],
            "Shell": ["/z", "-q"],
            "StopSignal": "SIGQUIT",
            "Healthcheck": {"Test": ["CMD-SHELL", "x"], "Retries": 2},
            "OnBuild": ["RUN y"],
        })
    );
    assert_eq!(state.stack.config["author"], "me");
    assert_eq!(state.step_env()["GIVEN"], "g");
    assert!(!state.step_env().contains_key("NOT"));
    let base = state.as_base();
    assert!(base.args.is_empty());
    for (body, words) in [
        ("EXPOSE web", "no port"),
        ("STOPSIGNAL SIGNOTHING", "no signal"),
        ("ENV A=\"${B:?must be}\"", "must be"),
    ] {
        let problem = after(body).unwrap_err();
        assert!(problem.contains(words), "{body}: {problem}");
    }
}

#[test]
fn an_entry_point_drops_the_command_of_the_base() {
    let mut state = after("CMD base").unwrap().as_base();
    let entry = Instruction::Entrypoint(Command::Exec(vec!["/e".into()]));
    state.apply(&entry, &BTreeMap::new(), &BTreeMap::new()).unwrap();
    assert!(state.finished().config["config"].get("Cmd").is_none());
}

#[test]
fn paths_resolve_against_the_working_folder() {
    let state = after("WORKDIR /w").unwrap();
    for (path, wanted) in
        [("a", "/w/a"), ("a/", "/w/a/"), (".", "/w/"), ("/x/../y", "/y"), ("/", "/"), ("..", "/")]
    {
        assert_eq!(state.resolve(path), wanted, "{path}");
    }
}
