//! Tables over the reader: what each form means, and where each mistake is said to stand.

use super::*;

fn steps(body: &str) -> Vec<Instruction> {
    let file = parse("Containerfile", &format!("FROM scratch\n{body}\n")).unwrap();
    file.stages[0].steps.iter().map(|step| step.instruction.clone()).collect()
}

fn one(body: &str) -> Instruction {
    let mut all = steps(body);
    assert_eq!(all.len(), 1, "{body}: {all:?}");
    all.remove(0)
}

fn run(body: &str) -> Run {
    match one(body) {
        Instruction::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

fn copy(body: &str) -> Copy {
    match one(body) {
        Instruction::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

fn exec(words: &[&str]) -> Command {
    Command::Exec(words.iter().map(|w| (*w).to_owned()).collect())
}

#[test]
fn every_instruction_is_read() {
    let shell = |text: &str| Command::Shell(text.into());
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let words = |list: &[&str]| -> Vec<String> { list.iter().map(|w| (*w).to_owned()).collect() };
    for (text, wanted) in [
        ("cmd echo $x", Instruction::Cmd(shell("echo $x"))),
        ("CMD [\"a\", \"b c\"]", Instruction::Cmd(exec(&["a", "b c"]))),
        ("CMD []", Instruction::Cmd(exec(&[]))),
        // Not JSON, so a text for the shell, as docker has it.
        ("CMD ['a']", Instruction::Cmd(shell("['a']"))),
        ("ENTRYPOINT [\"/a\"]", Instruction::Entrypoint(exec(&["/a"]))),
        (
            "ENV a=1 b=\"x y\" c=a\\ b",
            Instruction::Env(pairs(&[("a", "1"), ("b", "\"x y\""), ("c", "a\\ b")])),
        ),
        ("ENV old the whole rest", Instruction::Env(pairs(&[("old", "the whole rest")]))),
        ("LABEL \"a.b\"=c", Instruction::Label(pairs(&[("\"a.b\"", "c")]))),
        (
            "ARG a b=c d=",
            Instruction::Arg(vec![
                ("a".into(), None),
                ("b".into(), Some("c".into())),
                ("d".into(), Some(String::new())),
            ]),
        ),
        ("WORKDIR /a b", Instruction::Workdir("/a b".into())),
        ("USER 1:2", Instruction::User("1:2".into())),
        ("EXPOSE 80 53/udp", Instruction::Expose(words(&["80", "53/udp"]))),
        ("VOLUME [\"/a\", \"/b\"]", Instruction::Volume(words(&["/a", "/b"]))),
        ("VOLUME /a /b", Instruction::Volume(words(&["/a", "/b"]))),
        ("STOPSIGNAL SIGQUIT", Instruction::StopSignal("SIGQUIT".into())),
        ("SHELL [\"/bin/bash\", \"-c\"]", Instruction::Shell(words(&["/bin/bash", "-c"]))),
        ("MAINTAINER A B <a@b>", Instruction::Maintainer("A B <a@b>".into())),
        ("ONBUILD RUN  x", Instruction::OnBuild("RUN  x".into())),
        ("HEALTHCHECK NONE", Instruction::Healthcheck(Health::Off)),
    ] {
        assert_eq!(one(text), wanted, "{text}");
    }
    let Instruction::Healthcheck(Health::Check { command, interval, timeout, retries, .. }) =
        one("HEALTHCHECK --interval=1m30s --timeout=500ms --retries=4 CMD curl x")
    else {
        panic!("no check");
    };
    assert_eq!(command, shell("curl x"));
    assert_eq!((interval, timeout, retries), (Some(90_000_000_000), Some(500_000_000), Some(4)));
}

#[test]
fn lines_go_on_over_comments_and_empty_ones() {
    let text = "RUN a \\\n  # why\n\n  && b \\  \n && c # no comment\nCMD x";
    let all = steps(text);
    assert_eq!(all.len(), 2);
    let Instruction::Run(run) = &all[0] else { panic!("{all:?}") };
    assert_eq!(run.command, Command::Shell("a   && b  && c # no comment".into()));
    let windows = parse("C", "# escape=`\nFROM scratch\nRUN a `\n b\nCOPY c:\\x /").unwrap();
    assert_eq!(windows.escape, '`');
    assert_eq!(windows.stages[0].steps.len(), 2);
    let ordinary = parse("C", "# a comment\n# escape=`\nFROM scratch").unwrap();
    assert_eq!(ordinary.escape, '\\', "a directive after a comment is none");
    let crlf = parse("C", "FROM scratch\r\nRUN a \\\r\n b\r\n").unwrap();
    assert_eq!(crlf.stages[0].steps[0].text, "RUN a  b");
}

#[test]
fn here_documents_belong_to_their_instruction() {
    let script = run("RUN <<EOF\nset -e\necho $HOME\nEOF");
    assert_eq!(script.documents[0].content, "set -e\necho $HOME\n");
    assert!(script.documents[0].expands);
    let piped = run("RUN cat <<-'A' >/a && cat <<B >/b\n\tone\n\tA\ntwo\nB");
    let contents: Vec<&str> = piped.documents.iter().map(|d| d.content.as_str()).collect();
    assert_eq!(contents, ["one\n", "two\n"]);
    assert_eq!(piped.documents[0].raw, "\tone\n\tA");
    assert!(!piped.documents[0].expands && piped.documents[1].expands);
    let copied = copy("COPY <<a.txt <<\"b.txt\" /etc/\nA\na.txt\nB\nb.txt");
    assert_eq!(copied.documents.len(), 2);
    assert_eq!((copied.sources.len(), copied.target.as_str()), (0, "/etc/"));
    // None of these begins one.
    for text in ["RUN cat <<<x", "RUN echo '<<EOF'", "RUN echo $((1<<2))", "CMD cat <<EOF"] {
        assert_eq!(steps(text).len(), 1, "{text}");
    }
}

#[test]
fn flags_of_run_and_copy() {
    let all = run("RUN --mount=type=cache,target=/c,id=x,sharing=locked,uid=5,mode=0700 \
         --mount=type=secret,id=s,required=true,env=S --mount=type=bind,from=b,src=/d,dst=/e,rw \
         --mount=type=tmpfs,target=/t,size=64m --network=host make --mount=no");
    assert_eq!(all.command, Command::Shell("make --mount=no".into()));
    assert_eq!(all.network, Some(Network::Host));
    let kinds: Vec<&MountKind> = all.mounts.iter().map(|m| &m.kind).collect();
    assert_eq!(kinds[0], &MountKind::Cache { id: Some("x".into()), locked: true });
    assert_eq!((all.mounts[0].uid, all.mounts[0].mode), (5, Some(0o700)));
    let secret = MountKind::Secret { id: Some("s".into()), env: Some("S".into()), required: true };
    assert_eq!(kinds[1], &secret);
    assert_eq!(kinds[2], &MountKind::Bind { from: Some("b".into()), source: "/d".into() });
    assert!(all.mounts[2].writable);
    assert_eq!(kinds[3], &MountKind::Tmpfs { size: Some(64 << 20) });
    let all = copy("COPY --from=b --chown=1:2 --chmod=755 --link --exclude=*.o --exclude=x a b /c");
    assert_eq!((all.from.as_deref(), all.chown.as_deref()), (Some("b"), Some("1:2")));
    assert_eq!((all.sources.len(), all.exclude.len()), (2, 2));
    let json = copy("ADD [\"a b\", \"/c d/\"]");
    assert_eq!((json.add, json.sources[0].as_str(), json.target.as_str()), (true, "a b", "/c d/"));
}

#[test]
fn mistakes_say_where_they_stand_and_what_was_meant() {
    for (text, place, words, hint) in [
        ("", (1, 1), "no FROM", "FROM"),
        ("RUN x", (1, 1), "before the first FROM", "FROM"),
        ("FROM a\n  RNU x", (2, 3), "RNU is no instruction", "RUN"),
        ("FROM a\nCOPPY x y", (2, 1), "no instruction", "COPY"),
        ("FROM a\nxyzzy", (2, 1), "no instruction", "backslash"),
        ("FROM a b", (1, 6), "FROM has an image", "AS name"),
        ("FROM a AS 1x", (1, 6), "no name", "letter"),
        ("FROM a AS x\nFROM b AS X", (2, 1), "called x", ""),
        ("FROM a\nCOPY x", (2, 6), "needs sources", "target"),
        ("FROM a\nCOPY --form=x a b", (2, 6), "--form is not known", "--from"),
        ("FROM a\nCMD", (2, 4), "needs a command", ""),
        ("FROM a\nRUN \\\n  --mount=type=cahce,target=/x y", (3, 3), "type=cahce", ""),
        ("FROM a\nRUN --mount=type=cache,tagret=/x y", (2, 5), "did you mean target", ""),
        ("FROM a\nRUN --mount=type=shh y", (2, 5), "secret, ssh", ""),
        ("FROM a\nRUN --network=web y", (2, 5), "none or host", ""),
        ("FROM a\nENV a=1 b", (2, 9), "b is not name=value", "quotes"),
        ("FROM a\nENV a", (2, 5), "has no value", "a=value"),
        ("FROM a\nARG a-b=1", (2, 5), "no name of a variable", ""),
        ("FROM a\nSHELL /bin/sh", (2, 7), "JSON", "SHELL ["),
        ("FROM a\nHEALTHCHECK --interval=x CMD y", (2, 13), "no duration", "30s"),
        ("FROM a\nHEALTHCHECK maybe", (2, 18), "not known", "NONE"),
        ("FROM a\nONBUILD FROM b", (2, 9), "cannot hold FROM", ""),
        ("FROM a\nRUN <<EOF\nx", (2, 5), "no end", "just EOF"),
        ("# escape=x\nFROM a", (1, 1), "escape", "backquote"),
        ("FROM a\nWORKDIR", (2, 8), "needs a folder", ""),
    ] {
        let error = parse("Containerfile", text).unwrap_err();
        let Error::File { place: at, problem, hint: given, .. } = &error else {
            panic!("{text}: {error}");
        };
        assert_eq!((at.line, at.column), place, "{text:?}: {problem}");
        assert!(problem.contains(words), "{text:?}: {problem}");
        let given = given.as_deref().unwrap_or_default();
        let wanted = if hint == "backquote" { "`" } else { hint };
        assert!(given.contains(wanted), "{text:?}: {given}");
        assert!(error.to_string().starts_with(&format!("Containerfile:{}:{}: ", place.0, place.1)));
    }
}

#[test]
fn variables_expand_as_in_a_shell() {
    let look_up = |name: &str| match name {
        "a" => Some("one".to_owned()),
        "e" => Some(String::new()),
        "p" => Some("/usr/lib/x.tar.gz".to_owned()),
        _ => None,
    };
    for (text, wanted) in [
        ("$a ${a}b $none.", "one oneb ."),
        ("'$a' \"$a\" \\$a", "$a one $a"),
        ("${e:-x} ${e-x} ${n:-x} ${n-x}", "x  x x"),
        ("${a:+x} ${a+x} ${e:+x} ${e+x} ${n+x}", "x x  x "),
        ("${n:-${a:-y}} ${n:-\"q r\"}", "one q r"),
        (
            "${p#*/} ${p##*/} ${p%.*} ${p%%.*}",
            "usr/lib/x.tar.gz x.tar.gz /usr/lib/x.tar /usr/lib/x",
        ),
        ("${a/n/N} ${p//\\//_}", "oNe _usr_lib_x.tar.gz"),
        ("$ 5$", "$ 5$"),
        ("\"a\\\"b\\c\"", "a\"b\\c"),
    ] {
        assert_eq!(words::expand(text, '\\', &look_up).as_deref(), Ok(wanted), "{text}");
    }
    for (text, problem) in [
        ("${a", "brace"),
        ("${}", "no name"),
        ("'x", "quote"),
        ("\"x", "quote"),
        ("${n:?must be given}", "n is not set: must be given"),
        ("${a!b}", "not known"),
    ] {
        let error = words::expand(text, '\\', &look_up).unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
    let document = words::expand_document("'$a' \"x\" \\$a", '\\', &look_up);
    assert_eq!(document.as_deref(), Ok("'one' \"x\" $a"));
}

#[test]
fn patterns_match_whole_paths() {
    for (text, yes, no) in [
        ("*.o", &["a.o", ".o"][..], &["a/b.o", "a.oo"][..]),
        ("a/*/c", &["a/b/c"], &["a/c", "a/b/b/c"]),
        ("**/x", &["x", "a/x", "a/b/x"], &["ax", "a/xx"]),
        ("a/**", &["a/b", "a/b/c"], &["b/a"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]),
        ("[a-c]?", &["ax", "cz"], &["dx", "a"]),
        ("[^a]", &["b"], &["a", "/"]),
        ("a\\*", &["a*"], &["ab"]),
    ] {
        let pattern = pattern::Pattern::new(text).unwrap();
        yes.iter().for_each(|path| assert!(pattern.matches(path), "{text} {path}"));
        no.iter().for_each(|path| assert!(!pattern.matches(path), "{text} {path}"));
    }
    assert!(pattern::Pattern::new("[a").is_err() && pattern::Pattern::new("a\\").is_err());
    let slow = pattern::Pattern::new(&"*a".repeat(50)).unwrap();
    assert!(!slow.matches(&"a".repeat(2000).replace("aa", "bb")), "and soon");
}
