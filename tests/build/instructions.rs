//! What each instruction does. Most checks are made by RUN steps of the build itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use crate::workbench::{Bench, sh};

const EVERYTHING: &str = include_str!("everything.containerfile");

#[test]
fn every_instruction_has_its_effect() {
    let Some(scope) = scope::enter("instructions::every_instruction_has_its_effect") else {
        return;
    };
    let bench = Bench::new(scope);
    let ignore = "**/*.log\n!sub/important.log\nfiles/\n";
    let files = [
        ("Containerfile", EVERYTHING),
        (".dockerignore", ignore),
        ("keep.txt", "keep"),
        ("skip.log", ""),
        ("sub/inner.txt", ""),
        ("sub/important.log", ""),
        ("sub/other.log", ""),
        ("files/a/b", "archived"),
        ("tool", ""),
    ];
    let context = bench.context("context", &files);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(context.join("tool"), executable).expect("chmod");
    // Named, a link is followed, within the context only.
    symlink("/keep.txt", context.join("link")).expect("link");
    let at = context.display();
    sh(&format!("tar -C {at}/files -czf {at}/files.tar.gz a"));
    let done = bench.build("context", &["-t", "all:1", "--build-arg", "WHO=me", "--label", "c=d"]);
    assert!(!done.err.contains("this would fail"), "an unneeded stage: {}", done.err);
    done.ok();
    let image = bench.inspect("all:1");
    let config = &image["image"]["config"];
    assert_eq!(config["Labels"], json!({"one": "1", "two words": "a b", "c": "d"}));
    assert_eq!(config["Volumes"], json!({"/data": {}}));
    let mut ports = config["ExposedPorts"].to_string();
    ports.retain(|c| c.is_ascii_alphanumeric());
    assert!(ports.contains("80tcp") && ports.contains("53udp"), "{ports}");
    for (field, wanted) in [
        ("StopSignal", json!("SIGQUIT")),
        ("Entrypoint", json!(["/bin/sh"])),
        ("Cmd", json!(["-c", "true"])),
        ("User", json!("65534:65534")),
        ("WorkingDir", json!("/kept")),
        ("Healthcheck", json!({"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64})),
        ("Shell", json!(["/bin/sh", "-ec"])),
        ("OnBuild", json!(["ENV TRIGGERED=yes", "RUN test \"$TRIGGERED\" = yes"])),
    ] {
        assert_eq!(config[field], wanted, "{field}");
    }
    bench.clean();
    bench.context("upon", &[("Containerfile", "FROM all:1\nRUN test $TRIGGERED = yes\n")]);
    bench.build("upon", &["-t", "upon:1"]).ok();
    let env = bench.inspect("upon:1")["image"]["config"]["Env"].to_string();
    assert!(env.contains("TRIGGERED=yes"), "{env}");
}

#[test]
fn secrets_and_caches_are_mounted_and_never_kept() {
    let Some(scope) = scope::enter("instructions::secrets_and_caches_are_mounted_and_never_kept")
    else {
        return;
    };
    let bench = Bench::new(scope);
    let file = "FROM busybox\n\
        RUN --mount=type=secret,id=key,required=true --mount=type=secret,id=env,env=TOKEN \
        test \"$(tr a-z b-za </run/secrets/key)\" = ivoufs-uxp && \
        test \"$(echo $TOKEN | tr a-z b-za)\" = tftbnf-pqfo && \
        test \"$(stat -c %a /run/secrets/key)\" = 400\n\
        RUN --mount=type=secret,id=key sha256sum /run/secrets/key >/sum\n\
        RUN --mount=type=cache,target=/cache,id=c echo x >>/cache/count; cp /cache/count /count\n\
        RUN --mount=type=cache,target=/elsewhere,id=c,ro test -f /elsewhere/count\n";
    bench.context("context", &[("Containerfile", file)]);
    let key = bench.host.file("key", "hunter-two");
    let (key, env) = (format!("id=key,src={key}"), "id=env,env=TOKEN_OF_TEST");
    let path = bench.host.path("context").display().to_string();
    let args =
        ["build", "-t", "s:1", "--secret", &key, "--secret", env, "--no-cache", path.as_str()];
    for round in ["1", "2"] {
        let mut command = bench.host.command(&args);
        let done = command.env("TOKEN_OF_TEST", "sesame-open").output().expect("build");
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{told}");
        let folder = bench.host.path(round).display().to_string();
        bench.host.podvisor(&["save", "--format", "docker-archive", "-o", &folder, "s:1"]).ok();
        let found = sh(&format!("grep -ac -e hunter-two -e sesame-open {folder} || true"));
        assert_eq!(found.trim(), "0", "a secret is in the image");
        let layers = sh(&format!(
            "mkdir {folder}.d; tar -C {folder}.d -xf {folder}; cd {folder}.d; \
             find . -name '*.tar' -exec tar -tf '{{}}' ';' | \
             grep -e secret -e cache -e elsewhere || true"
        ));
        assert_eq!(layers, "", "mount points are left in the image");
    }
    let counted = "FROM s:1\nRUN test \"$(wc -l </count)\" = 2\n";
    bench.context("counted", &[("Containerfile", counted)]);
    bench.build("counted", &[]).ok();
    let root = bench.host.path("root").display().to_string();
    assert_eq!(sh(&format!("grep -rl hunter-two {root} || true")), "", "on the disk");
    bench.build("context", &["--no-cache"]).fails(1, &["Containerfile:2", "key is not given"]);
    bench.clean();
}

#[test]
fn failures_name_their_line_and_leave_no_image() {
    let Some(scope) = scope::enter("instructions::failures_name_their_line_and_leave_no_image")
    else {
        return;
    };
    let bench = Bench::new(scope);
    for (text, words) in [
        ("FROM busybox\nRUN exit 7\n", &["Containerfile:2", "RUN exit 7", "exit code 7"][..]),
        ("FROM busybox\nRUN /no/such/program\n", &["Containerfile:2", "127"]),
        ("FROM busybox\nCOPY nothing /\n", &["Containerfile:2", "nothing is not in the context"]),
        ("FROM busybox\nCOPY ../up /\n", &["Containerfile:2", "outside"]),
        ("FROM busybox\nCOPY secret.log /\n", &["left out by the .dockerignore"]),
        ("FROM busybox\nCOPY escape/passwd /\n", &["is not in the context"]),
        ("FROM busybox\nUSER stranger\nRUN true\n", &["Containerfile:3", "stranger"]),
        ("FROM busybox\nADD https://example.test/x /\n", &["Containerfile:2"]),
        ("FROM busybox\nCOPPY a b\n", &["Containerfile:2:1", "did you mean COPY?"]),
        ("FROM busybox\nCOPY a.txt b.txt /dir\n", &["slash"]),
    ] {
        let files = [
            ("Containerfile", text),
            ("a.txt", ""),
            ("b.txt", ""),
            ("secret.log", ""),
            (".dockerignore", "*.log"),
        ];
        let context = bench.context("context", &files);
        // Absolute, so that it would lead to the host's.
        let _ = symlink("/etc", context.join("escape"));
        bench.build("context", &["-t", "bad:1"]).fails(1, words);
        bench.host.podvisor(&["inspect", "bad:1"]).fails(1, &[]);
        bench.clean();
    }
    bench.build("nowhere", &[]).fails(2, &["no folder", "hint:"]);
    let empty = bench.context("empty", &[]);
    bench.build("empty", &[]).fails(2, &[empty.to_str().expect("path"), "no Containerfile"]);
}

#[test]
fn standard_input_and_archives_serve_as_well() {
    let Some(scope) = scope::enter("instructions::standard_input_and_archives_serve_as_well")
    else {
        return;
    };
    let bench = Bench::new(scope);
    let host = &bench.host;
    let file = host.file("alone", "FROM busybox\nRUN echo alone >/x\n");
    let fed = |input: &str, args: &[&str]| {
        let mut command = host.command(args);
        command.stdin(fs::File::open(input).expect("input"));
        let done = command.output().expect("build");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    fed(&file, &["build", "-t", "alone:1", "-"]);
    let files = [("Dockerfile", "FROM busybox\nCOPY a /\n"), ("a", "")];
    let context = bench.context("context", &files);
    let tar = host.path("context.tar.gz").display().to_string();
    sh(&format!("tar -C {} -czf {tar} .", context.display()));
    fed(&tar, &["build", "-t", "tarred:1", "-"]);
    fed(&file, &["build", "-t", "named:1", "-f", "-", &context.display().to_string()]);
    let archive = host.path("out.tar").display().to_string();
    let (output, id) = (format!("type=oci,dest={archive}"), host.path("id").display().to_string());
    let digest = bench.digest("context", &["-t", "out:1", "-o", &output, "--iidfile", &id]);
    assert_eq!(fs::read_to_string(&id).expect("iidfile"), digest);
    let shown = sh(&format!("skopeo inspect --format '{{{{.Digest}}}}' oci-archive:{archive}"));
    assert_eq!(shown.trim(), digest);
    bench.clean();
}
